"""Proves on the user's own job that the bytes do not depend on how it is run.

The job is built again and again, each time in another way: other numbers of workers, of other
kinds, in other orders, with other batches, killed and resumed. All builds must give one digest. By
default a part of the source stands for all of it, cut into small shards so that there is something
to shuffle; the digests are therefore those of the proof and not of the dataset.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.audit.standing import StandingDataset
from materialize.audit.subprocesses import can_kill, masked_features, run_and_kill, run_child
from materialize.builder import BuildOptions, as_source, build_dataset, finish_dataset
from materialize.errors import ConfigError
from materialize.executor import Crew
from materialize.feasibility import copy_shape
from materialize.job import decoded
from materialize.manifest import load_latest, shard_path
from materialize.partner_images import PartnerImages
from materialize.planning import take_rows
from materialize.population import ScanOptions
from materialize.population import scan as scanned
from materialize.population.scanning import included
from materialize.progress import Progress
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.recipe import Recipe
from materialize.shards.layout import ShardEntry
from materialize.shards.reader import ShardReader
from materialize.sources.base import Source
from materialize.sources.subset import Subset
from pipelines import Pipeline, load
from pipelines.rendering import Partners
from pipelines.transform import Canvas
from pipelines.user_code import user_code_of

DEFAULT_LIMIT = 256
"""Images: a proof of some seconds on most jobs."""
_SHARDS_PER_COPY = 8
"""Runs to cut the images into, so that orders and kills have something to act on."""
_SMALLEST_SHARD = 2**12
_TWIN_ROWS = 8
"""Rows that the plain twin renders: it is a thousand times slower than the kernel."""
_CHILD_DEADLINE_S = 600.0
"""A child that compiles everything anew on a slow machine is done long before."""


@dataclass(frozen=True, slots=True)
class ProofRun:
    """One way of running the job, and what came out."""

    name: str
    digest: str
    """SHA-256 over the manifest and every shard on disk; for the twin, over its rows."""
    expected: str
    """The same of the first run."""
    seconds: float

    @property
    def is_equal(self) -> bool:
        """Whether it gave the same bytes as the first run."""
        return self.digest == self.expected


@dataclass(frozen=True, slots=True)
class ProofReport:
    """All runs of a proof."""

    runs: tuple[ProofRun, ...]
    num_images: int
    num_shards: int
    left_out: tuple[str, ...]
    """Ways that could not be tried here, and why."""

    @property
    def is_proven(self) -> bool:
        """Whether all runs gave the same bytes."""
        return all(run.is_equal for run in self.runs)

    def table(self) -> str:
        """One line per run: its name, its digest, its time, the verdict."""
        width = max(len(run.name) for run in self.runs)
        lines = [
            f"{run.name:<{width}}  {run.digest[:16]}  {run.seconds:6.1f} s  "
            f"{'equal' if run.is_equal else 'DIFFERENT'}"
            for run in self.runs
        ]
        return "\n".join([*lines, *(f"left out: {reason}" for reason in self.left_out)])


def prove(  # noqa: PLR0913  # each is one fact of the job or of the proof
    source: object,
    pipeline: Pipeline | str | Path,
    recipe: Recipe,
    *,
    scan: ScanOptions = ScanOptions(),
    limit: int | None = DEFAULT_LIMIT,
    directory: str | Path | None = None,
    masked_cpu: bool = False,
    progress: Progress | None = None,
) -> ProofReport:
    """Builds the job in many ways and compares every byte.

    Args:
        source: a `Source` or what `materialize.sources.open_source` takes.
        pipeline: a pipeline, a preset's name or a TOML file.
        recipe: the options that decide bytes; for a part of the source, shards are made smaller.
        scan: as the job is scanned; equal images in different splits are accepted in any case.
        limit: how many images, evenly spread over those not excluded; None for all.
        directory: where to put the builds, each removed once it is compared; the system's place
            for temporary files by default.
        masked_cpu: also build in a process that uses none of the processor's special instructions;
            it compiles everything anew, which takes half a minute.
        progress: called with the stage ``prove`` after each run.

    Raises:
        ConfigError: ``limit`` is below 1.
        SourceError: ``scan`` excludes what the source does not have, or everything.
        MaterializeError: the job itself cannot be built.
    """
    if limit is not None and limit < 1:
        raise ConfigError(
            f"limit: expected at least 1, or None for all, got {limit}",
            {"name": "limit", "expected": "at least 1", "found": limit},
        )
    opened = as_source(source)
    used = pipeline if isinstance(pipeline, Pipeline) else load(pipeline)
    # What the user's job accepts is not the question here.
    accepting = replace(scan, allow_split_leaks=True)
    # Where copies are made at reading, the proof stores them to have something to compare.
    recipe = replace(
        recipe, storage="pixels", originals=recipe.originals or recipe.stores_originals
    )
    chosen: Source = opened
    if limit is not None:
        chosen = Subset(opened, limit, included(opened, scan.exclude))
        accepting = replace(accepting, exclude=())
    with tempfile.TemporaryDirectory(prefix="materialize-proof-", dir=directory) as place:
        smaller = recipe if limit is None else _smaller(chosen, used, recipe, accepting)
        proof = _Proof(chosen, used, smaller, accepting, Path(place))
        return proof.run(masked_cpu=masked_cpu, progress=progress)


def _smaller(source: Source, pipeline: Pipeline, recipe: Recipe, options: ScanOptions) -> Recipe:
    """The recipe with shards so small that each copy takes several."""
    population = scanned(source, replace(options, trust_source=True))
    row_bytes = int(np.prod(copy_shape(pipeline, population)))
    row_bytes *= np.dtype(population.dtype).itemsize
    rows = -(-len(population) // _SHARDS_PER_COPY)
    shard_bytes = max(rows * row_bytes, _SMALLEST_SHARD)
    return replace(recipe, shard_bytes=min(shard_bytes, recipe.shard_bytes))


@dataclass(frozen=True, slots=True)
class _Proof:
    """One job and the place for its builds."""

    source: Source
    pipeline: Pipeline
    recipe: Recipe
    scan: ScanOptions
    place: Path

    def run(self, *, masked_cpu: bool, progress: Progress | None) -> ProofReport:
        reference = self.place / "reference"
        started = time.perf_counter()
        self._build(reference, BuildOptions())
        expected = dataset_digest(reference)
        runs = [ProofRun("1 worker", expected, expected, time.perf_counter() - started)]
        dataset = StandingDataset.open(reference)
        parts = min(len({entry.spec.run for entry in dataset.manifest.shards}), _SHARDS_PER_COPY)
        ways = dict(self._ways(parts))
        if masked_cpu:
            ways["1 worker, masked processor"] = self._masked
        left_out = []
        if can_kill():
            total = dataset.manifest.totals.num_shards
            ways["2 workers, killed and resumed"] = partial(self._killed, total=total)
        else:
            left_out.append("killed and resumed: this system cannot kill a group of processes")
        for number, (name, way) in enumerate(ways.items(), start=1):
            started, out = time.perf_counter(), self.place / f"run-{number}"
            note = way(out) or ""
            seconds = time.perf_counter() - started
            runs.append(ProofRun(name + note, dataset_digest(out), expected, seconds))
            shutil.rmtree(out)
            if progress is not None:
                progress("prove", number, len(ways) + 1)
        left_out += _unpromised(self.pipeline)
        runs.append(self._twin(dataset))
        if progress is not None:
            progress("prove", len(ways) + 1, len(ways) + 1)
        num_images = sum(map(len, dataset.populations))
        return ProofReport(tuple(runs), num_images, len(dataset.manifest.shards), tuple(left_out))

    def _ways(self, parts: int) -> Iterator[tuple[str, Callable[[Path], str | None]]]:
        """The ways that need nothing of the system but its processes and threads."""
        crews = (
            Crew(2, "loky"), Crew(3, "loky"), Crew(8, "threading"), Crew(1, "sequential"),
        )  # fmt: skip
        for crew in crews:
            name = f"{crew.workers} worker{'s' * (crew.workers > 1)}, {crew.backend}"
            yield name, partial(self._build, options=BuildOptions(crew=crew))
        for size in (1, 7, 64):
            options = BuildOptions(crew=Crew(2, "threading"), batch_size=size)
            yield f"batches of {size}", partial(self._build, options=options)
        yield f"{parts} parts, shuffled", partial(self._shuffled, parts=parts)

    def _build(self, out: Path, options: BuildOptions) -> None:
        # Bad images are simply left out, however many they are.
        accepting = replace(options, max_bad=1.0, scan=self.scan)
        build_dataset(self.source, out, self.pipeline, self.recipe, options=accepting)

    def _shuffled(self, out: Path, parts: int) -> None:
        numbers = range(1, parts + 1)
        for number in sorted(numbers, key=lambda i: hashlib.sha256(bytes([i])).digest()):
            self._build(out, BuildOptions(part=(number, parts)))
        finish_dataset(out)

    def _killed(self, out: Path, total: int) -> str:
        """Kills the build and its workers whenever some more shards are there, then finishes it."""
        options = BuildOptions(crew=Crew(2, "loky"))
        build = partial(self._build, out, options)
        kills = sum(
            run_and_kill(
                build, when=partial(_has_receipts, out, wanted), deadline_s=_CHILD_DEADLINE_S
            )
            for wanted in sorted({1, total // 3, 2 * total // 3} - {0})
        )
        self._build(out, options)
        return f" ({kills} kills)"

    def _masked(self, out: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self.place) as cache:
            run_child(
                partial(self._build, out, BuildOptions()),
                environment=masked_features(cache),
                deadline_s=_CHILD_DEADLINE_S,
            )

    def _twin(self, dataset: StandingDataset) -> ProofRun:
        """Some stored rows against the NumPy twin of the kernel."""
        started = time.perf_counter()
        stored, plain = hashlib.sha256(), hashlib.sha256()
        shards = dataset.manifest.shards
        copies = [e for e in shards if e.spec.kind == "copy" and not e.spec.is_mask]
        for entry in (copies[0], copies[-1]):
            population = dataset.population_of(entry.spec.generation)
            count = min(_TWIN_ROWS, entry.spec.num_rows)
            rows = take_rows(population, dataset.rows_of(entry.spec)[:count])
            images = decoded(self.source, self.pipeline, rows)
            words = self.pipeline.draw(self.recipe.seed, rows.ids, entry.spec.copy)
            canvas = Canvas(images.heights, images.widths)
            drawn = self.pipeline.parameters(words, canvas)
            out = np.empty((count, *entry.spec.image_shape), dtype=entry.spec.images.dtype)
            self.pipeline.render(
                drawn, images, out, plain=True, value_range=self.recipe.value_range,
                partners=self._partners(dataset, entry, dataset.rows_of(entry.spec)[:count]),
            )  # fmt: skip
            plain.update(out.tobytes())
            with ShardReader(shard_path(dataset.directory, entry.file), entry) as reader:
                stored.update(reader.rows(0, count).tobytes())
        seconds = time.perf_counter() - started
        name = f"plain NumPy, {2 * _TWIN_ROWS} rows"
        return ProofRun(name, plain.hexdigest(), stored.hexdigest(), seconds)

    def _partners(
        self, dataset: StandingDataset, entry: ShardEntry, rows: NDArray[np.int64]
    ) -> Partners | None:
        """What some rows are mixed with."""
        spec = entry.spec
        pairings = dataset.pairings(spec.generation, {spec.copy: rows})
        prepare = partial(decoded, self.source, self.pipeline)
        found = PartnerImages(pairings, self.pipeline, self.recipe.seed, prepare)
        images, words = found.fetch(spec.copy, np.arange(len(rows)))
        if images is None or words is None:
            return None
        canvas = Canvas(images.heights, images.widths)
        return Partners(images, self.pipeline.parameters(words, canvas))


def _unpromised(pipeline: Pipeline) -> list[str]:
    """What a proof here says nothing of, where steps call what others wrote."""
    inexact = [step.title for step in user_code_of(pipeline.steps) if not step.exact]
    return [f"other machines and versions: {title} is not declared exact" for title in inexact]


def dataset_digest(directory: Path) -> str:
    """SHA-256 over the newest manifest and every byte of its shards, as they are on disk."""
    manifest = load_latest(directory)
    hasher = hashlib.sha256((directory / manifest.file_name).read_bytes())
    for entry in manifest.shards:
        with shard_path(directory, entry.file).open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return hasher.hexdigest()


def _has_receipts(directory: Path, wanted: int) -> bool:
    return sum(1 for _ in directory.glob(f"{RECEIPTS_DIRECTORY}/*.json")) >= wanted
