"""Batches from the shards of a dataset."""

from collections.abc import Sequence
from pathlib import Path

from materialize.errors import ConfigError
from materialize.loader.loader import Loader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.order import ORIGINAL, Visits
from materialize.loader.samples import Samples
from pipelines.standardizer import Standardizer


class StreamingLoader(Loader):
    """Reads stored copies, or the untouched images, in the order of an epoch.

    Args:
        dataset: the directory that `materialize.build` wrote.
        batch_size: images of a batch, on each rank.
        seed: of the order, in [0, 2**64).
        split: ``train``, ``val`` or ``test``.
        copies: which copies are in use: the first so many, or their numbers; -1 is the untouched
            image. All that are stored for ``train``, the untouched images for other splits. Where
            classes are balanced these are numbers of epochs, and each shows its own draws.
        per_epoch: ``one`` shows copy copies[epoch mod K] of each image, as augmenting on the fly
            does; ``all`` shows all K copies of each image in every epoch.
        samples: some of the split's images, such as a fold; all by default.
        pinned: digest of the manifest to read instead of the newest.
        standardizer: from `OpenDataset.standardizer`; makes batches float32.
        options: everything else.

    Raises:
        ManifestMissingError: there is no complete dataset.
        ManifestError: the manifest or a population is damaged.
        ConfigError: a copy is not stored, or an option is outside its set or interval.
    """

    def __init__(  # noqa: PLR0913  # one keyword for each thing that people choose
        self,
        dataset: str | Path,
        *,
        batch_size: int,
        seed: int = 0,
        split: str = "train",
        copies: int | Sequence[int] | None = None,
        per_epoch: str = "one",
        samples: Samples | None = None,
        pinned: str | None = None,
        standardizer: Standardizer | None = None,
        options: LoaderOptions = LoaderOptions(),
    ) -> None:
        """Read the manifest and the populations; shards are mapped when they are asked for."""
        opened = OpenDataset.open(dataset, options, pinned=pinned)
        manifest = opened.standing.manifest
        samples = opened.samples(split) if samples is None else samples
        if copies is None:
            copies = manifest.copies if samples.split == "train" else (ORIGINAL,)
        chosen = tuple(range(copies)) if isinstance(copies, int) else tuple(copies)
        visits = Visits(chosen, per_epoch)
        try:
            feed = opened.feed(samples, chosen)
        except ConfigError as error:
            if not isinstance(copies, int) or error.facts.get("expected") != manifest.copies:
                raise
            raise ConfigError(
                f"copies: expected at most the {manifest.copies} that are stored, got {copies}; "
                f"make more with `materialize extend {dataset} --copies {copies}`",
                {"name": "copies", "expected": manifest.copies, "found": copies},
            ) from None
        super().__init__(
            feed,
            samples,
            visits,
            batch_size=batch_size,
            order=options.order(seed),
            pace=options.pace(),
            source={"feed": "shards", "manifest": manifest.digest(), "split": samples.split},
            standardizer=standardizer,
            targets=opened.targets(samples, chosen, feed),
            mixing=opened.mixing(samples) if set(chosen) != {ORIGINAL} else None,
        )
