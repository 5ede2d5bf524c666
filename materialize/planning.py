"""What will be written, decided before anything is: pure arithmetic over sample ids.

A plan says which shards a dataset consists of, and each shard's spec decides its bytes. Workers,
order, time and machine never enter here, so the same options give the same plan anywhere. Rows are
cut into runs; a shard is one copy of one run, so K copies are a prefix of K + 1 copies and an epoch
reads one copy's shards.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import digest
from materialize.errors import (
    ConfigError,
    ManifestError,
    MaterializeError,
    SizeMismatchError,
)
from materialize.population.table import Population, Quarantined
from materialize.shards.codecs import find_codec
from materialize.shards.layout import ShardSpec, rows_digest
from materialize.sources.base import SPLITS
from materialize.sources.records import TextColumn
from pipelines import Pipeline, fingerprint
from pipelines.transform import Canvas, Photometric

DEFAULT_SHARD_BYTES = 64 * 2**20
"""Large enough that an object store's request is cheap, small enough for a worker's memory."""
_ACCEPTED_IDLE_SHARE = 0.1
PARAMETER_MODES = ("none", "draws", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The options that decide bytes; everything else about a build only decides time."""

    copies: int
    """Augmented copies of each training image, at least 1; copy e is what epoch e shows."""
    seed: int = 0
    """In [0, 2**64)."""
    codec: str = "raw"
    shard_bytes: int = DEFAULT_SHARD_BYTES
    """Decoded pixels of one shard, at most."""
    originals: bool = False
    """Also store the untouched images, of every split."""
    parameters: str = "draws"
    """What stands beside each copy: ``none``, the random words (``draws``), or ``full``: the drawn
    parameters as numbers."""
    value_range: tuple[float, float] | None = None
    """For float32 images, the values that mean black and white; needed where a step changes
    values."""

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            ConfigError: an option is outside its set or interval.
        """
        _require_int("copies", self.copies, 1, 2**20)
        _require_int("seed", self.seed, 0, 2**64 - 1)
        _require_int("shard_bytes", self.shard_bytes, 2**12, 2**31)
        find_codec(self.codec)
        if self.parameters not in PARAMETER_MODES:
            raise ConfigError(
                f"parameters: expected one of {list(PARAMETER_MODES)}, got {self.parameters!r}",
                {"name": "parameters", "expected": PARAMETER_MODES, "found": self.parameters},
            )
        if self.value_range is not None:
            black, white = map(float, self.value_range)
            if not black < white:
                raise ConfigError(
                    f"value_range: expected black below white, got {self.value_range}",
                    {"name": "value_range", "found": self.value_range},
                )
            # Plans are compared byte for byte, where 0 and 0.0 differ.
            object.__setattr__(self, "value_range", (black, white))


@dataclass(frozen=True, slots=True)
class Task:
    """Shards that one worker writes in turn: some copies of one run, decoded once."""

    first_row: int
    """Position of the run's first row in its population."""
    num_rows: int
    specs: tuple[ShardSpec, ...]
    generation: int


def image_shape(pipeline: Pipeline, population: Population) -> tuple[int, int, int]:
    """(H, W, C) that every copy has.

    Raises:
        SizeMismatchError: the images differ in size and the pipeline does not bring them to one.
    """
    sizes = np.unique(np.stack([population.heights, population.widths], axis=1), axis=0)
    outputs = {pipeline.output_size(int(h), int(w)) for h, w in sizes}
    if len(outputs) != 1:
        raise SizeMismatchError(*_size_problem(population, "the pipeline does not resize or crop"))
    return (*outputs.pop(), population.channels)


def original_shape(pipeline: Pipeline, population: Population) -> tuple[int, int, int]:
    """(H, W, C) of the untouched images: as they come, or after the pipeline's resize.

    Raises:
        SizeMismatchError: they differ in size and the pipeline has no resize.
    """
    if pipeline.resize:
        return (pipeline.resize.height, pipeline.resize.width, population.channels)
    size = population.uniform_size()
    if size is None:
        raise SizeMismatchError(*_size_problem(population, "originals are not cropped"))
    return (*size, population.channels)


