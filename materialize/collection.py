"""Removes what the newest manifest does not need: what transcoding and removal left behind.

What goes is what `materialize.inventory` calls superseded: shards, receipts and populations that
only earlier manifests name. Then statistics that were fitted on images of which some were removed
since, and temporaries of writers that are dead. What stays is every manifest and plan (readers
follow the chain; they hold no image, and no id but those that are remembered as removed), all that
a plan needs which was claimed and not published, and whatever is not ours.

Nothing that goes is needed by what stays, so a collection that is killed leaves the dataset whole,
and the same call goes on.

Another job may begin at any moment, and find a superseded shard standing. So files lose their names
first; then it is looked whether a plan was claimed. If one was, they go back; if none was, whoever
claims one from here on does not find them, and they can be removed.
"""

from dataclasses import dataclass
from pathlib import Path

from materialize.atomic import (
    find_leftovers,
    put_back,
    remove_files,
    set_aside,
    sweep_temporaries,
)
from materialize.audit.standing import StandingDataset
from materialize.errors import PlanConflictError
from materialize.inventory import Item, take_inventory
from materialize.loader.samples import split_samples
from materialize.manifest import SHARDS_DIRECTORY, manifest_name
from materialize.plans import plan_name, read_plan
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.stamps import forget_stamps
from materialize.statistics_file import samples_of


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What was removed, or would be."""

    directory: Path
    is_dry_run: bool
    items: tuple[Item, ...]
    """Sorted by path."""
    pending: tuple[Item, ...]
    """What stays because of a plan that was claimed and not published."""
    pending_plan: str | None
    """Its file; None if there is none."""

    @property
    def num_bytes(self) -> int:
        """Length of all items."""
        return sum(item.num_bytes for item in self.items)

    @property
    def allocated_bytes(self) -> int:
        """What they took of the file system."""
        return sum(item.allocated_bytes for item in self.items)

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """Kind → how many items, and their bytes."""
        kinds: dict[str, tuple[int, int]] = {}
        for item in self.items:
            count, num_bytes = kinds.get(item.kind, (0, 0))
            kinds[item.kind] = (count + 1, num_bytes + item.num_bytes)
        return kinds


def collect_garbage(directory: str | Path, *, dry_run: bool = False) -> CollectionReport:
    """Removes what the newest manifest of a dataset does not need.

    Manifests that were pinned before can no longer be read afterwards, where later ones changed
    more than they added.

    Args:
        directory: the dataset.
        dry_run: only say what would go.

    Raises:
        ManifestMissingError: there is no dataset.
        ManifestError: a manifest or population is damaged, or a new one was published meanwhile.
        PlanConflictError: another job began to write meanwhile.
        StorageError: the file system refused.
    """
    place = Path(directory)
    dataset = StandingDataset.open(place)
    items = take_inventory(place, dataset.manifest)
    leftovers = {
        path.relative_to(place).as_posix()
        for name in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY)
        for path in find_leftovers(place / name)
    }
    outdated = _outdated_statistics(dataset, items)
    gone = tuple(
        item
        for item in items
        if item.state == "superseded" or item.path in leftovers or item.path in outdated
    )
    pending = tuple(item for item in items if item.state == "pending")
    following = plan_name(dataset.manifest.number + 1)
    pending_plan = following if any(item.path == following for item in pending) else None
    report = CollectionReport(place, dry_run, gone, pending, pending_plan)
    if dry_run:
        return report
    _remove(dataset, [item for item in gone if item.path not in leftovers], pending_plan)
    for name in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY):
        sweep_temporaries(place / name)
    return report


def _remove(dataset: StandingDataset, items: list[Item], pending_plan: str | None) -> None:
    """Removes files unless another job began; then they stay.

    With a plan that was pending all along, nothing goes that a job may count on.
    """
    place = dataset.directory
    if pending_plan is None:
        _check_unchanged(dataset)
    forget_stamps(place, {Path(item.path).name for item in items if item.kind == "shard"})
    aside = set_aside([place / item.path for item in items])
    try:
        if pending_plan is None:
            _check_unchanged(dataset)
        remove_files(list(aside.values()))
    except BaseException:
        put_back(aside)
        raise


def _outdated_statistics(dataset: StandingDataset, items: tuple[Item, ...]) -> set[str]:
    """Statistics that removed images may be in: those of any other part than all training images.

    Where nothing was removed, those of folds and of earlier generations are as good as ever.
    """
    if not read_plan(dataset.directory, dataset.manifest.number).removed:
        return set()
    current = split_samples(dataset.populations, "train").digest
    stored = [item.path for item in items if item.kind == "statistics"]
    return {path for path in stored if samples_of(dataset.directory / path) != current}


def _check_unchanged(dataset: StandingDataset) -> None:
    """Refuses to remove what somebody began to build upon since the inventory was taken."""
    number = dataset.manifest.number + 1
    for name in (plan_name(number), manifest_name(number)):
        if (dataset.directory / name).exists():
            raise PlanConflictError(
                f"{dataset.directory}: expected to be alone, found {name}: another job began to "
                "write meanwhile. Nothing was removed; run `materialize gc` again when it is done",
                {"path": str(dataset.directory), "found": name},
            )
