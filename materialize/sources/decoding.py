"""From the bytes of a file to an (H, W, C) uint8 image, or to one reason why not.

Every kind of image has exactly one stated conversion, whose code is recorded with the image, or one
refusal, whose reason is recorded in the quarantine. The outcome depends on the bytes alone: not on
the host's memory, not on switches another part of the process set in Pillow, not on the thread. The
bytes are taken for hostile: whatever Pillow raises on them becomes an `UndecodableImageError`.

Accepted are the formats with a signature of their own that Pillow decodes in this process and in
compiled code. Refused by that rule: EPS and WMF (they hand the file to an interpreter); stubs
without a decoder (BUFR, GRIB, HDF5, MPEG); TGA, PCX and DIB (no usable signature: Pillow reads an
icon or a lookup table as TGA); PSD, ICO, CUR, ICNS (several pictures of which none is *the*
picture); FLI, SGI, SUN, DDS, BLP and other relics of games and workstations (a history of
out-of-bounds writes and no datasets); QOI and XPM (decoded in Python: 1.5 MB can ask for minutes).
"""

import io
import logging
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from materialize.errors import UndecodableImageError
from materialize.sources.base import DecodedImage, Image, Measurement
from materialize.sources.strictness import strict_pillow

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may try. MPO needs no entry: Pillow opens it as the JPEG it begins with."""

MAX_PIXELS = 89_478_485
"""Pillow's own warning threshold, as our refusal: one RGB image of 256 MiB."""

MAX_JPEG_SCANS = 500
"""Each progressive scan passes over the whole image, so scans multiply the time; 10 are usual."""

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION_TAG = 0x0112
_UPRIGHT_BY_ORIENTATION = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}

_ALPHA = "alpha-over-white"
_CONVERSIONS_BY_MODE: dict[str, tuple[int, tuple[str, ...]]] = {  # with the channels they lead to
    "1": (1, ("bilevel-to-grey",)),
    "L": (1, ()),
    "LA": (1, (_ALPHA,)),
    "La": (1, (_ALPHA,)),
    **dict.fromkeys(_SIXTEEN_BIT, (1, ("grey-16-to-8",))),
    "RGB": (3, ()),
    "RGBA": (3, (_ALPHA,)),
    "RGBa": (3, (_ALPHA,)),
    "RGBX": (3, ("padding-dropped",)),
    "P": (3, ("palette-to-rgb",)),
    "PA": (3, ("palette-to-rgb", _ALPHA)),
    "CMYK": (3, ("cmyk-to-rgb",)),
    "YCbCr": (3, ("ycbcr-to-rgb",)),
}
_REASON_BY_MODE = {"F": "float-pixels", "I": "int32-pixels"}

# Pillow also reports oddities through logging, which prints to stderr where nobody configured it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decode_image(content: bytes) -> DecodedImage:
    """The image in ``content``: upright, first frame, grey or RGB, 8 bits.

    Args:
        content: a whole file.

    Returns:
        Pixels of shape (H, W, 1) for a grey image and (H, W, 3) for a colour image.

    Raises:
        UndecodableImageError: ``err.reason`` is ``empty-file``, ``unknown-format``, ``too-large``,
            ``too-many-scans``, ``truncated``, ``damaged``, ``float-pixels``, ``int32-pixels``,
            ``unscaled-12-bit``, ``colour-key-48-bit`` or ``unsupported-mode``; ``err.detail`` and
            ``err.format`` say more.
        MemoryError: this machine is out of memory, which says nothing about the image.

    Exactness: bit-exact for lossless formats; for JPEG, AVIF, WebP and JPEG 2000 as exact as the
    library that Pillow was built with.
    """
    return _guarded(content, header_only=False)[1]


def measure_image(content: bytes) -> Measurement:
    """The size and channels `decode_image` would give, without decoding.

    Raises:
        UndecodableImageError: the header already refuses the image.
    """
    return _guarded(content, header_only=True)[0]


