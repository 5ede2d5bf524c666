"""What will be written, decided before anything is: pure arithmetic over sample ids.

A plan says which shards a dataset consists of, and each shard's spec decides its bytes. Workers,
order, time and machine never enter here, so the same options give the same plan anywhere. Rows are
cut into runs; a shard is one copy of one run, so K copies are a prefix of K + 1 copies and an epoch
reads one copy's shards.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import digest, sha256_hex
from materialize.errors import (
    ManifestError,
    MaterializeError,
)
from materialize.feasibility import stored_shapes
from materialize.manifest import RunCut
from materialize.population.identity import byte_order
from materialize.population.table import Population, Quarantined
from materialize.recipe import Recipe
from materialize.shards.codecs import mask_codec
from materialize.shards.columns import fields_digest
from materialize.shards.layout import (
    ShardEntry,
    ShardFields,
    ShardSpec,
    ShardTargets,
    rows_digest,
)
from materialize.sources.base import SPLITS
from pipelines import Pipeline, fingerprint
from pipelines.transform import Canvas

DECODED_RUN_BYTES = 2 * 2**30
"""Decoded sources of one run, at most: what a worker may need room for at once."""
_ACCEPTED_IDLE_SHARE = 0.1
_UNBOUND = "0" * 64
"""The partners of a shard that is only counted or tried."""


@dataclass(frozen=True, slots=True)
class Task:
    """Shards that one worker writes in turn: some copies of one run, decoded once."""

    first_row: int
    """Position of the run's first row in its population."""
    num_rows: int
    specs: tuple[ShardSpec, ...]
    generation: int
    copies: int
    """Of the dataset: with the rates of a balanced population it decides who has which copy."""
    stock: tuple[ShardEntry, ...] = ()
    """Standing shards of lossless codecs that hold some of these rows: pixels that are there are
    taken from them, and not from the source."""
    partner_stock: tuple[ShardEntry, ...] = ()
    """Standing shards that hold the untouched images of everybody these are mixed with."""


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
    cuts: Mapping[str, Sequence[RunCut]] | None = None,
    partners_digest: Callable[[NDArray[np.int64], int], str] | None = None,
) -> Iterator[Task]:
    """The tasks of one generation, run by run; one task holds all shards of its run.

    Args:
        pipeline: what happens to each copy.
        recipe: the options that decide bytes; without shards by its ``storage``, nothing comes.
        population: the generation's images.
        generation: its number, from 1.
        cuts: by split, the runs of a generation that lost images since it was cut.
        partners_digest: binds the partners of some rows of the population in a copy; None where no
            step mixes, or where the shards are only counted or tried.
    """
    unbound = _UNBOUND if pipeline.is_mixing else ""
    bind = partners_digest or (lambda rows, copy: unbound)  # noqa: ARG005
    for split in SPLITS:
        shapes = stored_shapes(pipeline, recipe, population, split)
        first_of_split = population.split_rows(split).start
        for cut in split_runs(pipeline, recipe, population, split, cuts):
            start = first_of_split + cut.start
            rows = np.arange(start, start + cut.num_rows)
            who, content = _digests(population, rows)
            common = ShardSpec(
                kind="original", generation=generation, split=split, run=cut.run,
                first_row=cut.first_row, num_rows=cut.num_rows, copy=-1,
                image_shape=next(iter(shapes.values())),
                image_dtype="float32" if population.dtype == "float32" else "uint8",
                codec=recipe.codec, parameters="none", recipe="",
                rows_digest=who, sources_digest=content,
            )  # fmt: skip
            specs = [common] if "original" in shapes else []
            if "copy" in shapes:
                made = _copy_specs(common, pipeline, recipe, shapes["copy"], population, rows)
                specs += [replace(spec, partners_digest=bind(*held)) for spec, held in made]
            specs = [
                full
                for spec in specs
                for full in _with_targets(
                    spec, population, held_rows(population, start, spec, recipe.copies)
                )
            ]
            if specs:
                yield Task(start, cut.num_rows, tuple(specs), generation, recipe.copies)


