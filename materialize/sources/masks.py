"""Which mask belongs to which image, by folder or by a pattern of names, and what labels mean."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize.errors import ConfigError, SourceError
from materialize.sources.base import first_few
from materialize.sources.files import has_image_suffix, list_files
from materialize.sources.records import TextColumn
from materialize.sources.targets import TargetSchema

MaskLabels = Mapping[int, str] | Mapping[str, str] | Sequence[str]
"""Names by number, or texts such as ``128=cytoplasm``."""


def mask_schema(labels: MaskLabels | None) -> TargetSchema:
    """One mask for each image.

    Args:
        labels: what `mask_labels` made of them.
    """
    named = tuple((int(number), name) for number, name in _pairs(labels or ()))
    return TargetSchema(mask_names=("mask",), mask_labels=named)


def mask_labels(given: MaskLabels | None, masks: str | None) -> tuple[str, ...] | None:
    """What numbers in masks mean, as texts such as ``128=cytoplasm`` in ascending order.

    Args:
        given: the option; None or nothing where nobody said.
        masks: the option that says where masks are.

    Raises:
        ConfigError: a number or a name is none, or comes twice, or there are no masks.
    """
    if not given:
        return None
    if masks is None:
        raise ConfigError(
            "mask-labels: expected with masks, found none; add the option masks",
            {"name": "mask_labels", "found": given},
        )
    names: dict[int, str] = {}
    for number, name in _pairs(given):
        good = re.fullmatch(r"\s*\d{1,3}\s*", number) and int(number) <= 255 and name.strip()
        if not good or int(number) in names or name.strip() in names.values():
            raise ConfigError(
                f"mask-labels: expected numbers from 0 to 255 with a name each, none twice, such "
                f"as 128=cytoplasm, got {f'{number}={name}'!r}; correct it",
                {"name": "mask_labels", "expected": "0 to 255=NAME", "found": given},
            )
        names[int(number)] = name.strip()
    return tuple(f"{number}={names[number]}" for number in sorted(names))


def _pairs(labels: MaskLabels) -> list[tuple[str, str]]:
    """Numbers and names, both as texts."""
    if isinstance(labels, Mapping):
        return [(str(number), name) for number, name in labels.items()]
    return [(number, name) for number, _, name in (text.partition("=") for text in labels)]


@dataclass(frozen=True, slots=True)
class MaskNames:
    """How masks are found.

    A folder holds for every image the one mask of its name (``masks`` has ``a/7.png`` for
    ``a/7.jpg``). In a pattern, ``*`` is the image's path in the source without its suffix, such as
    ``masks/*_mask.png``; a pattern without a folder lies in the source's own, such as ``*.png``
    beside ``*.bmp``.
    """

    folder: Path
    """Absolute: a folder of masks, or what the pattern is relative to."""
    pattern: str | None
    """None: any suffix, in ``folder``."""

    @classmethod
    def of(cls, text: str, root: Path) -> "MaskNames":
        """What the option says.

        Args:
            text: a folder or a pattern.
            root: of the images.

        Raises:
            SourceError: it is neither.
        """
        if "*" in text:
            folder, slash, pattern = text.rpartition("/")
            if pattern.count("*") != 1 or "*" in folder:
                raise SourceError(
                    f"masks: expected one * for the image's path, behind the last /, got {text!r}",
                    {"found": text},
                )
            return cls(Path(folder or "/").resolve() if slash else root.resolve(), pattern)
        if not Path(text).is_dir():
            raise SourceError(
                f"masks: expected a folder, or a pattern with * such as '*_mask.png', got {text!r}",
                {"found": text},
            )
        return cls(Path(text).resolve(), None)

    def described(self) -> str:
        """What finds the same masks from anywhere."""
        return str(self.folder / self.pattern) if self.pattern else str(self.folder)

    def are_among(self, root: Path, locator: str) -> bool:
        """Whether a file under the root is a mask and no image."""
        try:
            name = (root.resolve() / locator).relative_to(self.folder).as_posix()
        except ValueError:
            return False
        if self.pattern is None:
            return self.folder != root.resolve()
        before, after = map(re.escape, self.pattern.split("*"))
        return re.fullmatch(f"(?:.*/)?{before}[^/]+{after}", name) is not None

    def found(self, root: Path, locators: Sequence[str]) -> TextColumn:
        """The absolute path of each image's mask.

        Raises:
            SourceError: images have none, or several.
        """
        there: dict[str, list[str]] = {}
        if self.pattern is None:
            for mask in filter(has_image_suffix, list_files(self.folder)):
                there.setdefault(os.path.splitext(mask)[0], []).append(mask)  # noqa: PTH122
        paths: list[str] = []
        missing: list[str] = []
        several: list[str] = []
        for locator in locators:
            stem = os.path.splitext(locator)[0]  # noqa: PTH122 - a million times
            candidates = self._candidates(stem, there)
            if len(candidates) == 1:
                paths.append(candidates[0])
            else:
                (several if candidates else missing).append(locator)
        if missing or several:
            what = f"{len(missing)} have none" if missing else f"{len(several)} have several"
            raise SourceError(
                f"masks: expected one in {self.described()} for each of {len(locators)} images "
                f"under {root}, {what}: {first_few(missing or several)}; add them, exclude by "
                "moving those images away, or correct the option masks",
                {"missing": missing[:20], "several": several[:20]},
            )
        return TextColumn.of(paths)

    def _candidates(self, stem: str, there: dict[str, list[str]]) -> list[str]:
        if self.pattern is None:
            return [str(self.folder / name) for name in there.get(stem, ())]
        folder, _, name = stem.rpartition("/")
        path = self.folder / folder / self.pattern.replace("*", name)
        return [str(path)] if path.is_file() else []
