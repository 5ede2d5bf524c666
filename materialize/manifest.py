"""The identity of a dataset: which shards it has, and the digest of every byte of them.

    OUT/manifest-000001.json      what this module writes, last of all: its presence means complete
    OUT/manifest-000002.json      a later generation; names the digest of the one before
    OUT/plan-000001.json          claimed before the first shard; see `materialize.plans`
    OUT/population-<16 hex>.h5    the sample ids of one generation
    OUT/shards/<name>.h5          see `materialize.shards.layout`
    OUT/receipts/<name>.json      see `materialize.receipts`; outside every digest

A manifest is a function of the plan and the shards alone: no time, host, path or version is in it,
so equal datasets have equal manifests, and one digest of 64 hex digits pins a dataset whole.
Readers probe for the next number and never list the directory: object stores list late or not at
all, and a file with a similar name must mean nothing.
"""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from materialize.atomic import AlreadyPublishedError, publish_file
from materialize.canonical import canonical_json, sha256_hex
from materialize.errors import ManifestError, ManifestMissingError, PlanConflictError
from materialize.shards.layout import LATER, ShardEntry

FORMAT_NAME = "materialize-manifest"
FORMAT_VERSION = 1

SHARDS_DIRECTORY = "shards"

_T = TypeVar("_T")

_LATER: dict[str, Any] = {
    "storage": "pixels", "cuts": {}, "removed": (), "balance": None, "balance_cap": None,
    "holes": (), "folds": None,
}  # fmt: skip
"""Fields that came after the first datasets, and what they are where nothing is said: left out
then, so that a dataset that has no use for them keeps its bytes and its digest."""


class RunCut(NamedTuple):
    """A run of a generation that lost images since it was cut."""

    run: int
    """Its number."""
    first_row: int
    """Where it began when it was cut: what its specs say still."""
    start: int
    """Where it begins in its split now."""
    num_rows: int
    """How many rows are left; at least 1."""


class Hole(NamedTuple):
    """A training image that was removed, and still has its place among the partners to draw."""

    sample_id: str
    """In hex."""
    fold: int
    """The fold that held it out; 0 where images are not mixed within folds."""