def split_runs(
    pipeline: Pipeline,
    recipe: Recipe,
    population: Population,
    split: str,
    cuts: Mapping[str, Sequence[RunCut]] | None = None,
) -> Sequence[RunCut]:
    """The runs of a split in order; none where nothing of it is stored.

    Args:
        pipeline: what happens to each copy.
        recipe: the options that decide bytes.
        population: the generation's images.
        split: which.
        cuts: by split, the runs of a generation that lost images since it was cut.
    """
    rows = population.split_rows(split)
    shapes = stored_shapes(pipeline, recipe, population, split)
    if not len(rows) or not shapes:
        return []
    if cuts is not None and split in cuts:
        return cuts[split]
    at_once = rows_per_run(pipeline, recipe, population, rows, list(shapes.values()))
    return [
        RunCut(run, first, first, min(at_once, len(rows) - first))
        for run, first in enumerate(range(0, len(rows), at_once))
    ]


def _digests(population: Population, rows: NDArray[np.int64]) -> tuple[str, str]:
    """What a spec says of its rows: who they are, and what they are made from."""
    contents = np.ascontiguousarray(population.digests[rows])
    who = rows_digest(population.ids[rows], population.labels[rows], population.class_names)
    return who, sha256_hex(contents.data)


def rows_per_run(
    pipeline: Pipeline,
    recipe: Recipe,
    population: Population,
    rows: range,
    shapes: Sequence[tuple[int, int, int]],
) -> int:
    """How many rows a run has: as many as fit a shard, and no more than can be decoded at once.

    A function of the recipe and the population, and of nothing that may differ between a build, an
    extension and a repair.

    Args:
        pipeline: its resize decides what a decoded source takes.
        recipe: its ``shard_bytes`` is the limit of a shard.
        population: the generation's images.
        rows: those of one split.
        shapes: of everything the recipe stores of them.
    """
    value_bytes = np.dtype(population.dtype).itemsize
    num_masks = len(population.schema.mask_names)
    pixel_bytes = max(population.channels * value_bytes, num_masks)
    stored = max(int(np.prod(shape[:2])) for shape in shapes) * pixel_bytes
    if pipeline.resize:
        decoded = pipeline.resize.height * pipeline.resize.width
    else:
        here = slice(rows.start, rows.stop)
        pixels = population.heights[here].astype(np.int64) * population.widths[here]
        decoded = int(pixels.max())
    decoded *= population.channels * value_bytes + num_masks
    at_most = max(min(recipe.shard_bytes // stored, DECODED_RUN_BYTES // decoded), 1)
    runs = -(-len(rows) // at_most)
    return -(-len(rows) // runs)  # runs of one length, so that tasks take equally long


def _copy_specs(
    common: ShardSpec,
    pipeline: Pipeline,
    recipe: Recipe,
    shape: tuple[int, int, int],
    population: Population,
    rows: NDArray[np.int64],
) -> Iterator[tuple[ShardSpec, tuple[NDArray[np.int64], int]]]:
    """The copies of one run, and which rows and copy each is; see `held_rows`."""
    names = {
        "none": (),
        "draws": pipeline.word_names,
        "full": parameter_names(pipeline, shape[:2]),
    }[recipe.parameters]
    spec = replace(
        common, kind="copy", copy=0, image_shape=shape,
        parameters="none" if not names else "full" if recipe.parameters == "full" else "draws",
        recipe=recipe_digest(pipeline, recipe), draw_words=names,
    )  # fmt: skip
    num_draws = num_copies(population, rows, recipe.copies)
    for copy in range(int(num_draws.max())):
        held = rows[num_draws > copy]
        if len(held) < spec.num_rows:  # who has a copy has all before it: else they are the same
            who, content = _digests(population, held)
            spec = replace(spec, num_rows=len(held), rows_digest=who, sources_digest=content)
        yield replace(spec, copy=copy), (held, copy)


def num_copies(population: Population, rows: NDArray[np.int64], copies: int) -> NDArray[np.int64]:
    """(m,) how many copies a dataset has of each of some training images.

    Args:
        population: a generation.
        rows: (m,) of it.
        copies: of the dataset, which are as many epochs.
    """
    if population.rates is None:
        return np.full(len(rows), copies, np.int64)
    return population.rates.taken(rows).num_draws(copies)


def held_rows(
    population: Population, first: int, spec: ShardSpec, copies: int
) -> NDArray[np.int64]:
    """(num_rows,) the rows that a shard holds, ascending: the one place that knows.

    These are the rows of its run that have its copy; all of them where classes are not balanced.

    Args:
        population: of the shard's generation, or its run alone.
        first: where the run begins there.
        spec: of the shard.
        copies: of the dataset.
    """
    if spec.kind == "original" or population.rates is None:
        return np.arange(first, first + spec.num_rows)
    held = np.empty(0, np.int64)
    while len(held) < spec.num_rows and first < len(population):
        rows = np.arange(first, min(first + spec.num_rows, len(population)))
        held = np.concatenate([held, rows[num_copies(population, rows, copies) > spec.copy]])
        first = int(rows[-1]) + 1
    return held[: spec.num_rows]


def _with_targets(
    spec: ShardSpec, population: Population, rows: NDArray[np.int64]
) -> Iterator[ShardSpec]:
    """A shard of images, with their objects and their fields, and the one of their masks."""
    schema, targets = population.schema, population.targets
    images = spec
    if targets is not None and targets.fields:
        columns = {name: values[rows] for name, values in targets.fields.items()}
        fields = ShardFields(fields_digest(columns), schema.fields)
        images = replace(spec, fields=fields)
    if targets is None or targets.digests is None:
        yield images
        return
    digest = sha256_hex(np.ascontiguousarray(targets.digests[rows]).data)
    kinds, names = schema.objects, schema.mask_names
    moved = None if kinds is None else ShardTargets(digest, objects=kinds)
    yield replace(images, targets=moved)
    if names:
        yield replace(
            spec, image_shape=(*spec.image_shape[:2], len(names)), image_dtype="uint8",
            codec=mask_codec(spec.codec), parameters="none", draw_words=(),
            targets=ShardTargets(digest, mask_names=names, mask_labels=schema.mask_labels),
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
    return replace(population.taken(rows), quarantined=quarantined)


def joined(populations: Sequence[Population]) -> Population:
    """The images of several generations as one population, in its order.

    Args:
        populations: from the first generation; the last one knows all classes.
    """
    everything = Population.concatenated(populations)
    return take_rows(everything, byte_order(everything.ids, everything.splits))


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
    """What a population decides about bytes: who is in, what they are; not where files lie."""
    hasher = hashlib.sha256(b"materialize-population-identity-1\0")
    hasher.update(len(population).to_bytes(8, "little"))
    for column in ("ids", "digests", "labels", "splits", "heights", "widths"):
        hasher.update(np.ascontiguousarray(getattr(population, column)).data)
    if population.folds is not None:
        hasher.update(b"folds\0" + np.ascontiguousarray(population.folds).tobytes())
    facts: dict[str, Any] = {
        "class_names": list(population.class_names),
        "channels": population.channels,
        "dtype": population.dtype,
        **population.rate_facts(),
    }
    if population.targets is not None:
        for values in population.targets.columns().values():
            hasher.update(np.ascontiguousarray(values).data)
        facts["targets"] = population.schema.to_json()
    if population.rates is not None:
        hasher.update(np.ascontiguousarray(population.rates.ranks).data)
    hasher.update(digest(facts).encode())
    return hasher.hexdigest()


def estimated_bytes(work: Sequence[Task]) -> int:
    """An upper bound of what the shards of some tasks take: pixels as raw, plus columns."""
    return sum(
        spec.images.num_bytes + sum(c.num_bytes for c in spec.columns().values()) + 2**14
        for task in work
        for spec in task.specs
    )
