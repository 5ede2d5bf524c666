"""The whole account of a dataset: what it takes, where, and against what.

Every sum is made in at least two ways, and an account that does not add up is an error that names
both numbers. Kinds of bytes are never mixed: source files, decoded source, decoded copies and
originals (logical), files (stored), blocks of the file system (allocated).
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from materialize.accounting.cells import (
    IMAGE_TARGET,
    MASK_TARGET,
    UNLABELLED,
    Cell,
    CellAccount,
    account_cells,
)
from materialize.accounting.foresight import Foresight, Prediction, read_foresight
from materialize.accounting.kinds import FileAccount, FileSum, account_files, check_sum
from materialize.accounting.measures import (
    LeftOut,
    conversions,
    last_shards_room,
    left_out,
    levels,
    logical_sizes,
    source_sizes,
    sum_entries,
    weighted_levels,
)
from materialize.audit.standing import StandingDataset
from materialize.canonical import sha256_hex
from materialize.errors import ManifestMissingError
from materialize.plans import plan_name, read_plan
from materialize.population import ClassRate, class_rates
from materialize.progress import Progress

ORIGINALS = -1
"""The copy number of originals."""

_Key = TypeVar("_Key", str, int)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAccount:
    """What a dataset takes at one moment. Sizes are bytes; every breakdown sums exactly.

    ``by_class``, ``by_split``, ``by_copy``, ``by_target``, ``by_shard`` and ``cells`` each sum to
    ``shards_bytes``; ``kinds`` sums to ``stored_bytes``. In ``by_class`` and ``cells``, what HDF5
    takes for itself stands under ``container_name`` and is apportioned to no class.
    """

    directory: Path
    manifest_number: int
    manifest_digest: str
    storage: str
    codecs: dict[str, int]
    """Bytes of the shards by codec."""
    copies: int
    num_samples: int
    """Images of the source that are in the dataset."""
    num_images: int
    """Copies and originals that are stored."""
    num_shards: int
    source_bytes: int
    """What the images of the dataset occupy in the source."""
    decoded_source_bytes: int
    """The same decoded: as many channels as the dataset has, at their own sizes."""
    logical_copies_bytes: int
    logical_originals_bytes: int
    """Pixels in the shards, decoded."""
    shards_bytes: int
    stored_bytes: int
    """Lengths of all files that the newest manifest needs."""
    allocated_bytes: int
    """What the file system has set aside for these."""
    kinds: dict[str, int]
    by_class: dict[str, int]
    by_split: dict[str, int]
    by_copy: dict[int, int]
    """−1: originals."""
    by_target: dict[str, int]
    by_shard: dict[str, int]
    cells: tuple[Cell, ...]
    container_name: str
    bytes_per_sample: dict[str, int]
    """``p50``, ``p95`` and ``max`` of what one image of the source takes in all its copies, pixels
    and columns, among those of which anything is stored; empty where nothing is."""
    bytes_per_image: dict[str, int]
    """The same of single stored images, and of single masks where there are any."""
    last_shards_room_bytes: int
    """Decoded pixels that the last shard of each split holds less than its longest: a shard
    of fixed size would waste them. Nothing on the disk is."""
    superseded_bytes: int
    temporary_bytes: int
    foreign_bytes: int
    pending_bytes: int
    """Of a change that was begun and not published."""
    states: dict[str, FileSum]
    """Files by what the newest manifest makes of them; see `materialize.inventory`."""
    quarantined: dict[str, LeftOut]
    """By reason."""
    conversions: dict[str, int]
    """How many images were brought into form, and how."""
    foresight: Foresight
    balance: tuple[ClassRate, ...] = ()
    """How often an epoch shows each class; empty where every image is shown once."""

    @property
    def counted_one_by_one(self) -> str:
        """What ``bytes_per_image`` is about."""
        return "stored image or mask" if MASK_TARGET in self.by_target else "stored image"

    @property
    def logical_bytes(self) -> int:
        """Copies and originals, decoded."""
        return self.logical_copies_bytes + self.logical_originals_bytes

    @property
    def directory_bytes(self) -> int:
        """Lengths of all files under the directory, whoever they belong to."""
        return sum(files.num_bytes for files in self.states.values())

    @property
    def directory_allocated_bytes(self) -> int:
        """What the file system has set aside for them: what `du` counts, without directories."""
        return sum(files.allocated_bytes for files in self.states.values())

    @property
    def amplification(self) -> float:
        """Stored bytes for each byte of the source; 0 where the source takes none."""
        return _ratio(self.stored_bytes, self.source_bytes)

    @property
    def logical_amplification(self) -> float:
        """Decoded bytes in the shards for each byte of the decoded source."""
        return _ratio(self.logical_bytes, self.decoded_source_bytes)

    @property
    def compression(self) -> float:
        """Decoded bytes for each byte of stored pixels; 0 where none are stored."""
        return _ratio(self.logical_bytes, self.kinds["pixels"])

    @property
    def container_share(self) -> float:
        """What HDF5 takes for itself, of all bytes of the shards."""
        return _ratio(self.kinds["container"], self.shards_bytes)

    @property
    def bytes_per_copy(self) -> float:
        """What the shards of one copy take on average; 0 where no copies are stored."""
        sizes = [size for copy, size in self.by_copy.items() if copy != ORIGINALS]
        return _ratio(sum(sizes), len(sizes))

    def to_json(self) -> dict[str, Any]:
        """Everything, with what is derived, JSON-ready."""
        derived = (
            "logical_bytes", "directory_bytes", "directory_allocated_bytes", "amplification",
            "logical_amplification", "compression", "container_share", "bytes_per_copy",
        )  # fmt: skip
        facts = asdict(self)
        facts["directory"] = str(self.directory)
        facts["by_copy"] = {str(copy): size for copy, size in self.by_copy.items()}
        facts["cells"] = [asdict(cell) | {"num_bytes": cell.num_bytes} for cell in self.cells]
        facts["foresight"] = _foresight_facts(self.foresight)
        return facts | {name: getattr(self, name) for name in derived}


def account_dataset(
    directory: Path | str, *, per_shard: bool = False, progress: Progress | None = None
) -> StorageAccount:
    """Accounts for every byte of a dataset at this moment; nothing is written.

    Raw shards are not opened. Encoded ones are, and read once unless stamps say that they were;
    nothing is decoded.

    Args:
        directory: of a complete dataset.
        per_shard: whether ``cells`` are kept apart by shard, instead of summed over them.
        progress: called with the stored images that are accounted for.

    Raises:
        ManifestMissingError: the dataset is not there or not complete.
        ManifestError: a manifest or population is damaged, or a newer one came meanwhile.
        ShardError: a shard is missing, or an encoded one is damaged.
        AccountError: two ways to count do not agree; both numbers are in the message.
        StorageError: a directory cannot be listed.
    """
    directory = Path(directory)
    dataset = _open(directory)
    files = account_files(directory, dataset.manifest)
    shares = account_cells(dataset, per_shard=per_shard, progress=progress)
    account = _put_together(dataset, files, shares)
    _check(account, dataset, shares)
    return account


def _open(directory: Path) -> StandingDataset:
    """The dataset; one that was begun and not finished is told from none at all."""
    try:
        return StandingDataset.open(directory)
    except ManifestMissingError as error:
        if not (directory / plan_name(1)).exists():
            raise
        raise ManifestMissingError(
            f"{directory} was begun and is not complete: expected a manifest, found a plan alone. "
            f"Run the same `materialize build` again to go on, or `materialize finish {directory}` "
            "if all parts are built",
            {"path": str(directory), "expected": "manifest", "found": "plan"},
        ) from error


def _put_together(
    dataset: StandingDataset, files: FileAccount, shares: CellAccount
) -> StorageAccount:
    manifest, populations = dataset.manifest, dataset.populations
    by_class = _summed(shares.cells, lambda cell: cell.class_name)
    names = (UNLABELLED, *manifest.class_names, shares.container_name)
    return StorageAccount(
        directory=dataset.directory,
        manifest_number=manifest.number,
        manifest_digest=sha256_hex((dataset.directory / manifest.file_name).read_bytes()),
        storage=manifest.storage,
        codecs=sum_entries(manifest.shards, lambda entry: entry.spec.codec),
        copies=manifest.copies,
        num_samples=sum(len(population) for population in populations),
        num_images=sum(entry.spec.num_images for entry in manifest.shards),
        num_shards=manifest.totals.num_shards,
        **source_sizes(populations),
        **logical_sizes(manifest),
        shards_bytes=files.shards_bytes,
        stored_bytes=files.stored_bytes,
        allocated_bytes=files.allocated_bytes,
        kinds=files.kinds,
        by_class={name: by_class[name] for name in names if name in by_class},
        by_split=_summed(shares.cells, lambda cell: cell.split),
        by_copy=dict(sorted(_summed(shares.cells, lambda cell: cell.copy).items())),
        by_target=_summed(shares.cells, lambda cell: cell.target),
        by_shard={entry.file: entry.num_bytes for entry in manifest.shards},
        cells=shares.cells,
        container_name=shares.container_name,
        bytes_per_sample=levels(shares.per_sample[shares.per_sample > 0]),
        bytes_per_image=weighted_levels(shares.per_image),
        last_shards_room_bytes=last_shards_room(manifest.shards),
        superseded_bytes=files.states["superseded"].num_bytes,
        temporary_bytes=files.states["temporary"].num_bytes,
        foreign_bytes=files.states["foreign"].num_bytes,
        pending_bytes=files.states["pending"].num_bytes,
        states={str(state): found for state, found in files.states.items()},
        quarantined=left_out(populations),
        conversions=conversions(populations),
        foresight=read_foresight(dataset.directory, manifest, files.shards_bytes),
        balance=class_rates(
            populations,
            read_plan(dataset.directory, manifest.number).recipe.balance,
            manifest.copies,
        ),
    )


def _check(account: StorageAccount, dataset: StandingDataset, shares: CellAccount) -> None:
    """Everything that is counted twice must agree.

    Raises:
        AccountError: it does not.
    """
    total, kinds = account.shards_bytes, account.kinds
    in_images = kinds["pixels"] + kinds["columns"]
    sums: Iterable[tuple[str, int, int]] = (
        ("the shards in the manifest", dataset.manifest.totals.num_bytes, total),
        ("the stored pixels in the manifest",
         dataset.manifest.totals.images_stored_bytes, kinds["pixels"]),
        ("the classes", sum(account.by_class.values()), total),
        ("the splits", sum(account.by_split.values()), total),
        ("the copies", sum(account.by_copy.values()), total),
        ("the targets", sum(account.by_target.values()), total),
        ("the shards", sum(account.by_shard.values()), total),
        ("the codecs", sum(account.codecs.values()), total),
        ("the pixels of all cells", sum(c.pixels_bytes for c in account.cells), kinds["pixels"]),
        ("the columns of all cells",
         sum(c.columns_bytes for c in account.cells), kinds["columns"]),
        ("the containers of all cells",
         sum(c.container_bytes for c in account.cells), kinds["container"]),
        ("the images of all cells",
         sum(c.num_images for c in account.cells if c.target == IMAGE_TARGET), account.num_images),
        ("the bytes of all samples", int(shares.per_sample.sum()), in_images),
        ("the bytes of all stored images",
         sum(size * count for size, count in shares.per_image.items()), in_images),
    )  # fmt: skip
    for what, found, expected in sums:
        check_sum(account.directory, what, found, expected)


def _summed(cells: Iterable[Cell], key: Callable[[Cell], _Key]) -> dict[_Key, int]:
    sums: dict[_Key, int] = {}
    for cell in cells:
        sums[key(cell)] = sums.get(key(cell), 0) + cell.num_bytes
    return sums


def _foresight_facts(foresight: Foresight) -> dict[str, Any]:
    def facts(prediction: Prediction | None) -> dict[str, Any] | None:
        if prediction is None:
            return None
        derived = {"error": prediction.error, "is_covered": prediction.is_covered}
        return asdict(prediction) | derived

    return {
        "shards_bytes": facts(foresight.shards_bytes),
        "seconds": facts(foresight.seconds),
        "remark": foresight.remark,
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