def is_quarter_turned(content: bytes) -> bool:
    """Whether making an accepted image upright exchanges its height and its width."""
    with strict_pillow(), PillowImage.open(io.BytesIO(content), formats=FORMATS) as image:
        return bool(image.getexif().get(_ORIENTATION_TAG, 1) >= 5)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done to one opened image, decided before its pixels are read."""

    channels: int
    conversions: tuple[str, ...]
    raw_mode: str
    orientation: int

    def foreseen(self, image: PillowImage.Image) -> Measurement:
        width, height = image.size
        # A TIFF's reported size is already the upright one.
        if self.orientation >= 5 and image.format != "TIFF":
            width, height = height, width
        return Measurement(height, width, self.channels, self.conversions)


def _guarded(content: bytes, *, header_only: bool) -> tuple[Measurement, DecodedImage]:
    """Open and decode, turning whatever goes wrong into one refusal."""
    if not content:
        raise _refusal("empty-file", "the file has no bytes", None)
    opened: PillowImage.Image | None = None
    try:
        with strict_pillow():
            opened = PillowImage.open(io.BytesIO(content), formats=FORMATS)
            with opened:
                plan = _plan(opened, content, header_only=header_only)
                measurement = plan.foreseen(opened)
                if header_only:
                    return measurement, _NOT_DECODED
                pixels, conversions = _decode(opened, plan)
                return measurement, DecodedImage(pixels, conversions)
    except UndecodableImageError:
        raise
    except UnidentifiedImageError as error:
        detail = f"no accepted format recognises bytes that begin with {content[:8].hex(' ')}"
        raise _refusal("unknown-format", detail, None) from error
    except Exception as error:
        if _is_out_of_memory(error) and not _memory_suffices():
            raise MemoryError from error
        image_format = opened.format if opened is not None else None
        raise _refusal(_reason(error), _detail(error), image_format) from error


_NOT_DECODED = DecodedImage(np.empty((0, 0, 1), np.uint8))


def _plan(image: PillowImage.Image, content: bytes, *, header_only: bool) -> _Plan:
    """Check the header against the limits and look up what the image's kind needs."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        detail = f"{width} x {height} pixels; at most {MAX_PIXELS} are accepted"
        raise _refusal("too-large", detail, image.format)
    if image.format in ("JPEG", "MPO") and (scans := content.count(b"\xff\xda")) > MAX_JPEG_SCANS:
        raise _refusal("too-many-scans", f"{scans}; at most {MAX_JPEG_SCANS}", image.format)
    raw_mode = _raw_mode(image)
    channels, by_mode = _by_mode(image, raw_mode)
    orientation, by_exif = _orientation(image, header_only=header_only)
    first_frame = ("first-frame",) if getattr(image, "is_animated", False) else ()
    return _Plan(channels, first_frame + by_exif + by_mode, raw_mode, orientation)


def _raw_mode(image: PillowImage.Image) -> str:
    """How the samples are packed in the file, such as ``RGB;16B``; Pillow's mode hides it."""
    for tile in getattr(image, "tile", ())[:1]:
        arguments = tile.args
        packing = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        return packing if isinstance(packing, str) else ""
    return ""


def _by_mode(image: PillowImage.Image, raw_mode: str) -> tuple[int, tuple[str, ...]]:
    """Channels and conversions of an image's kind, or its refusal."""
    mode = image.mode
    if raw_mode.startswith("I;12"):
        raise _refusal("unscaled-12-bit", "Pillow does not scale 12-bit samples", image.format)
    if mode == "I" and image.format == "PPM":
        mode = "I;16"  # Pillow widens PGM of more than 8 bits to 32, scaled to 0..65535
    if mode not in _CONVERSIONS_BY_MODE:
        reason = _REASON_BY_MODE.get(mode, "unsupported-mode")
        raise _refusal(reason, f"Pillow mode {mode}", image.format)
    channels, conversions = _CONVERSIONS_BY_MODE[mode]
    if ";16" in raw_mode and mode not in _SIXTEEN_BIT:
        if "transparency" in image.info:
            detail = "a transparent colour of 48 bits cannot be matched after reduction to 24"
            raise _refusal("colour-key-48-bit", detail, image.format)
        conversions = ("samples-16-to-8-high-byte", *conversions)
    if image.has_transparency_data and _ALPHA not in conversions:
        conversions = (*conversions, _ALPHA)
    # Pillow opens 16-bit grey with alpha as RGBA.
    return (1 if raw_mode.startswith("LA") else channels), conversions


