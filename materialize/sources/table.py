"""Images named by a CSV or TSV table, one row per image.

The table says which files are records and what their labels, splits, groups and ids are. Columns
are recognised by their usual names and can be named. Values of the path column are paths relative
to the root (the table's folder unless given); a value without an image suffix, such as ``7`` or
``scan_7``, means the one image of that name, and a number also means its zero-padded form
(``007``). Where several files fit, nothing is preferred: the table is refused and its user told how
to be exact.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from materialize.errors import SourceError
from materialize.sources.base import Record, first_few
from materialize.sources.file_targets import FileTargets
from materialize.sources.files import (
    FileSource,
    check_link,
    has_image_suffix,
    list_files,
    list_files_and_links,
)
from materialize.sources.masks import MaskNames, mask_schema
from materialize.sources.naming import naturally_sorted, split_named
from materialize.sources.records import RecordTable
from materialize.sources.table_fields import TableOptions, has_fields, table_fields
from materialize.sources.tabular import Row, read_rows, refuse_rows
from materialize.sources.targets import TargetSchema

# In tiers: a column that says "file" wins over one that says "image"; within a tier two matches are
# a refusal, because taking the first would be a guess.
_PATH_NAMES = (
    ("path", "filepath", "file_path", "filename", "file_name", "file"),
    ("image_path", "image_file", "image_filename", "image_name", "image", "img", "img_path"),
    ("image_id", "id"),
)
_LABEL_NAMES = (
    ("label", "class", "category"),
    ("class_label", "class_name", "label_name", "category_name", "target"),
)
_SPLIT_NAMES = (("split",), ("subset", "partition", "set"))
_GROUP_NAMES = (("group", "group_id"), ("patient", "patient_id", "subject", "subject_id"))
_ID_NAMES = (("id", "sample_id", "uid"),)
_DEFAULTS = TableOptions()
_ALWAYS_DESCRIBED = (
    "root", "path_column", "label_column", "split_column", "group_column", "id_column",
    "path_suffix", "follow_links",
)  # fmt: skip


class TableSource(FileSource):
    """The images a table names.

    Args:
        table: a .csv or .tsv file, UTF-8, with a header row.
        options: see `TableOptions`.

    Raises:
        SourceError: the table is malformed, or names files that are missing, ambiguous or twice;
            the message names the first rows.
    """

    def __init__(self, table: Path, options: TableOptions = _DEFAULTS) -> None:
        """Read the table and find the file each row means."""
        root = Path(options.root) if options.root is not None else table.parent
        if not root.is_dir():
            raise SourceError(f"there is no folder {root}", {"path": str(root)})
        header, rows = read_rows(table)
        columns = _Columns.found(table, header, options)
        values = [row[columns.path] for row in rows]
        masks = None if options.masks is None else MaskNames.of(options.masks, root)
        if options.follow_links:
            files = list_files(root, follow_links=True)
        else:
            files, links = list_files_and_links(root)
            _check_named_links(values, links, root.resolve())
        if masks is not None:
            files = [file for file in files if not masks.are_among(root, file)]
        locators = _located(table, root, values, files, options)
        records = _described(table, rows, locators, columns)
        names = naturally_sorted(r.label for r in records if r.label is not None)
        self.options = options
        self.table_path = table.resolve()
        self.ignored = len(files) - len(locators)
        """Number of files under the root that the table does not name."""
        fields, numbers = table_fields(table, header, rows, options)
        targets = FileTargets(TargetSchema(fields=fields), numbers)
        if masks is not None:
            self.options = replace(options, masks=masks.described())
            schema = replace(mask_schema(options.mask_labels), fields=fields)
            targets = replace(targets, schema=schema, masks=masks.found(root, locators))
        super().__init__(root.resolve(), RecordTable.of(records, names), targets)

    def describe(self) -> dict[str, Any]:
        """Where the table and its images are and how they were read."""
        return {
            "kind": "table",
            "path": str(self.table_path),
            "options": {**_described_options(self.options), "root": str(self.root)},
            "ignored_files": self.ignored,
        }


def _described_options(options: TableOptions) -> dict[str, Any]:
    """The options, JSON-ready; those of targets only where they were given."""
    given = asdict(options)
    defaults = asdict(_DEFAULTS)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name in _ALWAYS_DESCRIBED or value != defaults[name]
    }


@dataclass(frozen=True, slots=True)
class _Columns:
    """The header names that play a part."""

    path: str
    label: str | None
    split: str | None
    group: str | None
    id: str | None

    @classmethod
    def found(cls, table: Path, header: Sequence[str], options: TableOptions) -> "_Columns":
        def one(
            option: str | None, role: str, names: Sequence[Sequence[str]], taken: str = ""
        ) -> str | None:
            if option == "":
                return None
            if option is None:
                return _recognised(table, [name for name in header if name != taken], role, names)
            if option not in header:
                raise _no_column(table, header, role, f"named {option!r}")
            return option

        path = one(options.path_column, "path", _PATH_NAMES)
        if path is None:
            raise _no_column(table, header, "path", "that is recognised as one")
        label = one(options.label_column, "label", _LABEL_NAMES)
        if label is None and options.label_column is None and not has_fields(options):
            raise _no_column(table, header, "label", "that is recognised as one")
        return cls(
            path=path,
            label=label,
            split=one(options.split_column, "split", _SPLIT_NAMES),
            group=one(options.group_column, "group", _GROUP_NAMES),
            id=one(options.id_column, "id", _ID_NAMES, taken=path),
        )


def _recognised(
    table: Path, header: Sequence[str], role: str, tiers: Sequence[Sequence[str]]
) -> str | None:
    """The column whose name is in the first tier that matches any."""
    plain = {name: re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_") for name in header}
    for tier in tiers:
        matching = [name for name in header if plain[name] in tier]
        if len(matching) > 1:
            raise SourceError(
                f"{table}: columns {first_few(matching)} could each hold the {role}: say which "
                f"with --{role}-column",
                {"path": str(table), "columns": matching},
            )
        if matching:
            return matching[0]
    return None


def _no_column(table: Path, header: Sequence[str], role: str, which: str) -> SourceError:
    none = " (an empty name if there are no labels)" if role == "label" else ""
    return SourceError(
        f"{table} has no {role} column {which} among {', '.join(header)}: "
        f"name it with --{role}-column{none}",
        {"path": str(table), "columns": list(header)},
    )


def _located(
    table: Path, root: Path, values: Sequence[str], files: Sequence[str], options: TableOptions
) -> list[str]:
    """The file each value means."""
    known = set(files)
    images = [f for f in files if has_image_suffix(f) and f.endswith(options.path_suffix or "")]
    by_stem: dict[str, list[str]] = {}
    by_number: dict[str, list[str]] = {}
    for image in images:
        stem = image.removesuffix(_suffix(image))
        by_stem.setdefault(stem, []).append(image)
        by_number.setdefault(_unpadded(stem), []).append(image)

    def matches(value: str) -> list[str]:
        value = _plain(value)
        if value in known:
            return [value]
        if has_image_suffix(value):
            return []
        return by_stem.get(value) or by_number.get(_unpadded(value), [])

    found = [matches(value) for value in values]
    refuse_rows(
        table, values, [not m for m in found], lambda i: _missing_hint(values[i], root, files)
    )
    refuse_rows(
        table,
        values,
        [len(m) > 1 for m in found],
        lambda i: (
            f"could be {first_few(found[i])}: say which with the option path-suffix, such as "
            f"{_suffix(found[i][0])}"
        ),
    )
    locators = [m[0] for m in found]
    count = Counter(locators)
    repeated = [count[locator] > 1 for locator in locators]
    refuse_rows(table, values, repeated, lambda i: f"means {locators[i]} again: one row per image")
    return locators


def _check_named_links(values: Sequence[str], links: Sequence[str], top: Path) -> None:
    """Refuses links out of the root where a row means them or what is behind them; others may be.

    Raises:
        SourceError: a row means one.
    """
    if not links:
        return
    named = set(map(_plain, values))
    named |= {_unpadded(value) for value in named}
    folders = {value[:at] for value in named for at, sign in enumerate(value) if sign == "/"}
    for link in links:
        stem = link.removesuffix(_suffix(link)) if has_image_suffix(link) else link
        if not {link, stem, _unpadded(stem)}.isdisjoint(named) or link in folders:
            check_link(top / link, link, top)


def _plain(value: str) -> str:
    """A value of the path column as locators are written."""
    return value.strip().replace("\\", "/").removeprefix("./")


def _suffix(path: str) -> str:
    return path[path.rindex(".") :]


def _unpadded(path: str) -> str:
    """``a/007`` as ``a/7``; a path whose last part is no number as it is."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{int(name)}" if name.isascii() and name.isdigit() else path


