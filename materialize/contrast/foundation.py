"""What all arms stand on: one dataset with the untouched images and the largest K of copies.

It is built once in the work directory and named by what decides its bytes: the images as a scan
finds them now, the pipeline's fingerprint and the recipe. So a source or a pipeline file that was
edited is another dataset; a contrast that asks for more copies later extends the one it has, and no
byte that was there changes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from materialize.assembly import options_of, pipeline_of, recipe_of, source_of
from materialize.builder import build_dataset, scanned
from materialize.canonical import digest
from materialize.config import required
from materialize.contrast.excerpt import excerpt_of
from materialize.contrast.jobs import ContrastJob
from materialize.contrast.preparations import AcceptedClasses, Prepared, prepare
from materialize.errors import ConfigError, ManifestMissingError
from materialize.extension import extend_dataset
from materialize.loader.opening import OpenDataset
from materialize.loader.samples import Samples
from materialize.manifest import load_latest
from materialize.planning import num_copies, population_identity
from materialize.population import Population
from materialize.progress import Progress
from materialize.receipts import Receipt
from materialize.recipe import Recipe
from materialize.shards.layout import ShardEntry
from materialize.sources import Source
from materialize.sources.base import SPLITS
from pipelines import Pipeline, fingerprint

_DECODING = "decode"
"""A receipt's name for the seconds that reading and decoding a run's sources took."""


@dataclass(frozen=True, slots=True, eq=False)
class Foundation:
    """A built dataset, and the source it was built from."""

    source: Source
    pipeline: Pipeline
    population: Population
    """The images as the source has them now; row by row those of the dataset's only generation."""
    opened: OpenDataset
    accepted: Mapping[str, AcceptedClasses]
    """By locator: what else counts as right for a test image."""

    @property
    def directory(self) -> Path:
        """The dataset."""
        return self.opened.standing.directory

    @property
    def counts(self) -> dict[str, int]:
        """Images by split."""
        return {split: len(self.population.split_rows(split)) for split in SPLITS}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every stored image."""
        return self.opened.standing.manifest.shards[0].spec.image_shape

    def fold(self, number: int, job: ContrastJob) -> tuple[Samples, Samples]:
        """What a fold is trained on, and what is held out.

        Plain folds take every n-th image in the order of sample ids, which are hashes: a shuffle
        that knows nothing of classes.
        """
        folds = job.folds or 1
        if job.fold_kind == "stratified":
            return self.opened.fold(number, folds=folds)
        samples = self.opened.samples()
        held_out = np.arange(len(samples)) % folds == number
        return samples.taken(~held_out), samples.taken(held_out).each_once()

    def stored_bytes(self, kind: str, copies: int | None) -> int:
        """What the shards take that an arm trains from.

        Args:
            kind: of the arm.
            copies: K, for the offline arm.
        """
        return sum(
            entry.num_bytes * self._num_used(entry, copies) // entry.spec.num_rows
            for entry in self._entries(kind, copies)
        )

    def num_shards(self, kind: str, copies: int | None) -> int:
        """How many shards an arm trains from."""
        return sum(1 for _ in self._entries(kind, copies))

    def build_seconds(self, kind: str, copies: int | None) -> float:
        """What workers spent to write these shards, by their receipts."""
        return sum(sum(self._timings(entry).values()) for entry in self._entries(kind, copies))

    def generation_seconds(self, kind: str, copies: int | None) -> float:
        """What workers would have spent on these shards alone, by the receipts.

        A run's images are decoded for the first shard that is written of it, which may be another
        arm's: that counts here too, once for each run.
        """
        own, shared = 0.0, self._decoding()
        runs = set()
        for entry in self._entries(kind, copies):
            timings = self._timings(entry)
            own += sum(timings.values()) - timings.get(_DECODING, 0.0)
            runs.add(_run(entry))
        return own + sum(shared.get(run, 0.0) for run in runs)

    def _decoding(self) -> dict[tuple[int, int], float]:
        """Seconds that decoding a run of training images took, the longest time where several."""
        seconds: dict[tuple[int, int], float] = {}
        for entry in self.opened.standing.manifest.shards:
            if entry.spec.split == "train":
                spent = self._timings(entry).get(_DECODING, 0.0)
                seconds[_run(entry)] = max(seconds.get(_run(entry), 0.0), spent)
        return seconds

    def _timings(self, entry: ShardEntry) -> dict[str, float]:
        receipt = Receipt.read(self.directory, entry.file)
        return {} if receipt is None else receipt.timings_s

    def describe(self, job: ContrastJob) -> dict[str, Any]:
        """JSON-ready: what the arms were trained and tested on."""
        manifest = self.opened.standing.manifest
        return {
            "name": job.images.source or job.title,
            "counts": self.counts,
            "image_shape": list(self.image_shape),
            "class_names": list(manifest.class_names),
            "manifest": manifest.digest(),
            "population": manifest.populations[0].digest,
            "pipeline": self.pipeline.name,
            "fingerprint": fingerprint(self.pipeline),
            "steps": list(self.pipeline.step_keys),
            "augmentation_seed": manifest.seed,
            "codec": manifest.codec,
        }

    def _entries(self, kind: str, copies: int | None) -> Iterator[ShardEntry]:
        for entry in self.opened.standing.manifest.shards:
            spec = entry.spec
            if spec.split != "train":
                continue
            is_original = kind in ("none", "prefix") and spec.kind == "original"
            is_copy = kind == "offline" and spec.kind == "copy"
            if is_original or (is_copy and self._num_used(entry, copies)):
                yield entry

    def _num_used(self, entry: ShardEntry, copies: int | None) -> int:
        """How many rows of a shard an arm shows in so many epochs: not all of balanced classes."""
        standing, spec = self.opened.standing, entry.spec
        if spec.kind == "original":
            return spec.num_rows
        population = standing.population_of(spec.generation)
        used = num_copies(population, standing.rows_of(spec), copies or 0) > spec.copy
        return int(used.sum())


def _run(entry: ShardEntry) -> tuple[int, int]:
    """Which images a training shard holds: generation and run."""
    return entry.spec.generation, entry.spec.run


def lay_foundation(job: ContrastJob, work: Path, progress: Progress | None = None) -> Foundation:
    """Builds the dataset of a contrast, or finds it as it stands.

    Args:
        job: which images, which pipeline, how many copies.
        work: the contrast's directory.
        progress: called as images are scanned and written.

    Raises:
        ConfigError: the training or the test part is empty.
        MaterializeError: whatever else prevents the dataset.
    """
    prepared = _prepared(job, work)
    source = excerpt_of(prepared.source, job.excerpt)
    images = replace(
        job.images, copies=job.num_stored_copies, seed=job.augmentation_seed, originals=True,
        storage="pixels",
    )  # fmt: skip
    pipeline, options = pipeline_of(images), options_of(images)
    recipe = replace(recipe_of(images), folds=_mixed_folds(job, pipeline))
    population = scanned(source, options, (), progress)
    _check_parts({split: len(population.split_rows(split)) for split in SPLITS})
    directory = work / f"dataset-{_name(population, pipeline, recipe)}"
    try:
        standing = load_latest(directory).copies
    except ManifestMissingError:
        build_dataset(source, directory, pipeline, recipe, options=options, progress=progress)
    else:
        if standing < job.num_stored_copies:
            extend_dataset(
                directory, copies=job.num_stored_copies, source=source, options=options,
                progress=progress,
            )  # fmt: skip
    opened = OpenDataset.open(directory)
    return Foundation(source, pipeline, population, opened, prepared.accepted)


def _mixed_folds(job: ContrastJob, pipeline: Pipeline) -> tuple[int, int] | None:
    """The folds that images must be mixed within, where any are and folds are trained on.

    Raises:
        ConfigError: they are cut by a rule that a dataset does not know.
    """
    if job.folds is None or not pipeline.is_mixing:
        return None
    if job.fold_kind != "stratified":
        raise ConfigError(
            f"fold-kind: expected stratified, since {pipeline.name} mixes images and a dataset "
            f"mixes them within such folds alone, got {job.fold_kind}; change one of the two",
            {"name": "fold-kind", "expected": "stratified", "found": job.fold_kind},
        )
    return (job.folds, 0)


def _prepared(job: ContrastJob, work: Path) -> Prepared:
    if job.prepare is None:
        return Prepared(source_of(job.images))
    return prepare(job.prepare, Path(required(job.images, "source")), work)


def _name(population: Population, pipeline: Pipeline, recipe: Recipe) -> str:
    """Of the dataset: what decides its bytes and may differ between contrasts."""
    fixed = ("copies", "storage", *(() if recipe.folds else ("folds",)))
    facts = {name: value for name, value in asdict(recipe).items() if name not in fixed}
    if recipe.balance is None:
        facts = {name: value for name, value in facts.items() if not name.startswith("balance")}
    images, steps = population_identity(population), fingerprint(pipeline)
    return digest({"images": images, "pipeline": steps, "recipe": facts})[:12]


def _check_parts(counts: Mapping[str, int]) -> None:
    for split in ("train", "test"):
        if not counts[split]:
            raise ConfigError(
                f"split: expected images to train and to test on, found none in {split}; give the "
                'source such a part, or cut one off with split = "0.8/0.1/0.1"',
                {"name": "split", "found": dict(counts)},
            )
