"""Functions as users write them: the steps of tests call them by their names.

They are in the golden files by a digest of their source: what is changed here changes fingerprints.
"""

import random  # noqa: TID251  # what a function must not draw from
import time

import numpy as np


def mirrored(image):
    """The simplest one: an image in, an image out."""
    return image[:, ::-1]


def speckled(image, rng, *, share=0.1):
    """Some pixels black: by the generator of the image."""
    keep = rng.random(image.shape[:2]) >= share
    return image * keep[:, :, None].astype(np.uint8)


def rolled(image, seed):
    """Moved around by the seed of the image."""
    return np.roll(image, seed % image.shape[0], axis=0)


def halved(image):
    """Takes any dtype."""
    return image // 2 if image.dtype == np.uint8 else image * np.float32(0.5)


def by_numpy(image):
    """Draws from NumPy's global generator."""
    return image ^ np.uint8(np.random.randint(256))  # noqa: NPY002


def by_random(image):
    """Draws from Python's global generator."""
    return image ^ np.uint8(random.randrange(256))


def by_clock(image):
    """Looks at the clock."""
    return image ^ np.uint8(time.perf_counter_ns() // 64 % 256)


def by_hash(image):
    """Depends on how this process hashes texts."""
    return image ^ np.uint8(hash("text") % 256)


_LAST = [np.uint8(0)]


def by_memory(image):
    """Looks at the image that came before; the same one twice in a row is no different."""
    if image.ravel()[0] != _LAST[-1]:
        _LAST.append(image.ravel()[0])
    return image ^ (_LAST[-2] if len(_LAST) > 1 else np.uint8(0))


def written_to(image):
    """Writes to what it was given."""
    image[0] = 0
    return image


def cropped(image):
    """Gives another size."""
    return image[1:]


def floated(image):
    """Gives another dtype."""
    return image / 255


def choosy(image):
    """Fails for an image of nothing."""
    if not image.any():
        raise ValueError("expected something to be seen")
    return image


def failing(image):
    """Fails for bright images."""
    if image.max() > 200:
        raise ValueError("too bright")
    return image
