"""A folder of images: class subfolders, a train/val/test tree of them, or one flat folder.

    classes:  root/daisy/a.jpg          class daisy
              root/daisy/2019/b.jpg     class daisy, group daisy/2019
    splits:   root/train/daisy/a.jpg    split train, class daisy
              root/valid/daisy/c.jpg    split val, class daisy
    flat:     root/a.jpg                no label

Which of the three it is, is read off the folder; where that is a guess it is refused, because a
class named ``test`` and a split named ``test`` are not told apart by looking.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from materialize.errors import ConfigError, SourceError
from materialize.sources.base import Record, first_few
from materialize.sources.file_targets import NO_FILE_TARGETS, FileTargets
from materialize.sources.files import FileSource, has_image_suffix, list_files
from materialize.sources.masks import MaskLabels, MaskNames, mask_labels, mask_schema
from materialize.sources.naming import naturally_sorted, split_named
from materialize.sources.records import RecordTable

LAYOUTS = ("auto", "classes", "splits", "flat")


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """How a folder is read."""

    layout: str = "auto"
    """``auto``, ``classes``, ``splits`` or ``flat``; to be named only where it is a guess."""
    follow_links: bool = False
    """Follow links that leave the folder; off, as an archive may bring links to anywhere."""
    masks: str | None = None
    """A folder of masks, or a pattern; see `MaskNames`."""
    mask_labels: MaskLabels | None = None
    """What numbers in masks mean; kept as `masks.mask_labels` has it."""

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ConfigError(
                f"layout must be one of {', '.join(LAYOUTS)}, not {self.layout!r}",
                {"expected": LAYOUTS, "found": self.layout},
            )
        object.__setattr__(self, "mask_labels", mask_labels(self.mask_labels, self.masks))


class FolderSource(FileSource):
    """The images under one folder.

    Args:
        root: the folder.
        options: see `FolderOptions`.

    Raises:
        SourceError: there is no such folder, no image in it, or its layout is ambiguous.
    """

    def __init__(self, root: Path, options: FolderOptions = FolderOptions()) -> None:
        """List the folder and read labels, splits and groups off the paths."""
        if not root.is_dir():
            raise SourceError(f"there is no folder {root}", {"path": str(root)})
        files = list_files(root, follow_links=options.follow_links)
        masks = None if options.masks is None else MaskNames.of(options.masks, root)
        locators = [
            file
            for file in files
            if has_image_suffix(file) and not (masks and masks.are_among(root, file))
        ]
        if not locators:
            raise SourceError(
                f"no image under {root} among {len(files)} files", {"path": str(root)}
            )
        self.options = options
        self.ignored = len(files) - len(locators)
        """Number of files that are not pictures: tables, notes, licences."""
        layout = options.layout if options.layout != "auto" else _detected(root, locators)
        records = [_described(locator, layout, root) for locator in locators]
        _check_labelled_throughout(records, root)
        names = naturally_sorted(r.label for r in records if r.label is not None)
        targets = NO_FILE_TARGETS
        if masks is not None:
            self.options = replace(options, masks=masks.described())
            schema = mask_schema(self.options.mask_labels)
            targets = FileTargets(schema, masks=masks.found(root, locators))
        super().__init__(root.resolve(), RecordTable.of(records, names), targets)

    def describe(self) -> dict[str, Any]:
        """Where the folder is and how it was read."""
        return {
            "kind": "folder",
            "path": str(self.root),
            "options": {k: v for k, v in asdict(self.options).items() if v is not None},
            "ignored_files": self.ignored,
        }


def _detected(root: Path, locators: Sequence[str]) -> str:
    """The layout of the tree, or a refusal to guess."""
    tops = sorted({locator.split("/", 1)[0] for locator in locators if "/" in locator})
    loose = [locator for locator in locators if "/" not in locator]
    if not tops:
        return "flat"
    if loose:
        raise SourceError(
            f"{root} holds images beside its folders ({first_few(loose)}) and in them "
            f"({first_few(tops)}): move them into a class folder, or give the option layout as "
            "flat to ignore the folders",
            {"path": str(root), "loose": loose[:20]},
        )
    split_by_top = {top: split_named(top) for top in tops}
    strangers = [top for top, split in split_by_top.items() if split is None]
    if not strangers:
        _check_distinct(split_by_top, root)
        return "splits"
    if "train" in split_by_top.values():
        raise SourceError(
            f"{root} holds {first_few(top for top in tops if split_by_top[top])} beside "
            f"{first_few(strangers)}, so its folders are neither all splits nor all classes: open "
            "one of them, or give the option layout as classes",
            {"path": str(root), "folders": tops},
        )
    return "classes"


def _check_distinct(split_by_top: dict[str, str | None], root: Path) -> None:
    """One folder per split: with both ``val`` and ``valid`` nobody knows which one is meant."""
    folders_by_split: dict[str | None, list[str]] = {}
    for folder, split in split_by_top.items():
        folders_by_split.setdefault(split, []).append(folder)
    for split, folders in folders_by_split.items():
        if len(folders) > 1:
            raise SourceError(
                f"{root} holds {len(folders)} folders that mean {split}: {first_few(folders)}; "
                "keep one of them, or give the option layout as classes",
                {"path": str(root), "folders": folders, "split": split},
            )


def _check_labelled_throughout(records: Sequence[Record], root: Path) -> None:
    unlabelled = [record.locator for record in records if record.label is None]
    if 0 < len(unlabelled) < len(records):
        raise SourceError(
            f"{len(unlabelled)} of {len(records)} images under {root} are in no class folder "
            f"({first_few(unlabelled)}): open one split alone, or give their labels in a table",
            {"path": str(root), "unlabelled": unlabelled[:20]},
        )


def _described(locator: str, layout: str, root: Path) -> Record:
    """The record of one file, from its path alone."""
    folders = locator.split("/")[:-1]
    if layout == "flat":
        return Record(locator, label=None)
    split: str | None = "train"
    if layout == "splits":
        split = split_named(folders[0]) if folders else None
        folders = folders[1:]
    if split is None or (layout == "classes" and not folders):
        raise SourceError(
            f"{locator} under {root} is in no {'split' if split is None else 'class'} folder, "
            f"which layout {layout!r} calls for",
            {"path": locator, "layout": layout},
        )
    if not folders:
        return Record(locator, label=None, split=split)
    group = "/".join(folders) if len(folders) > 1 else ""
    return Record(locator, label=folders[0], split=split, group=group)
