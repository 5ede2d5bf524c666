"""What files beside images say of them: objects, masks and fields, record by record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import RecordReadError, UndecodableImageError
from materialize.sources.decoding import is_quarter_turned
from materialize.sources.mask_decoding import decode_mask
from materialize.sources.records import TextColumn
from materialize.sources.targets import NO_TARGETS, TargetNote, TargetSchema
from pipelines.objects import Objects

_UPRIGHT = "write the image upright, without an orientation in its EXIF, and annotate that"


@dataclass(frozen=True, slots=True, eq=False)
class FileTargets:
    """The targets of n records that are files."""

    schema: TargetSchema = NO_TARGETS
    columns: tuple[NDArray[Any], ...] = ()
    """(n, *field.shape) for each field of the schema."""
    objects: Objects | None = None
    """Of n images."""
    sizes: NDArray[np.int32] | None = None
    """(n, 2) height and width that annotations name; 0 where they name none."""
    masks: TextColumn | None = None
    """n absolute paths."""
    notes: tuple[TargetNote, ...] = field(default=())

    def mask(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 1) labels of one record.

        Raises:
            RecordReadError: the operating system did not give the file.
            UndecodableImageError: it is no mask.
        """
        path = Path("" if self.masks is None else self.masks[index])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RecordReadError(
                f"cannot read the mask {path}: {error.strerror}; restore it, or exclude its image",
                {"path": str(path)},
            ) from error
        return decode_mask(content, path.name)

    def check_frame(
        self, index: int, size: tuple[int, int], conversions: tuple[str, ...], content: bytes
    ) -> None:
        """Refuses an image that its annotation was not made on.

        Args:
            index: the record.
            size: (height, width) of the upright image.
            conversions: what decoding it did.
            content: the image's file.

        Raises:
            UndecodableImageError: the annotation is of another size, or the image's EXIF turns it
                and nothing says whether it was annotated before or after.
        """
        if not self.schema.moves:
            return
        height, width = (0, 0) if self.sizes is None else self.sizes[index].tolist()
        if height and (height, width) != size:
            detail = (
                f"its annotation is of an image of {width} x {height}, the upright image is "
                f"{size[1]} x {size[0]} (width x height)"
            )
            raise _refusal("annotation-size", f"{detail}; annotate the image as it is")
        if "exif-rotated" not in conversions:
            return
        is_known = bool(height) or self.masks is not None
        if not (is_known and size[0] != size[1] and is_quarter_turned(content)):
            detail = (
                "its EXIF orientation turns it, and whether it was annotated before or after "
                "cannot be told"
            )
            raise _refusal("orientation-unclear", f"{detail}; {_UPRIGHT}")


NO_FILE_TARGETS = FileTargets()
"""Of images that have a class at most."""


def _refusal(reason: str, detail: str) -> UndecodableImageError:
    facts: Mapping[str, Any] = {"reason": reason, "detail": detail, "format": None}
    return UndecodableImageError(f"not an image that is accepted ({reason}): {detail}", facts)