def _orientation(image: PillowImage.Image, *, header_only: bool) -> tuple[int, tuple[str, ...]]:
    """The EXIF orientation, 1 to 8, and its conversion code.

    A block that cannot be parsed orients nothing: the pixels stay as stored, and that is recorded.
    """
    if image.format == "PNG":
        # PNG may carry EXIF behind the pixels, where looking for it decodes them: decode them here,
        # so that damaged pixels are not taken for damaged EXIF.
        if not header_only:
            image.load()
        elif not {"exif", "Raw profile type exif"} & image.info.keys():
            return 1, ()
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - any class, and it concerns metadata only
        return 1, ("exif-unreadable",)
    if orientation in _UPRIGHT_BY_ORIENTATION:
        return int(orientation), ("exif-rotated",)
    return 1, ()


def _decode(opened: PillowImage.Image, plan: _Plan) -> tuple[Image, tuple[str, ...]]:
    """Load, turn upright, convert."""
    opened.load()
    image = opened
    # Pillow turns a TIFF upright while loading it.
    if plan.orientation != 1 and opened.format != "TIFF":
        image = opened.transpose(_UPRIGHT_BY_ORIENTATION[plan.orientation])
    if image.mode in _SIXTEEN_BIT or image.mode == "I":
        pixels = _grey_from_sixteen_bit(image)
    elif image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa"):
        pixels = _over_white(image, plan)
    else:
        key = image.info.get("transparency")
        flat = image.convert("L" if plan.channels == 1 else "RGB")
        pixels = np.array(flat).reshape(flat.height, flat.width, plan.channels)
        if key is not None:
            # The key is in the file's own depth, the pixels are scaled to 8 bits.
            scale = {"1": 255, "L;2": 85, "L;4": 17}.get(plan.raw_mode, 1)
            pixels[(pixels == np.asarray(key) * scale).all(axis=2)] = 255
    return pixels, plan.conversions


def _grey_from_sixteen_bit(image: PillowImage.Image) -> Image:
    """Round v * 255 / 65535 to nearest, as (v + 128) // 257: 257 is odd, so there are no ties."""
    values = np.asarray(image).astype(np.uint32)
    grey = ((values + 128) // 257).astype(np.uint8)
    key = image.info.get("transparency")
    if key is not None:
        grey[values == key] = 255
    return grey[:, :, np.newaxis]


def _over_white(image: PillowImage.Image, plan: _Plan) -> Image:
    """Palette and alpha images, composited over white in Pillow's integer arithmetic."""
    opaque_mode = "L" if plan.channels == 1 else "RGB"
    if image.mode == "P" and not image.has_transparency_data:
        flat = image.convert(opaque_mode)
    else:
        translucent = image.convert("LA" if plan.channels == 1 else "RGBA")
        white: int | tuple[int, int, int] = 255 if plan.channels == 1 else (255, 255, 255)
        flat = PillowImage.new(opaque_mode, image.size, white)
        flat.paste(translucent.convert(opaque_mode), mask=translucent.getchannel("A"))
    return np.array(flat).reshape(flat.height, flat.width, plan.channels)


def _refusal(reason: str, detail: str, image_format: str | None) -> UndecodableImageError:
    return UndecodableImageError(
        f"not an image that is accepted ({reason}): {detail}",
        {"reason": reason, "detail": detail, "format": image_format},
    )


def _reason(error: Exception) -> str:
    if isinstance(error, PillowImage.DecompressionBombError | PillowImage.DecompressionBombWarning):
        return "too-large"
    if isinstance(error, EOFError) or "truncat" in str(error).lower():
        return "truncated"
    return "damaged"


def _detail(error: Exception) -> str:
    """The library's words, without object addresses, which differ from run to run."""
    words = re.sub(r"0x[0-9a-fA-F]+", "0x…", f"{type(error).__name__}: {error}")
    return words[:200]


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error)


def _memory_suffices() -> bool:
    """Whether the largest accepted image could be held right now.

    Then a failed allocation was an absurd demand in the file; otherwise it was the host's shortage,
    and an image is never dropped for that.
    """
    try:
        np.empty(4 * MAX_PIXELS, np.uint8)
    except MemoryError:
        return False
    return True
