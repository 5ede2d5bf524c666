"""Why one stored image looks as it does: its source, its draws, its program, and the proof by redo.

Everything said here is taken from the dataset and recomputed, not remembered: the words are drawn
again, the program is lowered again and the pixels are made again, and each is held against what is
stored.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.audit.explained import Explanation, PartnerFacts, StepDraw
from materialize.audit.naming_samples import find_sample
from materialize.audit.program_words import program_words
from materialize.audit.regeneration import (
    Prepared,
    Regenerator,
    drawn_columns,
    drawn_words,
    located,
)
from materialize.audit.standing import StandingDataset
from materialize.audit.tracing import trace
from materialize.errors import ConfigError, MaterializeError, ShardError
from materialize.executor import Crew
from materialize.feasibility import prepared_canvas
from materialize.manifest import shard_path
from materialize.partner_images import PartnerImages
from materialize.partners import NOBODY, Pairing
from materialize.pictures.overlay import Marked
from materialize.planning import num_copies, take_rows, tasks
from materialize.population import Population, load_images
from materialize.recipe import Recipe
from materialize.shards.layout import ShardEntry, ShardSpec
from materialize.shards.reader import ShardReader
from materialize.sources.base import Pixels
from materialize.stock import ORIGINAL
from materialize.targets import move_targets, prepare_targets
from materialize.whereabouts import find_source
from pipelines import Pipeline
from pipelines.errors import UserCodeError
from pipelines.objects import Objects


def explain_sample(
    directory: str | Path, sample: str, copy: int, source: object | None = None
) -> Explanation:
    """Explains one image: what is stored of it, and what its copies are made of.

    Args:
        directory: the dataset.
        sample: a sample id in hex or the beginning of one, or where its source is: the locator, or
            a path that ends in it.
        copy: which copy; −1 for the untouched image. What the dataset's storage mode does not store
            is made again from the source.
        source: where to look for the source; where it was last seen by default.

    Raises:
        ConfigError: no such sample, several, or no such copy.
        ManifestMissingError: there is no dataset.
        ManifestError: the manifest or a population is damaged.
    """
    dataset = StandingDataset.open(Path(directory))
    generation, place = find_sample(dataset.populations, sample)
    population = dataset.populations[generation - 1]
    rows = take_rows(population, np.array([place]))
    found = _stored_at(dataset, generation, place, copy)
    spec = _made_at_reading(dataset, rows, copy) if found is None else found[0].spec
    problems: list[str] = []
    stored, beside = _stored(dataset.directory, found, problems)
    steps, program = _drawn(dataset, rows, spec)
    pairings = dataset.pairings(generation, {copy: np.array([place])})
    original, regenerator, traced, partners = _original(dataset, rows, pairings, source, problems)
    recomputed, prepared = None, None
    if regenerator is not None and partners is not None:
        only = np.zeros(1, np.int64)
        prepared = regenerator.prepare(traced, only)
        recomputed = regenerator.render(traced, spec, prepared, only, partners)[0]
    targets: dict[str, Marked] = {}
    if stored is not None and found is not None:
        of_mask = _stored_at(dataset, generation, place, copy, is_mask=True)
        mask, _ = _stored(dataset.directory, of_mask, problems)
        labels = None if mask is None else mask.astype(np.uint8)
        targets["stored"] = Marked(stored, _stored_objects(dataset.directory, *found), labels)
    if regenerator is not None and prepared is not None and recomputed is not None:
        targets |= _redone_targets(regenerator, traced, spec, prepared, original, recomputed)
    label = int(rows.labels[0])
    return Explanation(
        sample_id=rows.ids[0].tobytes().hex(),
        locator=rows.locators[0],
        content_sha256=rows.digests[0].tobytes().hex(),
        class_name=None if label < 0 else population.class_names[label],
        split=spec.split,
        copy=copy,
        shard=None if found is None else found[0].file,
        row=None if found is None else found[1],
        steps=steps,
        program=program,
        original=original,
        stored=stored,
        recomputed=recomputed,
        are_draws_equal=_are_equal(dataset, rows, spec, beside, pairings.get(copy)),
        partner=_partner(pairings.get(copy)),
        problems=tuple(problems),
        schema=population.schema,
        targets=targets if population.schema.moves else {},
    )


def _stored_objects(directory: Path, entry: ShardEntry, row: int) -> Objects | None:
    """The objects of a row that was read before."""
    with ShardReader(shard_path(directory, entry.file), entry) as reader:
        return None if reader.objects is None else reader.objects.take(np.array([row]))


def _redone_targets(
    regenerator: Regenerator,
    traced: Population,
    spec: ShardSpec,
    prepared: Prepared,
    original: Pixels | None,
    recomputed: Pixels,
) -> dict[str, Marked]:
    """What the source and the copy made of it show."""
    targets, only = prepared.targets, np.zeros(1, np.int64)
    if targets is None:
        return {}
    objects, mask = regenerator.objects(traced, spec, prepared, only), None
    if targets.masks is not None:
        masks = np.empty((1, *spec.image_shape[:2], targets.masks.channels), np.uint8)
        words = drawn_words(regenerator.pipeline, regenerator.seed, traced, spec)
        move_targets(regenerator.pipeline, targets, words, masks=masks)
        mask = masks[0]
    found = {"recomputed": Marked(recomputed, objects, mask)}
    if original is not None:
        before = prepare_targets(regenerator.source, Pipeline(steps=()), traced)
        there = None if before.masks is None else before.masks.image(0).astype(np.uint8)
        found["original"] = Marked(original, before.objects, there)
    return found


def _stored_at(
    dataset: StandingDataset, generation: int, place: int, copy: int, *, is_mask: bool = False
) -> tuple[ShardEntry, int] | None:
    """The shard that holds a sample's copy, or its mask, and the row there; None without one."""
    for entry in dataset.manifest.shards:
        spec = entry.spec
        if (spec.generation, spec.copy, spec.is_mask) == (generation, copy, is_mask):
            rows = dataset.rows_of(entry.spec)
            here = int(np.searchsorted(rows, place))
            if here < len(rows) and rows[here] == place:
                return entry, here
    return None


