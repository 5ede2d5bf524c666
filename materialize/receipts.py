"""Who built a shard, when, where and how long it took: beside the dataset, outside every digest."""

from dataclasses import dataclass
from pathlib import Path

from materialize.atomic import write_file
from materialize.environment import Environment
from materialize.errors import ManifestError
from materialize.manifest import canonical_bytes, decode_canonical
from materialize.shards.layout import ShardEntry

RECEIPTS_DIRECTORY = "receipts"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One shard as it was built, committed right after it: what a resumed build starts from."""

    entry: ShardEntry
    timings_s: dict[str, float]
    """Seconds by step."""
    host: str
    finished_at: str
    """UTC, ISO 8601."""
    environment: Environment

    def write(self, directory: Path) -> None:
        """Store beside the dataset, replacing an earlier receipt of the same shard.

        Raises:
            StorageError: the file system refused.
        """
        data = canonical_bytes(self)
        write_file(receipt_path(directory, self.entry.file), data)

    @classmethod
    def read(cls, directory: Path, shard_file: str) -> "Receipt | None":
        """The receipt of a shard, or None if there is none.

        Raises:
            ManifestError: the file is not a receipt, or that of another shard.
        """
        path = receipt_path(directory, shard_file)
        try:
            receipt = decode_canonical(path.read_bytes(), cls, str(path))
        except FileNotFoundError:
            return None
        if receipt.entry.file != shard_file:
            raise ManifestError(
                f"{path} is the receipt of {receipt.entry.file}; delete it, and the next build "
                f"checks the shard itself",
                {"file": str(path), "expected": shard_file, "found": receipt.entry.file},
            )
        return receipt


def receipt_path(directory: Path, shard_file: str) -> Path:
    """Where the receipt of a shard is."""
    return directory / RECEIPTS_DIRECTORY / f"{Path(shard_file).stem}.json"
