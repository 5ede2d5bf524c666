"""What two tutorials' data need before a source can open them: a table, written once.

A preparation finds the files in a folder as its authors published it and writes a table of paths,
labels and splits into the work directory; from there on everything is an ordinary source.
"""

import csv
import difflib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from materialize.atomic import make_directory, write_file
from materialize.errors import ConfigError, SourceError
from materialize.sources import Source, open_source
from materialize.sources.tabular import read_rows

TABLE_NAME = "images.csv"


@dataclass(frozen=True, slots=True)
class AcceptedClasses:
    """What counts as right for one test image, where several classes do."""

    score: str
    """Name of the score it counts for."""
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source, and how its test images are scored besides."""

    source: Source
    accepted: Mapping[str, AcceptedClasses] = field(default_factory=dict)
    """By locator."""


def prepare(name: str, folder: Path, work: Path) -> Prepared:
    """Prepares a data set as its authors published it.

    Args:
        name: one of `PREPARATIONS`.
        folder: where it is.
        work: where the table goes.

    Raises:
        ConfigError: there is no such preparation.
        SourceError: the folder does not look as expected.
    """
    if name not in PREPARATIONS:
        close = difflib.get_close_matches(name, PREPARATIONS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(PREPARATIONS)}"
        raise ConfigError(
            f"prepare: expected the name of a preparation, got {name!r}; {hint}",
            {"name": "prepare", "expected": tuple(PREPARATIONS), "found": name},
        )
    return PREPARATIONS[name](folder, work)


def _books(folder: Path, work: Path) -> Prepared:
    """T2: ``train/CLASS/*.jpg``, ``test/`` (easy), ``test_difficult/``, ``test_labels.csv``.

    A test image may show several books; its label is the first accepted class, and the scores count
    every accepted one.
    """
    labels = folder / "test_labels.csv"
    _expect(folder, (folder / "train", folder / "test", folder / "test_difficult", labels))
    _, tests = read_rows(labels)
    rows = [
        (path.relative_to(folder).as_posix(), path.parent.name, "train")
        for path in sorted((folder / "train").glob("*/*"))
        if path.is_file()
    ]
    accepted = {}
    for row in tests:
        classes = tuple(row["accepted"].split("|"))
        is_easy = row["file"].startswith("test/")
        accepted[row["file"]] = AcceptedClasses("easy" if is_easy else "difficult", classes)
        rows.append((row["file"], classes[0], "test"))
    return Prepared(_table(work, folder, rows), accepted)


def _blood_cells(folder: Path, work: Path) -> Prepared:
    """T4: ``dataset1/001.bmp`` …, and the classes as numbers in a table beside it."""
    names = {"1": "neutrophil", "2": "lymphocyte", "3": "monocyte", "4": "eosinophil"}
    labels = folder / "Class Labels of Dataset 1.csv"
    _expect(folder, (folder / "dataset1", labels))
    _, table = read_rows(labels)
    rows = [
        (f"dataset1/{int(row['image ID']):03d}.bmp", names[row["class label"]], "train")
        for row in table
        if row["class label"] in names
    ]
    return Prepared(_table(work, folder, rows))


PREPARATIONS: Mapping[str, Callable[[Path, Path], Prepared]] = {
    "books": _books,
    "blood_cells": _blood_cells,
}


def _table(work: Path, folder: Path, rows: Iterable[tuple[str, str, str]]) -> Source:
    """A source over a table that is written for it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "split"))
    writer.writerows(rows)
    make_directory(work)
    write_file(work / TABLE_NAME, text.getvalue().encode("utf-8"))
    return open_source(work / TABLE_NAME, root=str(folder))


def _expect(folder: Path, paths: Iterable[Path]) -> None:
    if not folder.exists():
        raise SourceError(
            f"{folder} does not exist: expected the data set's own folder; check the path",
            {"path": str(folder)},
        )
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise SourceError(
            f"{folder}: expected {', '.join(missing)} in it, found none; give the data set's own "
            "folder as --source",
            {"path": str(folder), "missing": missing},
        )
