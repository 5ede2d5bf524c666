"""Croissant 1.1 metadata: JSON-LD that dataset catalogues and `mlcroissant` read.

Croissant cannot describe records inside HDF5 yet (mlcommons/croissant#697), so shards are files
with their size and SHA-256, and records are the rows of a table beside them that says in which
shard and row each image is. Provenance is in PROV-O: what the dataset was derived from, and what
made it.

A shard is a `FileObject` of its own. Beyond `MOST_FILE_OBJECTS` they are one `FileSet`, which has
no place for digests; then a second table has each shard's size and SHA-256, and its own SHA-256
stands in the metadata: every byte stays pinned, in two steps.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from materialize.atomic import make_directory, write_file
from materialize.canonical import sha256_hex
from materialize.errors import ConfigError
from materialize.export.ledger import ExportedFile
from materialize.manifest import Manifest, manifest_name
from materialize.metadata.about import About
from materialize.metadata.facts import DatasetFacts, gather_facts
from materialize.metadata.records import (
    SHARD_COLUMNS,
    record_columns,
    shard_url,
    write_records,
    write_shards,
)

CROISSANT_FILE = "croissant.json"
RECORDS_FILE = "croissant-records.csv"
SHARDS_FILE = "croissant-shards.csv"
MOST_FILE_OBJECTS = 1000

_HDF5 = "application/x-hdf5"
_CSV = "text/csv"
_ISSUE = "https://github.com/mlcommons/croissant/issues/697"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}
"""Of Croissant 1.1, with PROV-O."""
_SPLIT_TYPES = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataReport:
    """What was written."""

    files: tuple[str, ...]
    num_records: int
    manifest_digest: str
    notes: tuple[str, ...]
    """What is still missing for a catalogue, as sentences."""

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return asdict(self)


def write_metadata(
    dataset: str | Path,
    about: About,
    *,
    output: str | Path | None = None,
    pinned: str | None = None,
) -> MetadataReport:
    """Writes the metadata of a dataset and the tables it refers to.

    Args:
        dataset: the directory that `materialize.build` wrote.
        about: what only people know; needs a licence, a creator and a date.
        output: another folder; the paths in the metadata are relative to the dataset, so files
            that are written elsewhere belong beside its ``shards``.
        pinned: digest of the manifest instead of the newest.

    Raises:
        ConfigError: licence, creator or date are missing; nothing was written.
        ManifestMissingError: there is no complete dataset.
        StorageError: the file system refused.
    """
    if about.missing:
        raise ConfigError(
            f"{dataset}: no metadata was written: Croissant needs {', '.join(about.missing)}, "
            f"which only you know; add --{' and --'.join(about.missing)}",
            {"expected": list(about.missing), "path": str(dataset)},
        )
    directory = Path(dataset)
    facts = gather_facts(directory, pinned=pinned)
    folder = directory if output is None else Path(output)
    make_directory(folder)
    num_records = write_records(folder / RECORDS_FILE, facts.standing)
    tables = [ExportedFile.of(folder, RECORDS_FILE, num_records)]
    if len(facts.manifest.shards) > MOST_FILE_OBJECTS:
        write_shards(folder / SHARDS_FILE, facts.manifest)
        tables.append(ExportedFile.of(folder, SHARDS_FILE, 0))
    document = describe(facts, about, tables, _own_files(directory, facts.manifest))
    data = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    write_file(folder / CROISSANT_FILE, data)
    return MetadataReport(
        files=(CROISSANT_FILE, *(table.path for table in tables)),
        num_records=num_records,
        manifest_digest=facts.manifest.digest(),
        notes=() if about.url else ("Croissant 1.1 asks for the address of a page: add --url",),
    )


def describe(
    facts: DatasetFacts,
    about: About,
    tables: list[ExportedFile],
    own_files: list[dict[str, Any]],
) -> dict[str, Any]:
    """The JSON-LD of a dataset.

    Args:
        facts: of the dataset.
        about: what people say of it.
        tables: the table of records and, beyond `MOST_FILE_OBJECTS` shards, that of shards.
        own_files: FileObjects of its manifests and populations.
    """
    manifest = facts.manifest
    said = {
        "description": about.description or facts.summary(),
        "url": about.url,
        "citeAs": about.citation,
        "keywords": list(about.tasks),
    }
    kind = "sc:Organization" if about.creator_kind == "organization" else "sc:Person"
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": about.name or facts.name,
        **{name: value for name, value in said.items() if value},
        "license": about.licence_url,
        "creator": [{"@type": kind, "name": name} for name in about.creator],
        "datePublished": about.date,
        "version": f"{manifest.number}.0.0",
        "identifier": f"urn:sha256:{manifest.digest()}",
        **_provenance(facts),
        "distribution": [*_tables(tables), *own_files, *_shards(manifest)],
        "recordSet": _record_sets(facts, with_shards=len(tables) > 1),
    }


def _provenance(facts: DatasetFacts) -> dict[str, Any]:
    """What the dataset was derived from, and the activity that generated it."""
    manifest = facts.manifest
    sources = [
        {
            "@id": f"urn:sha256:{entry.digest}",
            "@type": "prov:Entity",
            "prov:label": (
                f"{facts.source_name}: {sum(entry.counts.values())} images, generation "
                f"{entry.generation}; the digest is over their ids, contents and labels"
            ),
        }
        for entry in manifest.populations
    ]
    agents = [
        {"@type": "prov:SoftwareAgent", "prov:label": f"materialize {version}"}
        for version in facts.built_by
    ]
    plan = {
        "@id": f"urn:sha256:{manifest.pipeline_fingerprint}",
        "@type": "prov:Plan",
        "prov:label": "pipeline",
        "prov:value": manifest.pipeline,
    }
    seed = {"@type": "prov:Entity", "prov:label": "seed", "prov:value": str(manifest.seed)}
    activity = {
        "@type": "prov:Activity",
        "prov:label": (
            f"augmentation: {manifest.copies} copies of each training image by pipeline "
            f"{manifest.pipeline_fingerprint} and seed {manifest.seed}"
        ),
        "prov:used": [plan, seed],
    }
    if agents:
        activity["prov:wasAssociatedWith"] = agents
    return {"prov:wasDerivedFrom": sources, "prov:wasGeneratedBy": activity}


def _tables(tables: list[ExportedFile]) -> list[dict[str, Any]]:
    return [_file(table.path, _CSV, table.num_bytes, table.sha256) for table in tables]


def _shards(manifest: Manifest) -> list[dict[str, Any]]:
    if len(manifest.shards) <= MOST_FILE_OBJECTS:
        return [
            _file(shard_url(entry), _HDF5, entry.num_bytes, entry.file_sha256)
            for entry in manifest.shards
        ]
    return [
        {
            "@type": "cr:FileSet",
            "@id": "shards",
            "name": "shards",
            "description": f"{SHARDS_FILE} has the size and the SHA-256 of each.",
            "encodingFormat": _HDF5,
            "includes": "shards/*.h5",
        }
    ]


def _own_files(directory: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """What a reader needs beside the shards: the manifests up to this one, and who is in it."""
    names = [manifest_name(number) for number in range(1, manifest.number + 1)]
    files = []
    for name in (*names, *(entry.file for entry in manifest.populations)):
        data = (directory / name).read_bytes()
        kind = "application/json" if name.endswith(".json") else _HDF5
        files.append(_file(name, kind, len(data), sha256_hex(data)))
    return files


def _file(path: str, kind: str, num_bytes: int, sha256: str) -> dict[str, Any]:
    """A FileObject."""
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path.rpartition("/")[2],
        "contentUrl": path,
        "contentSize": f"{num_bytes} B",
        "encodingFormat": kind,
        "sha256": sha256,
    }


def _record_sets(facts: DatasetFacts, *, with_shards: bool) -> list[dict[str, Any]]:
    """The splits, the classes, the stored images and, if there is a table of them, the shards."""
    manifest = facts.manifest
    splits = [{"splits/name": split, "splits/url": _SPLIT_TYPES[split]} for split in facts.images]
    sets = [_enumeration("splits", "cr:Split", splits)]
    if manifest.class_names:
        classes = [{"classes/name": name} for name in manifest.class_names]
        sets.append(_enumeration("classes", "sc:Enumeration", classes))
    extra: dict[str, dict[str, Any]] = {
        "split": {"references": {"field": {"@id": "splits/name"}}},
        "class": {
            "references": {"field": {"@id": "classes/name"}},
            "dataType": ["sc:Text", "cr:Label"],
        },
    }
    sets.append(
        {
            "@type": "cr:RecordSet",
            "@id": "records",
            "name": "records",
            "description": (
                "One record for each stored image. Its pixels are in the named row of the named "
                f"shard; Croissant cannot describe records inside HDF5 yet ({_ISSUE})."
            ),
            "key": [{"@id": "records/sample_id"}, {"@id": "records/copy"}],
            "field": _fields("records", RECORDS_FILE, record_columns(manifest), extra),
        }
    )
    if with_shards:
        sets.append(
            {
                "@type": "cr:RecordSet",
                "@id": "shard-files",
                "name": "shard-files",
                "description": "One record for each shard.",
                "key": {"@id": "shard-files/file"},
                "field": _fields("shard-files", SHARDS_FILE, SHARD_COLUMNS, {}),
            }
        )
    return sets


def _enumeration(name: str, kind: str, data: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "dataType": kind,
        "key": {"@id": f"{name}/name"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": column,
                "name": column.partition("/")[2],
                "dataType": "sc:Text" if column.endswith("/name") else "sc:URL",
            }
            for column in data[0]
        ],
        "data": data,
    }


def _fields(
    record_set: str,
    file: str,
    columns: Mapping[str, tuple[str, str]],
    extra: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """A field for each column of a table."""
    return [
        {
            "@type": "cr:Field",
            "@id": f"{record_set}/{column}",
            "name": column,
            "description": description,
            "dataType": kind,
            "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
            **extra.get(column, {}),
        }
        for column, (kind, description) in columns.items()
    ]