def _size_problem(population: Population, why: str) -> tuple[str, dict[str, Any]]:
    first = (int(population.heights[0]), int(population.widths[0]))
    differ = np.flatnonzero((population.heights != first[0]) | (population.widths != first[1]))[:3]
    offenders = [
        f"{population.locators[row]} is {population.heights[row]}×{population.widths[row]}"
        for row in (0, *differ.tolist())
    ]
    message = (
        f"expected images of one size, got {'; '.join(offenders)} …, and {why}; add "
        "--resize HEIGHTxWIDTH, or begin the pipeline with a resize step"
    )
    return message, {"expected": first, "found": offenders}


def check_values(pipeline: Pipeline, recipe: Recipe, population: Population) -> None:
    """Refuses to guess what black and white are.

    Raises:
        ConfigError: float32 images meet a step that changes values, and no range was given.
    """
    toning = [s.name for s in pipeline.moving_steps if isinstance(s, Photometric)]
    if population.dtype == "float32" and toning and recipe.value_range is None:
        raise ConfigError(
            f"value_range: expected the values that mean black and white, since {toning[0]} "
            "changes the values of float32 images, got none; give --value-range 0,1 or another",
            {"name": "value_range", "expected": "black, white", "found": None},
        )


def recipe_digest(pipeline: Pipeline, recipe: Recipe) -> str:
    """Names what happens to an image: pipeline, seed and what black and white are."""
    facts: dict[str, Any] = {"pipeline": fingerprint(pipeline), "seed": recipe.seed}
    if recipe.value_range is not None:
        facts["value_range"] = list(recipe.value_range)
    return digest(facts)


def parameter_names(pipeline: Pipeline, shape: tuple[int, int]) -> tuple[str, ...]:
    """The columns of ``--parameters full``, such as ``zoom.zoom_x``."""
    words = np.zeros((1, len(pipeline.word_names)), dtype=np.uint32)
    drawn = pipeline.parameters(words, Canvas(np.array([shape[0]]), np.array([shape[1]])))
    pairs = zip(pipeline.step_keys, drawn, strict=True)
    return tuple(f"{key}.{name}" for key, parameters in pairs for name in parameters)


