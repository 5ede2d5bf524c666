"""The 1,797 handwritten 8x8 digits that come inside scikit-learn: a data set without a download."""

import numpy as np

from materialize.sources.arrays import ArraySource, RawPart


def digits_source() -> ArraySource:
    """The digits as (8, 8, 1) uint8 images of classes "0" to "9", all in the training split.

    Their values 0..16 become (255 * v + 8) // 16: 255 v / 16 rounded half up, 16 to 255.
    """
    from sklearn.datasets import load_digits  # half a second that only this source should cost

    digits = load_digits()
    levels = digits.images.astype(np.uint16)  # whole floats 0..16
    images = ((255 * levels + 8) // 16).astype(np.uint8)
    return ArraySource({"train": RawPart(images, digits.target)}, {"kind": "digits"})