def _made_at_reading(dataset: StandingDataset, rows: Population, copy: int) -> ShardSpec:
    """What a shard would be that held nothing but this image.

    Raises:
        ConfigError: the dataset neither stores this copy nor makes it at reading.
    """
    manifest, is_training = dataset.manifest, bool(len(rows.split_rows("train")))
    is_known = copy == ORIGINAL or (is_training and copy > ORIGINAL)
    if manifest.storage == "pixels" or not is_known:
        most = int(num_copies(rows, np.zeros(1, np.int64), manifest.copies)[0])
        stored = {entry.spec.copy for entry in manifest.shards if entry.spec.copy < most}
        held = sorted(stored if is_training else ())
        raise ConfigError(
            f"copy: expected one of those stored of {rows.locators[0]}: "
            f"{f'{held[0]} to {held[-1]}' if held else 'none'} (−1 is the original), got {copy}",
            {"name": "copy", "expected": held, "found": copy},
        )
    recipe = Recipe(copies=1, value_range=manifest.value_range, originals=True)
    one = replace(rows, rates=None)
    every = [spec for task in tasks(dataset.pipeline, recipe, one) for spec in task.specs]
    original, *copies = [spec for spec in every if not spec.is_mask]
    return original if copy == ORIGINAL else replace(copies[0], copy=copy)


def _stored(
    directory: Path, found: tuple[ShardEntry, int] | None, problems: list[str]
) -> tuple[Pixels | None, dict[str, NDArray[Any]]]:
    """The stored pixels and what stands beside them, checked against the manifest."""
    if found is None:
        return None, {}
    entry, row = found
    try:
        with ShardReader(shard_path(directory, entry.file), entry) as reader:
            columns = {name: reader.columns[name][row] for name in entry.spec.columns()}
            return reader.rows(row, row + 1)[0].copy(), columns
    except (ShardError, OSError) as error:
        problems.append(str(error))
        return None, {}


def _drawn(
    dataset: StandingDataset, rows: Population, spec: ShardSpec
) -> tuple[tuple[StepDraw, ...], tuple[str, ...]]:
    """What chance gave each step, and the program that came of it."""
    pipeline, manifest = dataset.pipeline, dataset.manifest
    if spec.kind == "original":
        resized = f"resized to {spec.image_shape[:2]}" if pipeline.resize else "as it came"
        kept = "" if manifest.storage == "recipe" else "stored "
        return (), (f"{kept}{resized}: nothing is drawn for an original",)
    words = pipeline.draw(manifest.seed, rows.ids, spec.copy)
    canvas = prepared_canvas(pipeline, rows)
    drawn = pipeline.parameters(words, canvas)
    steps, offset = [], 0
    for placed, parameters in zip(pipeline.placed, drawn, strict=True):
        own = words[0, offset : offset + placed.num_words]
        offset += len(own)
        values = {name: float(column[0]) for name, column in parameters.items()}
        steps.append(StepDraw(placed.key, tuple(own.tolist()), values))
    return tuple(steps), program_words(pipeline, pipeline.lower(drawn, canvas, rows.channels))


def _partner(pairing: Pairing | None) -> PartnerFacts | None:
    """Whom the image is mixed with."""
    if pairing is None or pairing.rows[0] == NOBODY:
        return None
    row, there = int(pairing.rows[0]), pairing.population
    return PartnerFacts(
        there.ids[row].tobytes().hex(), there.locators[row], there.label_name(row) or None,
        float(pairing.weights[0]),
    )  # fmt: skip


def _original(
    dataset: StandingDataset,
    rows: Population,
    pairings: dict[int, Pairing],
    source: object | None,
    problems: list[str],
) -> tuple[Pixels | None, Regenerator | None, Population, PartnerImages | None]:
    """The decoded source and what makes the copy again, or why that cannot be."""
    try:
        opened = find_source(dataset.directory, source)
        traced = trace(opened, rows, np.zeros(1, np.int64), Crew())
        problems += map(str, traced.lost)
        if traced.lost:
            return None, None, rows, None
        original = load_images(opened, traced.rows, [0])[0]
        found, lost = located(opened, pairings)
        problems += [f"the partner's {record}" for record in lost]
    except MaterializeError as error:
        problems.append(str(error))
        return None, None, rows, None
    try:
        regenerator = Regenerator(
            opened, dataset.pipeline, dataset.manifest.seed, dataset.manifest.value_range
        )
    except UserCodeError as error:
        problems.append(str(error))
        return original, None, traced.rows, None
    partners = None if lost else regenerator.partner_images(found)
    return original, regenerator, traced.rows, partners


def _are_equal(
    dataset: StandingDataset,
    rows: Population,
    spec: ShardSpec,
    beside: dict[str, NDArray[Any]],
    pairing: Pairing | None,
) -> bool | None:
    """Whether what stands beside the stored pixels is what is drawn now."""
    expected = drawn_columns(dataset.pipeline, dataset.manifest.seed, rows, spec, pairing)
    if not beside or not expected:
        return None
    return all(np.array_equal(beside[name], column[0]) for name, column in expected.items())
