"""A step that leaves the traces of lossy storage.

The only one whose pixels come from a library's arithmetic instead of this package's, so it carries
what that library does with it: see `codec_digest`.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from pipelines.randomness import Words, choose
from pipelines.transform import (
    Canvas,
    Parameters,
    WholeImage,
    as_interval,
    register,
    require,
)

COMPRESSIBLE = (1, 3, 4)
"""Numbers of channels that JPEG can show: grey, and colour with alpha beside it."""
_HALVED_CHROMA = 2
"""Pillow's number of 4:2:0 subsampling."""


@register
@dataclass(frozen=True, kw_only=True)
class JpegArtefacts(WholeImage):
    """Writes the image as JPEG of a drawn quality, in memory, and reads it back.

    Pillow's ``save(quality=…, subsampling="4:2:0")``, byte for byte. The bytes belong to Pillow's
    libjpeg-turbo: its integer transforms give the same ones on every processor, but another version
    may give others. ``codec`` says which ones, is part of the pipeline's fingerprint, and a stored
    pipeline is refused where the library gives others. Images are grey or colour; alpha is left as
    it is, and so are images of two channels.
    """

    name = "jpeg_artefacts"
    summary = "write as JPEG of a drawn quality and read back"
    num_words = 2

    quality: tuple[int, int]
    """[low, high] within [1, 100], both included."""
    codec: str = ""
    """What the library does, see `codec_digest`; by default what the installed one does."""

    def check(self) -> None:
        """Checks the quality, and that the library is the one that the pipeline was made for."""
        interval = as_interval(self.quality, None)
        good = interval is not None and interval[0] >= 1 and interval[1] <= 100
        good = good and all(quality == int(quality) for quality in self.quality)
        expected = "[low, high], whole numbers within [1, 100]"
        require(good, self, "quality", expected, self.quality)
        object.__setattr__(self, "quality", tuple(int(quality) for quality in self.quality))
        installed = codec_digest()
        expected = f"{installed!r}, which is what libjpeg {features.version('jpg')} does"
        advice = "use the Pillow that the pipeline was stored with, or leave codec out"
        require(self.codec in ("", installed), self, "codec", expected, self.codec, advice)
        object.__setattr__(self, "codec", installed)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``quality``: a whole number in [low, high]."""
        low, high = self.quality
        return {"quality": (low + choose(words, high - low + 1)).astype(np.float64)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Writes and reads."""
        channels = images.shape[3]
        if channels not in COMPRESSIBLE:
            return
        colours = 1 if channels == 1 else 3
        qualities = parameters["quality"].astype(np.int64).tolist()
        for image, quality in zip(images, qualities, strict=True):
            image[:, :, :colours] = compressed(image[:, :, :colours], quality)


def compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """An image as it comes back from JPEG.

    Args:
        image: (H, W, 1) or (H, W, 3) uint8, not modified.
        quality: from 1 to 100.
    """
    plane = image[:, :, 0] if image.shape[2] == 1 else image
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(
        file, "JPEG", quality=quality, subsampling=_HALVED_CHROMA
    )
    with Image.open(file) as read:
        return np.asarray(read).reshape(image.shape)


@cache
def codec_digest() -> str:
    """What the installed JPEG library does: 16 hex digits of the SHA-256 of some results.

    They are of four images by formula at qualities 5, 50 and 95, grey and in colour, with sides
    that are no multiples of 16. Versions that agree on them have the same digest.
    """
    digest = hashlib.sha256()
    index = np.arange(75 * 41 * 3, dtype=np.uint64)
    hashed = (index * np.uint64(2654435761) >> np.uint64(11)).astype(np.uint8)
    for smooth in (False, True):
        levels = (index >> np.uint64(4)).astype(np.uint8) if smooth else hashed
        for channels in (1, 3):
            for quality in (5, 50, 95):
                image = levels[: 75 * 41 * channels].reshape(75, 41, channels)
                digest.update(compressed(image, quality).tobytes())
    return digest.hexdigest()[:16]