@dataclass(frozen=True, slots=True)
class PopulationEntry:
    """The samples of one generation."""

    generation: int
    file: str
    digest: str
    counts: dict[str, int]
    """Number of samples by split."""
    training_digest: str
    """`Population.digest`, over the training ids: what the order of every epoch hangs on."""
    cuts: dict[str, tuple[RunCut, ...]] = field(default_factory=dict)
    """By split, the runs that are left once images were removed, in order; a split that is not
    named is cut as planned. So runs that lost nothing keep their shards, byte for byte."""
    holes: tuple[Hole, ...] = ()
    """Where images are mixed, the training images that were removed, by id: who draws one is mixed
    with the next that is left, so that all others keep their partners."""

    def __post_init__(self) -> None:
        if self.file != population_name(self.digest):
            raise ValueError(f"{self.file!r} is not the name of population {self.digest}")
        for split, runs in self.cuts.items():
            ends = [0, *(cut.start + cut.num_rows for cut in runs)]
            numbers = [cut.run for cut in runs]
            if ends[-1] != self.counts.get(split, 0) or ends[:-1] != [cut.start for cut in runs]:
                raise ValueError(f"the runs of {split} do not follow from one another")
            if numbers != sorted(set(numbers)) or min((c.num_rows for c in runs), default=1) < 1:
                raise ValueError(f"the runs of {split} are not in order, or one is empty")

    def first_row_of(self, split: str, run: int, planned: int) -> int:
        """Where a run begins in its split.

        Args:
            split: the split.
            run: the number of the run.
            planned: where it began when it was cut.
        """
        if split not in self.cuts:
            return planned
        runs = self.cuts[split]
        return runs[bisect.bisect_left(runs, run, key=attrgetter("run"))].start


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the shards."""

    num_shards: int
    num_rows: int
    """Images, copies and originals alike; masks beside them are not counted."""
    num_bytes: int
    images_stored_bytes: int

    @classmethod
    def of(cls, shards: Iterable[ShardEntry]) -> Self:
        """The sums over some shards."""
        entries = tuple(shards)
        return cls(
            num_shards=len(entries),
            num_rows=sum(entry.spec.num_images for entry in entries),
            num_bytes=sum(entry.num_bytes for entry in entries),
            images_stored_bytes=sum(entry.images_stored_bytes for entry in entries),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One complete state of a dataset.

    Raises:
        ValueError: fields contradict each other.
    """

    format: str = FORMAT_NAME
    version: int = FORMAT_VERSION
    number: int
    """From 1, one more with every change of the dataset."""
    parent: str | None
    """Digest of the manifest before; None for the first."""
    plan: str
    """Fingerprint of the plan."""
    pipeline: str
    """Canonical text of the pipeline."""
    pipeline_fingerprint: str
    seed: int
    value_range: tuple[float, float] | None
    """For float32 images, the values that mean black and white; None where no step asks."""
    copies: int
    class_names: tuple[str, ...]
    """In label order; only ever appended to."""
    populations: tuple[PopulationEntry, ...]
    codec: str
    """Of newly built shards; each shard's own is in its spec."""
    folds: tuple[int, int] | None = None
    """Number and seed of the folds within which images are mixed; None for all together."""
    storage: str = "pixels"
    """What of an image is stored; see `materialize.recipe.STORAGE_MODES`."""
    shards: tuple[ShardEntry, ...]
    """Sorted by file name, so that the order of completion does not show."""
    quarantine: dict[str, int]
    """Number of records left out, by reason."""
    totals: Totals

    def __post_init__(self) -> None:
        names = [entry.file for entry in self.shards]
        if (self.format, self.version) != (FORMAT_NAME, FORMAT_VERSION):
            raise ValueError(f"format {self.format!r} version {self.version} is unknown")
        if self.number < 1 or (self.parent is None) != (self.number == 1):
            raise ValueError(f"manifest {self.number} cannot have the parent {self.parent}")
        if names != sorted(set(names)):
            raise ValueError("the shards are not sorted by file name, or one is there twice")
        totals = Totals.of(self.shards)
        if self.totals not in (totals, _with_masks(totals, self.shards)):
            raise ValueError(f"the totals are {self.totals}, the shards give another sum")

    def agrees(self, other: "Manifest") -> bool:
        """Whether two manifests of whatever age say the same of a dataset."""
        return replace(self, totals=other.totals) == other

    @property
    def file_name(self) -> str:
        """Such as ``manifest-000001.json``."""
        return manifest_name(self.number)

    def to_bytes(self) -> bytes:
        """Canonical JSON; equal manifests give equal bytes."""
        return canonical_bytes(self)

    def digest(self) -> str:
        """SHA-256 of the file, as 64 hex digits: pins the dataset, and names it as a parent."""
        return sha256_hex(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the manifest") -> Self:
        """The manifest in a file of whatever origin.

        Args:
            data: the whole file.
            name: of the file, for messages.

        Raises:
            ManifestError: not a manifest, of another version, inconsistent, or not byte for byte
                what `to_bytes` gives (an unknown or repeated key, for one).
        """
        head = _decode(data, _Head, name)
        if (head.format, head.version) != (FORMAT_NAME, FORMAT_VERSION):
            raise ManifestError(
                f"{name} is {head.format!r} of version {head.version}; this release reads "
                f"{FORMAT_NAME!r} of version {FORMAT_VERSION}. Use the release that wrote it",
                {"file": name, "expected": FORMAT_VERSION, "found": head.version},
            )
        return decode_canonical(data, cls, name)

    def publish(self, directory: Path) -> bool:
        """Make the dataset complete: put the manifest under its number if that is free.

        Returns:
            True if this call published it, False if the same manifest was already there.

        Raises:
            PlanConflictError: another manifest has the number; nothing was changed.
            StorageError: the file system refused.
        """
        try:
            return publish_file(directory / self.file_name, self.to_bytes())
        except AlreadyPublishedError as error:
            raise PlanConflictError(
                f"{directory / self.file_name} was published by another job with other content; "
                f"nothing was changed. Run the command again to build upon it",
                {"path": str(directory / self.file_name)},
            ) from error


def _with_masks(totals: Totals, shards: Iterable[ShardEntry]) -> Totals:
    """The sums as they were when rows of masks counted: what stands stays readable."""
    return replace(totals, num_rows=sum(entry.spec.num_rows for entry in shards))


def load_latest(directory: Path, *, pinned: str | None = None) -> Manifest:
    """The newest manifest of a dataset, after checking that each names the one before.

    Args:
        directory: the dataset.
        pinned: digest of the manifest to load instead of the newest; it must be in the chain.

    Raises:
        ManifestMissingError: there is no first manifest, or none with the pinned digest.
        ManifestError: one is damaged, of another version, or does not follow from the one before.
    """
    number, parent, data = 1, None, None
    while (following := _read(directory / manifest_name(number))) is not None:
        _check_link(following, number, parent, directory)
        data, parent, number = following, sha256_hex(following), number + 1
        if parent == pinned:
            break
    if data is None and not directory.is_dir():
        raise ManifestMissingError(
            f"{directory} does not exist: expected the directory of a dataset; check the path",
            {"path": str(directory), "pinned": pinned},
        )
    if data is None and not (directory / "plan-000001.json").exists():
        raise ManifestMissingError(
            f"{directory} is no dataset: expected the --output of `materialize build`, found "
            "neither a plan nor a manifest there; build one, or check the path",
            {"path": str(directory), "pinned": pinned},
        )
    if data is None or pinned not in (None, parent):
        wanted = "manifest" if pinned is None else f"manifest with the digest {pinned}"
        raise ManifestMissingError(
            f"{directory} has no {wanted}: the dataset was not completed or is somewhere else; run "
            f"`materialize build` to complete it",
            {"path": str(directory), "pinned": pinned},
        )
    return Manifest.from_bytes(data, str(directory / manifest_name(number - 1)))


def manifest_name(number: int) -> str:
    """File name of a manifest."""
    return f"manifest-{number:06d}.json"


def population_name(digest: str) -> str:
    """File name of a population."""
    return f"population-{digest[:16]}.h5"


def shard_path(directory: Path, shard_file: str) -> Path:
    """Where a shard is."""
    return directory / SHARDS_DIRECTORY / shard_file


def canonical_bytes(value: object) -> bytes:
    """The file of a manifest, plan or receipt: canonical JSON without later fields at rest."""
    facts = msgspec.to_builtins(value)
    for part in (facts, facts.get("recipe", {}), *facts.get("populations", ())):
        _drop_resting(part, _LATER)
    for entry in (facts, facts.get("entry", {}), *facts.get("shards", ())):
        _drop_resting(entry.get("spec", {}), LATER)
    return canonical_json(facts)


def _drop_resting(part: dict[str, Any], later: dict[str, Any]) -> None:
    for name, default in later.items():
        if name in part and part[name] == default:
            del part[name]


def decode_canonical(data: bytes, kind: type[_T], name: str) -> _T:
    """Decode a dataclass from canonical JSON and require that this is all there was.

    Raises:
        ManifestError: not JSON, not of this shape, or more than what was understood.
    """
    value = _decode(data, kind, name)
    again = canonical_bytes(value)
    if again != data:
        raise ManifestError(
            f"{name} holds more than this release understands, or was edited by hand: writing it "
            f"again gives {len(again)} bytes, not the {len(data)} that are there",
            {"file": name},
        )
    return value


@dataclass(frozen=True, slots=True)
class _Head:
    """The few fields by which manifests are chained; the others are skipped, not decoded."""

    format: str
    version: int
    number: int
    parent: str | None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _check_link(data: bytes, number: int, parent: str | None, directory: Path) -> None:
    """A manifest must carry its number and the digest of the one before."""
    name = str(directory / manifest_name(number))
    head = _decode(data, _Head, name)
    if (head.number, head.parent) != (number, parent):
        raise ManifestError(
            f"{name} says it is manifest {head.number} after {head.parent}; expected manifest "
            f"{number} after {parent}. It was edited or copied from another dataset; restore it",
            {"file": name, "expected": (number, parent), "found": (head.number, head.parent)},
        )


def _decode(data: bytes, kind: type[_T], name: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(
            f"{name} cannot be read: {error}. It is damaged or was not written by `materialize`",
            {"file": name},
        ) from error
