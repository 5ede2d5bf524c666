"""Every stored image as a row of a table, and every shard as one: what catalogues can read.

croissant-records.csv   sample_id, split, class, label, copy, shard, row, fields, and where images
                        are mixed partner_id, partner_class, partner_label, label_weight
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
from materialize.export.items import field_cells, field_columns, field_facts
from materialize.manifest import SHARDS_DIRECTORY, Manifest
from materialize.partners import NOBODY, Pairing
from materialize.population.table import Population
from materialize.shards.layout import ShardEntry
from materialize.sources.targets import Field

_COLUMNS = {
    "sample_id": ("sc:Text", "Of the image that it was made from; equal for all of its copies."),
    "split": ("sc:Text", "train, val or test."),
    "class": ("sc:Text", "The name of its class."),
    "label": ("sc:Integer", "The number of its class."),
    "copy": ("sc:Integer", "The number of the copy; -1 is the untouched image."),
    "shard": ("sc:Text", "The HDF5 file that holds its pixels, in the dataset `images`."),
    "row": ("sc:Integer", "Its row there."),
}
_PARTNER_COLUMNS = {
    "partner_id": ("sc:Text", "The sample_id of what it is mixed with; its own where it is not."),
    "partner_class": ("sc:Text", "The name of that image's class."),
    "partner_label": ("sc:Integer", "The number of that class."),
    "label_weight": ("sc:Float", "Share of its own class; its partner's has the rest."),
}
_TYPES = {"labels": "sc:Integer", "label": "sc:Text", "value": "sc:Float", "weight": "sc:Float"}
SHARD_COLUMNS = {
    "file": ("sc:Text", "Relative to this table."),
    "num_bytes": ("sc:Integer", "The file's size."),
    "sha256": ("sc:Text", "Of the whole file, as `sha256sum` prints it."),
}


def record_columns(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """The columns of the table of stored images: each one's type in Croissant, and what it says."""
    columns = dict(_COLUMNS)
    if any(entry.spec.partners_digest for entry in manifest.shards):
        columns |= _PARTNER_COLUMNS
    classes = ("class", "label", "partner_class", "partner_label")
    no_classes = () if manifest.class_names else classes
    columns = {name: facts for name, facts in columns.items() if name not in no_classes}
    for field in stored_fields(manifest):
        for name, what in field_columns((field,)).items():
            columns[name] = (_TYPES[field.kind], f"{what[:1].upper()}{what[1:]}.")
    return columns


def stored_fields(manifest: Manifest) -> tuple[Field, ...]:
    """The fields that shards hold; those of the newest generation know all names."""
    specs = [entry.spec for entry in manifest.shards if entry.spec.fields is not None]
    newest = max(specs, key=lambda spec: spec.generation, default=None)
    return newest.fields.fields if newest is not None and newest.fields is not None else ()


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
    fields = population.schema.fields
    numbers = {} if population.targets is None else population.targets.fields
    rows = standing.rows_of(spec)
    found = standing.pairings(spec.generation, {spec.copy: rows})
    pairing = found.get(spec.copy)
    for row, place in enumerate(rows.tolist()):
        yield {
            "sample_id": population.ids[place].tobytes().hex(),
            "split": spec.split,
            "class": population.label_name(place),
            "label": int(population.labels[place]),
            "copy": spec.copy,
            "shard": shard_url(entry),
            "row": row,
            **_partner(population, int(place), pairing, row),
            **dict(
                zip(
                    field_columns(fields),
                    field_cells(field_facts(fields, numbers, place)),
                    strict=True,
                )
            ),
        }


def _partner(
    population: Population, place: int, pairing: Pairing | None, row: int
) -> dict[str, object]:
    """Whom a row is mixed with: itself, where it is not."""
    there, weight = population, 1.0
    if pairing is not None and pairing.rows[row] != NOBODY:
        there, place, weight = pairing.population, pairing.rows[row], pairing.weights[row].item()
    return {
        "partner_id": there.ids[place].tobytes().hex(),
        "partner_class": there.label_name(place),
        "partner_label": int(there.labels[place]),
        "label_weight": weight,
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
