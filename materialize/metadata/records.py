"""Every stored image as a row of a table, and every shard as one: what catalogues can read.

croissant-records.csv   sample_id, split, class, label, copy, shard, row
croissant-shards.csv    file, num_bytes, sha256    where shards are too many to list elsewhere
"""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from materialize.audit.standing import StandingDataset
from materialize.export.files import streamed_file
from materialize.manifest import SHARDS_DIRECTORY, Manifest
from materialize.shards.layout import ShardEntry

_COLUMNS = {
    "sample_id": ("sc:Text", "Of the image that it was made from; equal for all of its copies."),
    "split": ("sc:Text", "train, val or test."),
    "class": ("sc:Text", "The name of its class."),
    "label": ("sc:Integer", "The number of its class."),
    "copy": ("sc:Integer", "The number of the copy; -1 is the untouched image."),
    "shard": ("sc:Text", "The HDF5 file that holds its pixels, in the dataset `images`."),
    "row": ("sc:Integer", "Its row there."),
}
SHARD_COLUMNS = {
    "file": ("sc:Text", "Relative to this table."),
    "num_bytes": ("sc:Integer", "The file's size."),
    "sha256": ("sc:Text", "Of the whole file, as `sha256sum` prints it."),
}


def record_columns(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """The columns of the table of stored images: each one's type in Croissant, and what it says."""
    no_classes = () if manifest.class_names else ("class", "label")
    return {name: facts for name, facts in _COLUMNS.items() if name not in no_classes}


def write_records(path: Path, standing: StandingDataset) -> int:
    """Writes the table of stored images, shard by shard.

    Returns:
        How many there are.

    Raises:
        StorageError: the file system refused; nothing half-written stays.
    """
    count = 0
    columns = record_columns(standing.manifest)
    with _table(path, columns) as table:
        for entry in standing.manifest.shards:
            if entry.spec.is_mask:
                continue
            rows = [[record[name] for name in columns] for record in _records(standing, entry)]
            table.writerows(rows)
            count += len(rows)
    return count


def write_shards(path: Path, manifest: Manifest) -> None:
    """Writes the table of shards.

    Raises:
        StorageError: the file system refused; nothing half-written stays.
    """
    with _table(path, SHARD_COLUMNS) as table:
        table.writerows(
            (shard_url(entry), entry.num_bytes, entry.file_sha256) for entry in manifest.shards
        )


def shard_url(entry: ShardEntry) -> str:
    """Where a shard is, relative to the dataset."""
    return f"{SHARDS_DIRECTORY}/{entry.file}"


def _records(standing: StandingDataset, entry: ShardEntry) -> Iterator[dict[str, object]]:
    """Each row of a shard, by column."""
    spec = entry.spec
    population = standing.population_of(spec.generation)
    for row, place in enumerate(standing.rows_of(spec).tolist()):
        yield {
            "sample_id": population.ids[place].tobytes().hex(),
            "split": spec.split,
            "class": population.label_name(place),
            "label": int(population.labels[place]),
            "copy": spec.copy,
            "shard": shard_url(entry),
            "row": row,
        }


@contextmanager
def _table(path: Path, columns: Iterable[str]) -> Iterator[Any]:
    """A CSV file with its header, as RFC 4180 has it."""
    with streamed_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        table = csv.writer(text)
        table.writerow(columns)
        yield table
        text.detach()  # flushes; closing it would close the file before it is on the disk
