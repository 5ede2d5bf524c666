"""One image as the bytes of a picture, by the same encoders that shards have."""

import numpy as np
from numpy.typing import NDArray
from PIL import features

from materialize.shards.codecs import find_codec


def encode_picture(image: NDArray[np.uint8], form: str) -> bytes:
    """The file of one image; the same bytes for the same image by the same encoder.

    Args:
        image: (H, W, 1) grey or (H, W, 3) RGB, uint8; not modified.
        form: ``png``, ``webp`` or ``jpeg-Q``.
    """
    return find_codec(form).encode(image[np.newaxis])


def suffix_of(form: str) -> str:
    """``png``, ``webp`` or ``jpeg``: a file's suffix, and what TensorFlow calls the format."""
    return form.partition("-")[0]


def encoder_name(form: str) -> str:
    """The library that makes these bytes; other versions may make others of the same image."""
    libraries = {"png": ("zlib_ng", "zlib"), "webp": ("webp",), "jpeg": ("libjpeg_turbo", "jpg")}
    for name in libraries.get(suffix_of(form), ()):
        if features.check(name):
            return f"{name} {features.version(name)}"
    return "none"
