"""Why one stored image looks as it does: its source, its draws, its program, and the proof by redo.

Everything said here is taken from the dataset and recomputed, not remembered: the words are drawn
again, the program is lowered again and the pixels are made again, and each is held against what is
stored.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.audit.explained import Explanation, StepDraw
from materialize.audit.naming_samples import find_sample
from materialize.audit.program_words import program_words
from materialize.audit.regeneration import Regenerator, drawn_columns
from materialize.audit.standing import StandingDataset, rows_in_population
from materialize.audit.tracing import trace
from materialize.errors import ConfigError, MaterializeError, ShardError
from materialize.executor import Crew
from materialize.job import prepared_canvas
from materialize.manifest import shard_path
from materialize.planning import take_rows
from materialize.population import Population, load_images
from materialize.shards.layout import ShardEntry
from materialize.shards.reader import ShardReader
from materialize.sources.base import Pixels
from materialize.whereabouts import find_source


def explain_sample(
    directory: str | Path, sample: str, copy: int, source: object | None = None
) -> Explanation:
    """Explains one stored image.

    Args:
        directory: the dataset.
        sample: a sample id in hex or the beginning of one, or where its source is: the locator, or
            a path that ends in it.
        copy: which copy; −1 for the stored original.
        source: where to look for the source; where it was last seen by default.

    Raises:
        ConfigError: no such sample, several, or no such copy.
        ManifestMissingError: there is no dataset.
        ManifestError: the manifest or a population is damaged.
    """
    dataset = StandingDataset.open(Path(directory))
    generation, place = find_sample(dataset.populations, sample)
    population = dataset.populations[generation - 1]
    entry, row = _stored_at(dataset, population, generation, place, copy)
    rows = take_rows(population, np.array([place]))
    problems: list[str] = []
    stored, beside = _stored(dataset.directory, entry, row, problems)
    steps, program = _drawn(dataset, rows, entry)
    original, regenerator, traced = _original(dataset, rows, source, problems)
    recomputed = None
    if regenerator is not None:
        only = np.zeros(1, np.int64)
        prepared = regenerator.prepare(traced, only)
        recomputed = regenerator.render(traced, entry.spec, prepared, only)[0]
    label = int(rows.labels[0])
    return Explanation(
        sample_id=rows.ids[0].tobytes().hex(),
        locator=rows.locators[0],
        content_sha256=rows.digests[0].tobytes().hex(),
        class_name=None if label < 0 else population.class_names[label],
        split=entry.spec.split,
        copy=copy,
        shard=entry.file,
        row=row,
        steps=steps,
        program=program,
        original=original,
        stored=stored,
        recomputed=recomputed,
        are_draws_equal=_are_equal(dataset, rows, entry, beside),
        problems=tuple(problems),
    )


def _stored_at(
    dataset: StandingDataset, population: Population, generation: int, place: int, copy: int
) -> tuple[ShardEntry, int]:
    """The shard that holds a sample's copy, and the row there."""
    there = []
    for entry in dataset.manifest.shards:
        spec = entry.spec
        if spec.generation == generation:
            rows = rows_in_population(population, spec)
            if place in rows and spec.copy == copy:
                return entry, place - rows.start
            there += [spec.copy] if place in rows else []
    held = sorted(set(there))
    raise ConfigError(
        f"copy: expected one of those stored of {population.locators[place]}: "
        f"{f'{held[0]} to {held[-1]}' if held else 'none'} (−1 is the original), got {copy}",
        {"name": "copy", "expected": held, "found": copy},
    )


def _stored(
    directory: Path, entry: ShardEntry, row: int, problems: list[str]
) -> tuple[Pixels | None, dict[str, NDArray[Any]]]:
    """The stored pixels and what stands beside them, checked against the manifest."""
    try:
        with ShardReader(shard_path(directory, entry.file), entry) as reader:
            columns = {name: column[row] for name, column in reader.columns.items()}
            return reader.rows(row, row + 1)[0].copy(), columns
    except (ShardError, OSError) as error:
        problems.append(str(error))
        return None, {}


def _drawn(
    dataset: StandingDataset, rows: Population, entry: ShardEntry
) -> tuple[tuple[StepDraw, ...], tuple[str, ...]]:
    """What chance gave each step, and the program that came of it."""
    pipeline, manifest = dataset.pipeline, dataset.manifest
    if entry.spec.kind == "original":
        resized = f"resized to {entry.spec.image_shape[:2]}" if pipeline.resize else "as it came"
        return (), (f"stored {resized}: nothing is drawn for an original",)
    words = pipeline.draw(manifest.seed, rows.ids, entry.spec.copy)
    canvas = prepared_canvas(pipeline, rows)
    drawn = pipeline.parameters(words, canvas)
    steps, offset = [], 0
    for key, step, parameters in zip(pipeline.step_keys, pipeline.moving_steps, drawn, strict=True):
        own = words[0, offset : offset + step.words_needed()]
        offset += len(own)
        values = {name: float(column[0]) for name, column in parameters.items()}
        steps.append(StepDraw(key, tuple(own.tolist()), values))
    return tuple(steps), program_words(pipeline, pipeline.lower(drawn, canvas, rows.channels))


def _original(
    dataset: StandingDataset, rows: Population, source: object | None, problems: list[str]
) -> tuple[Pixels | None, Regenerator | None, Population]:
    """The decoded source and what makes the copy again, or why that cannot be."""
    try:
        opened = find_source(dataset.directory, source)
        traced = trace(opened, rows, np.zeros(1, np.int64), Crew())
        problems += map(str, traced.lost)
        if traced.lost:
            return None, None, rows
        original = load_images(opened, traced.rows, [0])[0]
    except MaterializeError as error:
        problems.append(str(error))
        return None, None, rows
    regenerator = Regenerator(
        opened, dataset.pipeline, dataset.manifest.seed, dataset.manifest.value_range
    )
    return original, regenerator, traced.rows


def _are_equal(
    dataset: StandingDataset, rows: Population, entry: ShardEntry, beside: dict[str, NDArray[Any]]
) -> bool | None:
    """Whether what stands beside the stored pixels is what is drawn now."""
    expected = drawn_columns(dataset.pipeline, dataset.manifest.seed, rows, entry.spec)
    if not beside or not expected:
        return None
    return all(np.array_equal(beside[name], column[0]) for name, column in expected.items())
