"""The plan on disk: what a build set out to write, claimed before its first shard.

Plans are numbered like the manifests they lead to, and a number is taken once: of two jobs with
different plans on one output, one wins and the other is told. A plan is a function of the options
and the population, so any machine that starts the same job claims the same bytes.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from materialize.atomic import AlreadyPublishedError, publish_file
from materialize.canonical import sha256_hex
from materialize.errors import ConfigError, ManifestMissingError, PlanConflictError
from materialize.manifest import (
    Manifest,
    PopulationEntry,
    canonical_bytes,
    decode_canonical,
    manifest_name,
    population_name,
)
from materialize.planning import population_identity
from materialize.population import Population
from materialize.recipe import Recipe
from materialize.sources.base import SPLITS
from pipelines import Pipeline
from pipelines.serialization import canonical_text, fingerprint, from_canonical_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One step of a dataset, from nothing or from a manifest to the next manifest."""

    number: int
    """Of the manifest it leads to."""
    parent: str | None
    """Digest of the manifest it starts from; None for the first."""
    pipeline: str
    """Canonical text."""
    pipeline_fingerprint: str
    recipe: Recipe
    """Of the whole dataset once this plan is done."""
    class_names: tuple[str, ...]
    populations: tuple[PopulationEntry, ...]
    """All generations, the newest last."""
    quarantine: dict[str, int]
    """Number of records left out, by reason."""
    excluded: tuple[str, ...] = ()
    """Locators of records left out by order of the user, now and whenever this is extended."""
    removed: tuple[str, ...] = ()
    """Ids, in hex, of samples that were removed: all that is remembered of them, so that an
    extension from a source that still has them leaves them out."""

    def __post_init__(self) -> None:
        """Refuses names that JSON cannot hold: nobody could read this plan again.

        Raises:
            ConfigError: a name is not UTF-8.
        """
        for name in (*self.class_names, *self.excluded):
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise ConfigError(
                    f"{name!a}: expected names of classes and excluded images in UTF-8, found "
                    "bytes that are none; rename them. Nothing was written",
                    {"name": "class", "expected": "UTF-8", "found": ascii(name)},
                )

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_bytes(self)

    def fingerprint(self) -> str:
        """SHA-256 of the file."""
        return sha256_hex(self.to_bytes())

    @property
    def file_name(self) -> str:
        """Such as ``plan-000001.json``."""
        return plan_name(self.number)

    def load_pipeline(self) -> Pipeline:
        """The pipeline this plan applies."""
        return from_canonical_text(self.pipeline)


def first_plan(
    pipeline: Pipeline, recipe: Recipe, population: Population, excluded: Iterable[str] = ()
) -> Plan:
    """The plan that makes a dataset of one generation."""
    return Plan(
        number=1,
        parent=None,
        pipeline=canonical_text(pipeline),
        pipeline_fingerprint=fingerprint(pipeline),
        recipe=recipe,
        class_names=population.class_names,
        populations=(population_entry(1, population),),
        quarantine=quarantine_counts(population),
        excluded=tuple(sorted(set(excluded))),
    )


def next_plan(
    previous: Plan,
    manifest: Manifest,
    copies: int,
    added: Population | None,
    excluded: Iterable[str] = (),
) -> Plan:
    """The plan that takes a dataset to more copies, and to one more generation if any was added."""
    populations = previous.populations
    if added is not None:
        populations += (population_entry(len(populations) + 1, added),)
    return dataclasses.replace(
        successor(previous, manifest),
        recipe=dataclasses.replace(previous.recipe, copies=copies),
        class_names=added.class_names if added is not None else previous.class_names,
        populations=populations,
        quarantine=quarantine_counts(added) if added is not None else previous.quarantine,
        excluded=tuple(sorted({*previous.excluded, *excluded})),
    )


def successor(previous: Plan, manifest: Manifest) -> Plan:
    """The plan that follows a manifest, equal to the one before in everything but its place."""
    return dataclasses.replace(previous, number=manifest.number + 1, parent=manifest.digest())


def population_entry(generation: int, population: Population) -> PopulationEntry:
    """What plan and manifest say about a population."""
    identity = population_identity(population)
    counts = {split: len(population.split_rows(split)) for split in SPLITS}
    return PopulationEntry(
        generation, population_name(identity), identity, counts, population.digest()
    )


def quarantine_counts(population: Population) -> dict[str, int]:
    """Quarantined records by reason."""
    counts: dict[str, int] = {}
    for item in population.quarantined:
        counts[item.reason] = counts.get(item.reason, 0) + 1
    return counts


def claim(directory: Path, plan: Plan) -> None:
    """Takes the plan's number for it.

    Raises:
        PlanConflictError: another plan has it; the difference is named.
    """
    try:
        publish_file(directory / plan.file_name, plan.to_bytes())
    except AlreadyPublishedError as error:
        raise _conflict(directory, read_plan(directory, plan.number), plan) from error


def check_claimable(directory: Path, plan: Plan) -> None:
    """Asks before anything is written what `claim` decides.

    Raises:
        PlanConflictError: another plan has the number.
    """
    standing = begun_plan(directory, plan.number)
    if standing not in (None, plan):
        raise _conflict(directory, standing, plan)


def begun_plan(directory: Path, number: int) -> Plan | None:
    """The plan with a number, or None: one that was begun, where its manifest is not there."""
    try:
        return read_plan(directory, number)
    except ManifestMissingError:
        return None


def read_plan(directory: Path, number: int) -> Plan:
    """The plan with a number.

    Raises:
        ManifestMissingError: there is none.
        ManifestError: it is damaged.
    """
    path = directory / plan_name(number)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestMissingError(
            f"{path} is not there: expected a dataset that `materialize build` has begun; check "
            "the path",
            {"path": str(path)},
        ) from error
    return decode_canonical(data, Plan, str(path))


def latest_plan(directory: Path) -> Plan:
    """The plan with the highest number.

    Raises:
        ManifestMissingError: nothing was begun here.
    """
    number = 1
    while (directory / plan_name(number + 1)).exists():
        number += 1
    return read_plan(directory, number)


def plan_name(number: int) -> str:
    """File name of a plan."""
    return f"plan-{number:06d}.json"


def _conflict(directory: Path, standing: Plan, wanted: Plan) -> PlanConflictError:
    differences = _differences(standing, wanted)
    remedy = "`materialize extend` to add to it, or another output"
    if not (directory / manifest_name(wanted.number)).exists():
        remedy = f"or another output; to give up what was begun, delete {wanted.file_name} there"
    return PlanConflictError(
        f"{directory} was begun with another plan: {differences}. Nothing was changed. Use the "
        f"same options to go on, {remedy}",
        {"path": str(directory), "differences": differences},
    )


def _differences(standing: Plan, wanted: Plan) -> str:
    """The fields in which two plans differ, in words."""
    old, new = _flat(standing), _flat(wanted)
    changed = [key for key in new if old.get(key) != new[key]]
    parts = [f"{key} is {old.get(key)!r} there and {new[key]!r} here" for key in changed[:3]]
    return "; ".join(parts) or "an unknown field"


def _flat(plan: Plan) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(plan)
    data |= data.pop("recipe")
    counts = [entry["counts"] for entry in data.pop("populations")]
    data["images"] = counts
    data["removed samples"] = len(data.pop("removed"))
    data["sample ids"] = [entry.digest[:16] for entry in plan.populations]
    del data["pipeline"]
    return data
