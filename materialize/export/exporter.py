"""Exports a dataset into the form that another tool reads."""

import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from materialize.errors import ConfigError, StorageError
from materialize.export import npz, tfrecord
from materialize.export.assignment import Assignment
from materialize.export.folder import check_pictures, write_folder
from materialize.export.items import Part
from materialize.export.ledger import (
    FORMAT,
    UNFINISHED_FILE,
    VERSION,
    ExportedFile,
    Ledger,
    finished,
)
from materialize.export.options import ALL, RAW, ExportOptions
from materialize.export.parts import parts_of
from materialize.export.pictures import encoder_name
from materialize.export.webdataset import write_webdataset
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.progress import Progress
from materialize.recipe import whole_number
from materialize.shards.codecs import find_codec
from materialize.shards.columns import Column

_WRITERS: dict[str, Callable[[Assignment], tuple[list[ExportedFile], dict[str, Any]]]] = {
    "folder": write_folder,
    "npz": npz.write_npz,
    "tfrecord": tfrecord.write_tfrecord,
    "webdataset": write_webdataset,
}
"""What writes each form; a new one is a module, a line here and a word in `options.FORMS`."""
_RAW_SIZES = {"npz": npz.num_bytes, "tfrecord": tfrecord.num_bytes}
"""What raw images take, which is known before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export made."""

    output: Path
    to: str
    manifest_digest: str
    images_by_split: dict[str, int]
    num_images: int
    num_written: int
    """Images that this call read and encoded; the others were there already."""
    num_files: int
    num_bytes: int
    """Of all files."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return asdict(self) | {"output": str(self.output)}


class _Counter:
    """How far the export is, told as images are done."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress = total, progress
        self._done = self.num_written = 0

    def __call__(self, done: int, written: int) -> None:
        self._done += done
        self.num_written += written
        if self._progress is not None:
            self._progress("export", self._done, self._total)


