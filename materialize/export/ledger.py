"""What an output folder holds: nothing, an export under way, or a complete one.

    OUTPUT/export-unfinished.json   written first: which export this is, and how far it surely is
    OUTPUT/…                        the files
    OUTPUT/export.json              written last: which export this is, and every file's SHA-256

So a folder with `export.json` is complete, and the same command on a folder with the other file
goes on. Anything else in the folder is somebody else's, and refused.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from materialize.atomic import (
    TEMPORARY_PREFIX,
    make_directory,
    sweep_temporaries,
    write_file,
)
from materialize.errors import PlanConflictError
from materialize.export.files import file_sha256

FORMAT = "materialize-export"
VERSION = 1
EXPORT_FILE = "export.json"
UNFINISHED_FILE = "export-unfinished.json"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export."""

    path: str
    """Relative to the output, with ``/``."""
    num_bytes: int
    sha256: str
    num_images: int

    @classmethod
    def of(cls, output: Path, path: str, num_images: int) -> "ExportedFile":
        """A file that is written."""
        whole = output / path
        return cls(path, whole.stat().st_size, file_sha256(whole), num_images)


@dataclass(slots=True)
class Ledger:
    """The record of one export in its output folder."""

    output: Path
    identity: Mapping[str, Any]
    """JSON-ready: everything that decides the files' bytes."""
    done: dict[str, int]
    """By split, items whose own files are surely on the disk."""

    @classmethod
    def claim(cls, output: Path, identity: Mapping[str, Any]) -> "Ledger":
        """Takes an output folder for an export, or goes on with the same one.

        Raises:
            PlanConflictError: something else is in the folder.
            StorageError: the file system refused.
        """
        make_directory(output)
        unfinished = _read(output / UNFINISHED_FILE) or {}
        if unfinished.get("export") == identity:
            for directory in (output, *(p for p in output.rglob("*") if p.is_dir())):
                sweep_temporaries(directory)
            return cls(output, identity, dict(unfinished.get("done", {})))
        strangers = [p.name for p in output.iterdir() if not p.name.startswith(TEMPORARY_PREFIX)]
        if strangers:
            other = unfinished.get("export") or _read(output / EXPORT_FILE)
            raise PlanConflictError(
                f"{output}: expected an empty folder, or one that the same export began, found "
                f"{_difference(other, identity) if other else min(strangers)}; choose another "
                "output, or empty it",
                {"path": str(output), "found": sorted(strangers)[:20]},
            )
        ledger = cls(output, identity, {})
        ledger._write()
        return ledger

    def note(self) -> None:
        """Brings all files to the disk, then notes how far the export is."""
        os.sync()
        self._write()

    def finish(self, files: list[ExportedFile], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the export complete.

        Args:
            files: all of them.
            facts: JSON-ready, what else is said about them.

        Returns:
            What `EXPORT_FILE` says.
        """
        said = {**self.identity, **facts, "files": [asdict(file) for file in files]}
        write_file(self.output / EXPORT_FILE, _pretty(said))
        (self.output / UNFINISHED_FILE).unlink(missing_ok=True)
        return said

    def _write(self) -> None:
        facts = {"export": self.identity, "done": self.done}
        write_file(self.output / UNFINISHED_FILE, _pretty(facts))


def finished(output: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a complete export in a folder says, if it is this one.

    Raises:
        PlanConflictError: its files were removed or changed since.
    """
    found = _read(output / EXPORT_FILE)
    if found is None or any(found.get(key) != value for key, value in identity.items()):
        return None
    check_sizes(output, ((file["path"], file["num_bytes"]) for file in found["files"]))
    return found


def check_sizes(output: Path, files: Iterable[tuple[str, int]]) -> None:
    """Whether files of a complete export are there and of their size.

    Raises:
        PlanConflictError: one is not.
    """
    for path, num_bytes in files:
        whole = output / path
        length = whole.stat().st_size if whole.is_file() else None
        if length != num_bytes:
            raise PlanConflictError(
                f"{whole}: expected {num_bytes:,} bytes, found "
                f"{'no file' if length is None else f'{length:,}'}: the export was complete, and "
                "changed since; empty the folder and export again",
                {"path": str(whole), "expected": num_bytes, "found": length},
            )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """In which words another export differs from this one."""
    names = [name for name, value in expected.items() if found.get(name) != value]
    return f"an export of another {' and '.join(names).replace('_', ' ')}"


def _pretty(value: Any) -> bytes:
    """JSON for people; equal values give equal bytes."""
    return (json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode()
