"""Batches that are augmented as they are asked for: epoch e shows copy e.

With the same pipeline, seed and samples these are, bit for bit, the batches of a `StreamingLoader`
that has as many copies as there are epochs.
"""

from pathlib import Path
from typing import Any

from materialize.builder import as_source
from materialize.feasibility import check_feasible, copy_shape
from materialize.loader.loader import Loader
from materialize.loader.mixing import mixing_of
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.order import ORIGINAL, Visits
from materialize.loader.rendered import PreparedFromShards, PreparedFromSource, RenderedFeed
from materialize.loader.rendered_targets import RenderedTargets
from materialize.loader.samples import Samples, split_samples
from materialize.partners import PartnerPools, with_folds
from materialize.population import Balance, Population, ScanOptions, balanced, scan
from materialize.recipe import Recipe
from materialize.sources.arrays import ArraySource
from pipelines import Pipeline, fingerprint, load
from pipelines.standardizer import Standardizer


class AugmentingLoader(Loader):
    """Decodes, draws and renders each image when it is asked for.

    Args:
        source: as `materialize.build` takes it.
        pipeline: as `materialize.build` takes it.
        batch_size: images of a batch, on each rank.
        augmentation_seed: the ``seed`` of the build whose copies these are.
        seed: of the order, in [0, 2**64).
        split: whose images.
        population: what a scan of the source gave; it is scanned if there is none.
        samples: some of the split's images, such as a fold; all by default.
        balance: how many training images of each class an epoch shows, as `materialize.build` takes
            it; a population and samples of a balanced dataset have theirs already.
        balance_cap: most draws of an image in an epoch, on average over its class.
        keep_decoded: whether images are decoded once and kept; by default only arrays are, which
            are decoded already. Others are decoded once in an epoch; those that are mixed for each
            image that shows them, unless all fit a temporary file of 4 GiB.
        value_range: for float32 images, the values that mean black and white.
        standardizer: makes batches float32; the one of a dataset, or of one's own statistics.
        folds: number and seed of the folds that samples are of, where a step mixes images: only
            those of one fold are mixed.
        pools: of a dataset, for the very partners it has: `StandingDataset.pools`.
        options: everything else; what concerns shards is not looked at.

    Raises:
        SourceError: the source cannot be used.
        SizeMismatchError: the images do not end with one size.
    """

    def __init__(  # noqa: PLR0913  # one keyword for each thing that people choose
        self,
        source: object,
        pipeline: Pipeline | str | Path,
        *,
        batch_size: int,
        augmentation_seed: int = 0,
        seed: int = 0,
        split: str = "train",
        population: Population | None = None,
        samples: Samples | None = None,
        balance: Balance | None = None,
        balance_cap: int | None = None,
        keep_decoded: bool | None = None,
        value_range: tuple[float, float] | None = None,
        standardizer: Standardizer | None = None,
        folds: tuple[int, int] | None = None,
        pools: PartnerPools | None = None,
        options: LoaderOptions = LoaderOptions(),
    ) -> None:
        """Scan the source, unless that was done."""
        opened = as_source(source)
        steps = pipeline if isinstance(pipeline, Pipeline) else load(pipeline)
        population = scan(opened, ScanOptions()) if population is None else population
        recipe = Recipe(
            copies=1, seed=augmentation_seed, value_range=value_range, balance=balance,
            balance_cap=balance_cap,
        )  # fmt: skip
        population = balanced(population, recipe.balance, recipe.balance_cap)
        check_feasible(steps, recipe, population)
        samples = split_samples([population], split) if samples is None else samples
        if keep_decoded is None:
            keep_decoded = isinstance(opened, ArraySource)
        if not steps.is_mixing:
            pools = None
        elif pools is None:
            pools = PartnerPools.of_one(with_folds(population, folds))
        mixing = mixing_of(pools, samples, steps, recipe.seed)
        images = PreparedFromSource(
            opened, population, samples, steps, keep=keep_decoded,
            share=mixing is not None and not keep_decoded,
        )  # fmt: skip
        feed = RenderedFeed(
            images, samples, steps, seed=recipe.seed, image_shape=copy_shape(steps, population),
            value_range=recipe.value_range, mixing=mixing,
        )  # fmt: skip
        made_of: dict[str, Any] = {
            "feed": "source",
            "contents": images.contents_digest(),
            "value_range": recipe.value_range,
            "pipeline": fingerprint(steps),
            "augmentation_seed": recipe.seed,
            "split": samples.split,
        }
        if mixing is not None:
            made_of["partners"] = mixing.digest
        targets = None
        if population.schema.moves:
            made_of["targets"] = images.targets_digest()
            targets = RenderedTargets.of(
                images, samples, steps, seed=recipe.seed, size=feed.image_shape[:2]
            )
        super().__init__(
            feed, samples, Visits(None), batch_size=batch_size, order=options.order(seed),
            pace=options.pace(), source=made_of, standardizer=standardizer, targets=targets,
            mixing=mixing,
        )  # fmt: skip


class PrefixLoader(Loader):
    """Reads the stored untouched images, decoded and resized already, and augments them.

    Args:
        dataset: the directory that `materialize.build` wrote with ``originals=True``.
        batch_size: images of a batch, on each rank.
        seed: of the order, in [0, 2**64).
        samples: some of the training images, such as a fold; all by default.
        pinned: digest of the manifest to read instead of the newest.
        standardizer: from `OpenDataset.standardizer`; makes batches float32.
        options: everything else.

    Raises:
        ManifestMissingError: there is no complete dataset.
        ConfigError: the untouched images are not stored.
    """

    def __init__(
        self,
        dataset: str | Path,
        *,
        batch_size: int,
        seed: int = 0,
        samples: Samples | None = None,
        pinned: str | None = None,
        standardizer: Standardizer | None = None,
        options: LoaderOptions = LoaderOptions(),
    ) -> None:
        """Read the manifest and the populations; shards are mapped when they are asked for."""
        opened = OpenDataset.open(dataset, options, pinned=pinned)
        manifest, pipeline = opened.standing.manifest, opened.standing.pipeline
        samples = opened.samples() if samples is None else samples
        originals = opened.feed(samples, (ORIGINAL,))
        stored = opened.targets(samples, (ORIGINAL,), originals)
        images = PreparedFromShards(originals, stored)
        mixing = opened.mixing(samples)
        feed = RenderedFeed(
            images, samples, pipeline, seed=manifest.seed,
            image_shape=copy_shape(pipeline, opened.standing.populations[0]),
            value_range=manifest.value_range, mixing=mixing,
        )  # fmt: skip
        made_of = {"feed": "prefix", "manifest": manifest.digest(), "split": samples.split}
        targets = None
        if stored is not None:
            targets = RenderedTargets.of(
                images, samples, pipeline, seed=manifest.seed, size=feed.image_shape[:2]
            )
        super().__init__(
            feed, samples, Visits(None), batch_size=batch_size, order=options.order(seed),
            pace=options.pace(), source=made_of, standardizer=standardizer, targets=targets,
            mixing=mixing,
        )  # fmt: skip