def export_dataset(  # noqa: PLR0913  # one keyword for each option that people use
    dataset: str | Path,
    output: str | Path,
    *,
    to: str,
    splits: Iterable[str] = (),
    copies: str | Iterable[int] = ALL,
    image_format: str | None = None,
    max_mb: float = 128.0,
    source: object | None = None,
    pinned: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> ExportReport:
    """Writes a dataset's images for other tools; called again after a kill, it goes on.

    Every leaf of a shard is compared with the manifest before its pixels are used. The same
    dataset, options and encoders give the same bytes, with any number of workers.

    Args:
        dataset: the directory that `materialize.build` wrote.
        output: a folder that is empty, not there, or that the same export began.
        to: ``folder``, ``npz``, ``tfrecord`` or ``webdataset``.
        splits: which; all that have images by default.
        copies: of training images: ``all``, ``originals`` or numbers, -1 being the untouched image.
        image_format: ``png``, ``webp`` or ``jpeg-Q``; ``raw`` for TFRecord and NPZ.
        max_mb: of one TFRecord or WebDataset file: pixels at most, in MiB before encoding.
        source: where to look for images that are not stored; where they were last seen by default.
        pinned: digest of the manifest to read instead of the newest.
        workers: threads that read and encode.
        progress: called with the stage, the images done and their total.

    Raises:
        ConfigError: an option is wrong, a copy is not there, or the form has no place for the
            images.
        ManifestMissingError: there is no complete dataset.
        PlanConflictError: something else is in the output.
        ShardError: pixels cannot be read.
        StorageError: the file system refused; nothing half-written stays.
    """
    started = time.monotonic()
    options = ExportOptions(
        to=to, splits=tuple(splits), image_format=image_format, max_mb=max_mb,
        copies=copies if isinstance(copies, str) else tuple(copies),
    )  # fmt: skip
    workers = whole_number("workers", workers, 1, 1024)
    output = Path(output)
    opened = OpenDataset.open(dataset, LoaderOptions(source=source), pinned=pinned)
    parts = parts_of(opened, options, workers=workers)
    counter = _Counter(sum(map(len, parts)), progress)
    with ExitStack() as stack:
        for part in parts:
            stack.callback(part.feed.close)
            if part.targets is not None:
                stack.callback(part.targets.close)
        _check_form(parts, options)
        facts = _exported(
            output, parts, options, _identity(opened, parts, options), workers, counter
        )
    return _report(output, options, facts, counter.num_written, time.monotonic() - started)


def _exported(
    output: Path,
    parts: tuple[Part, ...],
    options: ExportOptions,
    identity: dict[str, Any],
    workers: int,
    counter: _Counter,
) -> dict[str, Any]:
    """What is in `EXPORT_FILE` in the end."""
    done = finished(output, identity)
    if done is not None:
        if options.to == "folder":
            check_pictures(output)
        (output / UNFINISHED_FILE).unlink(missing_ok=True)
        counter(sum(map(len, parts)), 0)
        return done
    if options.form == RAW:
        _check_room(output, sum(map(_RAW_SIZES[options.to], parts)))
    ledger = Ledger.claim(output, identity)
    files, facts = _WRITERS[options.to](Assignment(parts, ledger, options, workers, counter))
    return ledger.finish(files, facts)


def _identity(
    opened: OpenDataset, parts: tuple[Part, ...], options: ExportOptions
) -> dict[str, Any]:
    """JSON-ready: everything that decides the bytes of the files."""
    manifest = opened.standing.manifest
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": {
            "manifest": manifest.digest(),
            "number": manifest.number,
            "pipeline_fingerprint": manifest.pipeline_fingerprint,
            "seed": manifest.seed,
        },
        "to": options.to,
        "image_format": options.form,
        "encoder": encoder_name(options.form),
        "max_mb": options.max_mb if options.to in ("tfrecord", "webdataset") else None,
        "splits": {
            part.split: {
                "num_images": len(part),
                "num_samples": len(part.samples),
                "copies": list(part.copies),
                "image_shape": list(part.image_shape),
                "image_dtype": part.image_dtype.name,
            }
            for part in parts
        },
        "class_names": list(manifest.class_names),
    }


def _check_form(parts: tuple[Part, ...], options: ExportOptions) -> None:
    """Pictures have 8 bits a level, and formats their limits."""
    for part in parts:
        column = Column(part.image_dtype, (1, *part.image_shape))
        problem = find_codec(options.form).problem(column)
        if problem is not None:
            raise ConfigError(
                f"export to {options.to}: {options.form} has no place for the {part.split} images: "
                f"{problem}; export to npz, or to tfrecord with --image-format {RAW}",
                {"name": "image-format", "expected": RAW, "found": options.form},
            )


def _check_room(output: Path, num_bytes: int) -> None:
    """Refuses to begin what cannot fit the disk; what is there already is not needed again.

    Raises:
        StorageError: less is free.
    """
    there = sum(path.stat().st_size for path in output.iterdir()) if output.is_dir() else 0
    around = next(path for path in (output, *output.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(around).free
    if num_bytes - there > free:
        raise StorageError(
            f"{output}: expected room for {num_bytes - there:,} bytes, found {free:,}; free some "
            "space, or export fewer copies or splits",
            {"path": str(output), "expected": num_bytes - there, "found": free},
        )


def _report(
    output: Path, options: ExportOptions, facts: dict[str, Any], num_written: int, seconds: float
) -> ExportReport:
    pictures = facts.get("pictures", {"num_images": 0, "num_bytes": 0})
    by_split = {split: part["num_images"] for split, part in facts["splits"].items()}
    return ExportReport(
        output=output,
        to=options.to,
        manifest_digest=facts["dataset"]["manifest"],
        images_by_split=by_split,
        num_images=sum(by_split.values()),
        num_written=num_written,
        num_files=len(facts["files"]) + pictures["num_images"],
        num_bytes=sum(file["num_bytes"] for file in facts["files"]) + pictures["num_bytes"],
        seconds=seconds,
    )
