"""Steps that mix an image with a partner, and say how much of each label is left.

The partner is drawn like everything else, by its address: a place in a pool of sample ids that the
caller names (the images of the same split, or of the same fold). It is augmented at its own
address, with the same copy number, by the steps before the mixing one, so that a mixed image too is
a function of (pipeline, seed, sample id, copy) and of that pool.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.beta import MAX_ALPHA, ONE, beta_weights
from pipelines.compiled import Array, Int, compiled
from pipelines.contract import Batch
from pipelines.randomness import Words, choose
from pipelines.transform import (
    Canvas,
    Parameters,
    Transform,
    active,
    finite_number,
    register,
    require,
)

_LEAST_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Mixing(Transform):
    """A step that needs a partner."""

    alpha: float = 1.0
    """The share of the image itself is drawn from Beta(alpha, alpha), alpha in [0.05, 8]."""

    @property
    def hinders_targets(self) -> str:
        """Labels are mixed by a weight; what is where is not."""
        return "it mixes two images, and shows things of both"

    def check(self) -> None:
        """Checks alpha."""
        good = finite_number(self.alpha) and _LEAST_ALPHA <= self.alpha <= MAX_ALPHA
        require(good, self, "alpha", f"a number in [{_LEAST_ALPHA}, {MAX_ALPHA:g}]", self.alpha)

    def run(
        self, images: NDArray[Any], partners: NDArray[Any], parameters: Parameters, *, plain: bool
    ) -> None:
        """Mixes n images with their partners, in place.

        Args:
            images: (n, H, W, C) uint8, written.
            partners: (n, H, W, C) uint8.
            parameters: of the n images; ``weight`` is the share of the image's own label.
            plain: True to run the NumPy twin; the bytes are equal.
        """
        raise NotImplementedError

    def shows_partner(self, parameters: Parameters) -> NDArray[np.bool_]:
        """Which of n images can change by a level; the partners of the others need not be made.

        Args:
            parameters: of the n images.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Mixes:
    """Whom n images are mixed with, and how much of each label is left."""

    is_mixed: NDArray[np.bool_]
    """(n,) False for images that no mixing step happens to."""
    words: Words
    """(n, 2) the fraction of the pool at which the partner stands."""
    weight: NDArray[np.float32]
    """(n,) the share of the image's own label; 1 where it is not mixed."""

    def partner_rows(self, pool_size: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """(n,) places of the partners in a pool of sample ids; an image may be its own partner.

        Args:
            pool_size: at least 1; one for all or (n,).
        """
        return choose(self.words, pool_size)


def mixes_of(steps: Sequence[Transform], parameters: Sequence[Parameters]) -> Mixes | None:
    """The mixes that some steps make; None where no step mixes.

    Args:
        steps: all moving steps of a pipeline, of which at most one mixes any image.
        parameters: each step's, of n images.
    """
    mixing = [p for step, p in zip(steps, parameters, strict=True) if isinstance(step, Mixing)]
    if not mixing:
        return None
    count = len(mixing[0]["weight"])
    mixes = Mixes(
        np.zeros(count, np.bool_), np.zeros((count, 2), np.uint32), np.ones(count, np.float32)
    )
    for drawn in mixing:
        mask = active(drawn)
        here = np.ones(count, np.bool_) if mask is None else mask
        mixes.is_mixed[here] = True
        mixes.weight[here] = drawn["weight"][here]
        for column in range(2):
            mixes.words[here, column] = drawn[f"partner_{column}"][here].astype(np.uint32)
    return mixes


def _partner(words: Words) -> Parameters:
    """The fraction that names the partner: two words, kept exactly."""
    names = ("partner_0", "partner_1")
    return {name: words[:, i].astype(np.float64) for i, name in enumerate(names)}


@register
@dataclass(frozen=True, kw_only=True)
class Mixup(Mixing):
    """Blends an image with a partner: weight · image + (1 − weight) · partner.

    Zhang et al., "mixup: beyond empirical risk minimization" (ICLR 2018). The paper draws one
    weight per batch and permutes the batch; here each image has its own weight and partner, so that
    neither depends on a batch. Weights are multiples of 2**-16, pixels are rounded half up.
    """

    name = "mixup"
    summary = "blend with a partner, and its label, by a weight from Beta(alpha, alpha)"
    num_words = 3

    alpha: float = 0.2
    """The share of the image itself is drawn from Beta(alpha, alpha), alpha in [0.05, 8]."""

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``weight`` in [0, 1] and the partner."""
        weight = beta_weights(words[:, 2], self.alpha) / ONE
        return {"weight": weight, **_partner(words)}

    def run(
        self, images: NDArray[Any], partners: NDArray[Any], parameters: Parameters, *, plain: bool
    ) -> None:
        """Blends."""
        weights = _whole_weights(parameters)
        flat = (images.reshape(len(images), -1), partners.reshape(len(images), -1), weights)
        (_blend_reference if plain else _blend)(*flat)

    def shows_partner(self, parameters: Parameters) -> NDArray[np.bool_]:
        """Where the partner's share of 255 levels is half a level or more."""
        return 2 * 255 * (ONE - _whole_weights(parameters)) >= ONE


@register
@dataclass(frozen=True, kw_only=True)
class Cutmix(Mixing):
    """Puts a rectangle of a partner into an image; the labels are weighted by area.

    Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable
    features" (ICCV 2019), section 3.1: the sides are √(1 − share) of the image's, the centre is
    uniform, what lies outside is cut off, and the weight is that of the area that is left.
    """

    name = "cutmix"
    summary = "put a rectangle of a partner into the image, labels weighted by area"
    num_words = 7

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """The rectangle in whole pixels, ends excluded, ``weight`` in [0, 1] and the partner."""
        share = np.sqrt(1.0 - beta_weights(words[:, 2], self.alpha) / ONE)
        drawn: Parameters = {}
        for axis, sizes, two in (
            ("x", canvas.widths, words[:, 3:5]), ("y", canvas.heights, words[:, 5:7])
        ):  # fmt: skip
            side = np.floor(share * sizes)
            begin = choose(two, sizes) - np.floor(side / 2)
            drawn[f"begin_{axis}_px"] = np.clip(begin, 0.0, sizes)
            drawn[f"end_{axis}_px"] = np.clip(begin + side, 0.0, sizes)
        area = (drawn["end_x_px"] - drawn["begin_x_px"]) * (drawn["end_y_px"] - drawn["begin_y_px"])
        # The weight is kept in shards as float32: rounded here, so that all see the same.
        weight = (1.0 - area / (canvas.widths * canvas.heights)).astype(np.float32)
        return drawn | {"weight": weight.astype(np.float64), **_partner(words)}

    def run(
        self, images: NDArray[Any], partners: NDArray[Any], parameters: Parameters, *, plain: bool
    ) -> None:
        """Copies the rectangles; there is nothing to be gained by compiling it."""
        names = ("begin_x_px", "begin_y_px", "end_x_px", "end_y_px")
        boxes = np.stack([parameters[name] for name in names], axis=1).astype(np.int64)
        for image, partner, (left, top, right, bottom) in zip(
            images, partners, boxes.tolist(), strict=True
        ):
            image[top:bottom, left:right] = partner[top:bottom, left:right]

    def shows_partner(self, parameters: Parameters) -> NDArray[np.bool_]:
        """Where the rectangle has pixels."""
        begin, end = parameters["begin_x_px"], parameters["end_x_px"]
        return (begin < end) & (parameters["begin_y_px"] < parameters["end_y_px"])


def _whole_weights(parameters: Parameters) -> NDArray[np.int64]:
    """(n,) the share of the image itself, in units of 2**-16."""
    return np.floor(parameters["weight"] * ONE + 0.5).astype(np.int64)


@compiled
def _blend(images: Array, partners: Array, weights: Array) -> None:
    """`_blend_reference`, compiled."""
    for k in range(images.shape[0]):
        own = np.int32(weights[k])
        other = np.int32(65536) - own
        for i in range(images.shape[1]):
            total: Int = np.int32(images[k, i]) * own + np.int32(partners[k, i]) * other
            images[k, i] = (total + np.int32(32768)) >> np.int32(16)


def _blend_reference(images: Batch, partners: Batch, weights: NDArray[np.int64]) -> None:
    """Weighted means, rounded half up.

    Args:
        images: (n, values) uint8, written.
        partners: (n, values) uint8.
        weights: (n,) of the images, in units of 2**-16.
    """
    own = weights[:, None]
    images[...] = (images * own + partners * (ONE - own) + ONE // 2) >> 16