def _missing_hint(value: str, root: Path, files: Sequence[str]) -> str:
    """Why a value names no file, and where a file of that name is, if there is one."""
    wanted = value.replace("\\", "/").rsplit("/", 1)[-1]
    for file in files:
        folder, _, name = file.rpartition("/")
        stem = name.rpartition(".")[0]
        if folder and wanted in (name, stem, _unpadded(stem)):
            return (
                f"is not under {root}, but {file} is: give {root / folder} as the source, and the "
                "table as its labels"
            )
    return (
        f"is not under {root}: give the images' folder as the source and the table as its labels, "
        "or correct the table"
    )


def _described(
    table: Path, rows: Sequence[Row], locators: Sequence[str], columns: _Columns
) -> list[Record]:
    """The records, once every cell has been checked."""

    def cells(column: str | None) -> list[str]:
        return [row[column].strip() if column is not None else "" for row in rows]

    labels, splits, groups, ids = map(
        cells, (columns.label, columns.split, columns.group, columns.id)
    )
    if columns.label is not None:
        refuse_rows(table, labels, [not label for label in labels], lambda _: "is no label")
    if columns.split is not None:
        strange = [split_named(split) is None for split in splits]
        refuse_rows(table, splits, strange, lambda _: "is no split: use train, val or test")
    if columns.id is not None:
        count = Counter(ids)
        refuse_rows(table, ids, [not i for i in ids], lambda _: "is no id")
        refuse_rows(table, ids, [count[i] > 1 for i in ids], lambda _: "is the id of several rows")
    return [
        Record(
            locator=locator,
            label=label if columns.label is not None else None,
            split=split_named(split) or "train",
            group=group,
            explicit_id=sample_id if columns.id is not None else None,
        )
        for locator, label, split, group, sample_id in zip(
            locators, labels, splits, groups, ids, strict=True
        )
    ]
