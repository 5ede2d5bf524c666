"""Which mask belongs to which image: by folder, or by a pattern of names."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize.errors import SourceError
from materialize.sources.base import first_few
from materialize.sources.files import has_image_suffix, list_files
from materialize.sources.records import TextColumn
from materialize.sources.targets import TargetSchema

MASKS = TargetSchema(mask_names=("mask",))
"""One mask for each image."""


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