def tasks(
    pipeline: Pipeline,
    recipe: Recipe,
    population: Population,
    *,
    generation: int = 1,
    copies: range | None = None,
    originals: bool | None = None,
) -> Iterator[Task]:
    """The tasks of one generation, run by run; one task holds all shards of its run.

    Args:
        pipeline: what happens to each copy.
        recipe: the options that decide bytes.
        population: the generation's images.
        generation: its number, from 1.
        copies: which copies to write; all of the recipe's by default.
        originals: whether to write the untouched images; the recipe's choice by default.
    """
    copies = range(recipe.copies) if copies is None else copies
    originals = recipe.originals if originals is None else originals
    for split in SPLITS:
        rows = population.split_rows(split)
        wanted = copies if split == "train" else range(0)
        if not len(rows) or not (originals or len(wanted)):
            continue
        shapes = [original_shape(pipeline, population)] if originals else []
        shapes += [image_shape(pipeline, population)] if len(wanted) else []
        value_bytes = np.dtype(population.dtype).itemsize
        row_bytes = max(int(np.prod(shape)) for shape in shapes) * value_bytes
        runs = -(-len(rows) // max(recipe.shard_bytes // row_bytes, 1))
        at_once = -(-len(rows) // runs)  # runs of one length, so that tasks take equally long
        for run, first in enumerate(range(rows.start, rows.stop, at_once)):
            count = min(at_once, rows.stop - first)
            common = ShardSpec(
                kind="original", generation=generation, split=split, run=run,
                first_row=first - rows.start, num_rows=count, copy=-1, image_shape=shapes[0],
                image_dtype="float32" if population.dtype == "float32" else "uint8",
                codec=recipe.codec, parameters="none", recipe="",
                rows_digest=rows_digest(
                    population.ids[first : first + count],
                    population.labels[first : first + count],
                    population.class_names,
                ),
            )  # fmt: skip
            specs = [common] if originals else []
            specs += [_copy_spec(common, pipeline, recipe, shapes[-1], copy) for copy in wanted]
            yield Task(first, count, tuple(specs), generation)


def _copy_spec(
    common: ShardSpec, pipeline: Pipeline, recipe: Recipe, shape: tuple[int, int, int], copy: int
) -> ShardSpec:
    names = {
        "none": (),
        "draws": pipeline.word_names,
        "full": parameter_names(pipeline, shape[:2]),
    }[recipe.parameters]
    return replace(
        common, kind="copy", copy=copy, image_shape=shape,
        parameters="none" if not names else "full" if recipe.parameters == "full" else "draws",
        recipe=recipe_digest(pipeline, recipe), draw_words=names,
    )  # fmt: skip


def shared_out(work: Sequence[Task], workers: int) -> list[Task]:
    """The same shards in tasks that keep all workers busy to the end.

    Where runs are few, their copies are split among tasks, each of which decodes its run again; so
    it is done only as far as it takes to leave no worker idle for long. Grouping changes no byte.

    Args:
        work: tasks of whole runs.
        workers: how many there are.
    """
    most = max((len(task.specs) for task in work), default=1)
    idle = {parts: _idle_share(len(work) * parts, workers) for parts in range(1, most + 1)}
    enough = (parts for parts in idle if idle[parts] <= _ACCEPTED_IDLE_SHARE)
    return in_parts(work, next(enough, min(idle, key=lambda parts: idle[parts])))


def in_parts(work: Sequence[Task], parts: int) -> list[Task]:
    """Every task's copies spread over so many tasks, or as many as it has."""
    split = []
    for task in work:
        size = -(-len(task.specs) // parts)
        chunks = [task.specs[i : i + size] for i in range(0, len(task.specs), size)]
        split += [replace(task, specs=chunk) for chunk in chunks]
    return split


def _idle_share(tasks: int, workers: int) -> float:
    """The share of the workers' time that is lost at the end, for tasks of equal length."""
    return 1 - tasks / (-(-tasks // workers) * workers) if tasks else 0.0


def rows_of(population: Population, task: Task) -> Population:
    """The population's rows that a task needs: what is sent to its worker."""
    return take_rows(population, np.arange(task.first_row, task.first_row + task.num_rows))


def take_rows(
    population: Population,
    rows: NDArray[np.int64],
    quarantined: tuple[Quarantined, ...] = (),
) -> Population:
    """Some rows of a population, in their order."""
    columns: dict[str, Any] = {
        f.name: value.taken(rows) if isinstance(value, TextColumn) else value[rows]
        for f in fields(population)
        if isinstance(value := getattr(population, f.name), TextColumn | np.ndarray)
    }
    return replace(population, **columns, quarantined=quarantined)


def checked_population(path: Path, identity: str) -> Population:
    """The population in a file, if it is the expected one.

    Raises:
        ManifestError: it is missing, damaged or another one.
    """
    cause: Exception | None = None
    try:
        population = Population.from_bytes(path.read_bytes())
        found = population_identity(population)
        if found == identity:
            return population
    except (OSError, MaterializeError) as error:
        found, cause = "no population that can be read", error
    raise ManifestError(
        f"{path}: expected population {identity[:16]}, found {found}; run `materialize repair`",
        {"path": str(path), "expected": identity, "found": found},
    ) from cause


def population_identity(population: Population) -> str:
    """What a population decides about bytes: ids, labels, splits, sizes; not where files lie."""
    hasher = hashlib.sha256(b"materialize-population-identity-1\0")
    hasher.update(len(population).to_bytes(8, "little"))
    for column in ("ids", "labels", "splits", "heights", "widths"):
        hasher.update(np.ascontiguousarray(getattr(population, column)).data)
    facts = {
        "class_names": list(population.class_names),
        "channels": population.channels,
        "dtype": population.dtype,
    }
    hasher.update(digest(facts).encode())
    return hasher.hexdigest()


def estimated_bytes(work: Sequence[Task]) -> int:
    """An upper bound of what the shards of some tasks take: pixels as raw, plus columns."""
    return sum(
        spec.images.num_bytes + sum(c.num_bytes for c in spec.columns().values()) + 2**14
        for task in work
        for spec in task.specs
    )


def _require_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(
            f"{name}: expected a whole number in [{low}, {high}], got {value!r}",
            {"name": name, "expected": [low, high], "found": value},
        )
