"""AugMix: an image blended with several chains of operations on itself.

The chains run on the finished image, each through the same code as any other pipeline; their blend
is in integers. Everything is drawn at the image's own address, and with few words, for those are
stored with every image.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.beta import MAX_ALPHA, ONE, beta_weights
from pipelines.compiled import Array, Int, compiled
from pipelines.contract import Arena, Batch, pack
from pipelines.dirichlet import break_stick
from pipelines.engine import INTERPOLATIONS
from pipelines.kernels import BORDERS
from pipelines.operations import (
    AUTOCONTRAST,
    BRIGHTNESS,
    CONTRAST,
    EQUALIZE,
    IDENTITY,
    MOVES,
    POSTERIZE,
    SATURATION,
    SHARPNESS,
    SOLARIZE,
    TONES,
    Numbers,
    PolicyFinish,
    PolicyMove,
    PolicyTone,
    Scale,
)
from pipelines.pipeline import Pipeline
from pipelines.randomness import Words, choose
from pipelines.transform import (
    ACTIVE,
    Canvas,
    Parameters,
    WholeImage,
    as_interval,
    finite_number,
    register,
    require,
)

_LEAST_ALPHA = 0.05
_MOST_CHAINS = 5
_MOST_OPS = 3
_HIGHEST = 9
_VALUES_AT_ONCE = 4096
_FEW = np.array([*MOVES, POSTERIZE, SOLARIZE, AUTOCONTRAST, EQUALIZE])
_ALL = np.array([*_FEW, BRIGHTNESS, SATURATION, CONTRAST, SHARPNESS])


@register
@dataclass(frozen=True, kw_only=True)
class AugMix(WholeImage):
    """Blends an image with several chains of drawn operations on itself.

    Hendrycks et al., "AugMix: a simple data processing method to improve robustness and
    uncertainty" (ICLR 2020), with operations, ranges and signs of torchvision's ``AugMix``. The
    weight of the image is drawn from Beta(alpha, alpha), the rest is divided among the chains by
    Dirichlet(alpha, …), in units of 2**-16 that sum to 1; a chain has one to three operations, each
    equally often, at one of the lowest ``severity`` of ten magnitudes.

    What differs: blends are rounded half up (torchvision drops the fraction), and operations are
    those on Pillow images, whole levels between any two that do not fuse. At the two highest
    magnitudes posterize keeps no bit, as on torchvision's tensors; Pillow refuses that. The paper's
    loss, which compares two such images, is no matter of a pipeline. The blend shows an object at
    several places at once, which no mask, box or point can say: with these it is refused.
    """

    name = "augmix"
    summary = "blend with a few chains of drawn operations on the image itself"
    num_words = 9

    severity: int = 3
    """How many of the ten magnitudes are drawn from, from 1 to 10."""
    width: int = 3
    """How many chains, from 1 to 5."""
    depth: tuple[int, int] = (1, 3)
    """[low, high] within [1, 3], both included: how many operations a chain has, drawn."""
    alpha: float = 1.0
    """Of the Beta and the Dirichlet distribution, in [0.05, 8]."""
    all_ops: bool = True
    """False leaves out brightness, saturation, contrast and sharpness, as the paper does to keep
    apart from the corruptions it tests with."""
    border: str = "constant"
    """What operations that move bring in; as a pipeline's."""
    level: float = 0.0
    """Of the ``constant`` border in [0, 255]."""
    interpolation: str = "bilinear"
    """``bilinear`` or ``nearest``."""

    @property
    def hinders_targets(self) -> str:
        """Every chain moves pixels elsewhere."""
        return "it blends several moved copies of an image, and shows a thing at several places"

    def check(self) -> None:
        """Checks everything."""
        for option, most in (("severity", _HIGHEST + 1), ("width", _MOST_CHAINS)):
            value = getattr(self, option)
            good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
            require(good, self, option, f"a whole number in [1, {most}]", value)
        depth = as_interval(self.depth, None)
        good = depth is not None and depth[0] >= 1 and depth[1] <= _MOST_OPS
        good = good and all(isinstance(number, int) for number in self.depth)
        require(good, self, "depth", f"[low, high], whole numbers in [1, {_MOST_OPS}]", self.depth)
        object.__setattr__(self, "depth", tuple(self.depth))
        good = finite_number(self.alpha) and _LEAST_ALPHA <= self.alpha <= MAX_ALPHA
        require(good, self, "alpha", f"a number in [{_LEAST_ALPHA}, {MAX_ALPHA:g}]", self.alpha)
        require(isinstance(self.all_ops, bool), self, "all_ops", "true or false", self.all_ops)
        good = finite_number(self.level) and 0 <= self.level <= 255
        require(good, self, "level", "a level in [0, 255]", self.level)
        for option, allowed in (("border", BORDERS), ("interpolation", INTERPOLATIONS)):
            value = getattr(self, option)
            require(value in allowed, self, option, f"one of {list(allowed)}", value)

    @property
    def scale(self) -> Scale:
        """The ten magnitudes."""
        return Scale(
            highest=_HIGHEST,
            drawn=(0, self.severity - 1),
            shear=0.3,
            shift=(1, 3),
            shifts_by_side=True,
            angle_deg=30.0,
            factor=0.9,
            bits=(4, 4),
        )

    @cached_property
    def chain(self) -> Pipeline:
        """One chain: a move, a tone and a finish for each of its operations."""
        scale = self.scale
        one = (PolicyMove(scale=scale), PolicyTone(scale=scale), PolicyFinish(scale=scale))
        return Pipeline(steps=one * self.depth[1], border=self.border, fill=(float(self.level),),
                        interpolation=self.interpolation)  # fmt: skip

    def words_needed(self) -> int:
        """One for each weight but the last, and two for each chain."""
        return 3 * self.width

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``weight`` of the image; ``weight_1`` … of the chains; what chains do.

        ``operation_1_2`` is the second operation of the first chain, a place in
        `pipelines.operations.OPERATIONS`, and ``level_1_2`` its signed magnitude from 0 to 9.
        """
        own = beta_weights(words[:, 0], self.alpha)
        weights = break_stick(words[:, 1 : self.width], self.alpha, ONE - own)
        drawn = {"weight": own / ONE}
        drawn |= {f"weight_{k + 1}": weights[:, k] / ONE for k in range(self.width)}
        for chain in range(1, self.width + 1):
            first = self.width + 2 * (chain - 1)
            drawn |= self._draw_chain(words[:, first : first + 2], chain)
        return drawn

    def _draw_chain(self, words: Words, chain: int) -> Parameters:
        """All of one chain from one fraction of 64 bits."""
        low, high = self.depth
        kinds = _ALL if self.all_ops else _FEW
        scale = self.scale
        levels = 2 * scale.num_levels
        number = choose(words, (high - low + 1) * (len(kinds) * levels) ** high)
        number, more = np.divmod(number, high - low + 1)
        drawn: Parameters = {}
        for place in range(1, high + 1):
            number, one = np.divmod(number, len(kinds) * levels)
            operation = np.where(place <= low + more, kinds[one // levels], IDENTITY)
            drawn[f"operation_{chain}_{place}"] = operation.astype(np.float64)
            level = np.where(operation == IDENTITY, 0, scale.level(one % levels))
            drawn[f"level_{chain}_{place}"] = level.astype(np.float64)
        return drawn

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Runs the chains on copies of the images and blends."""
        arena = pack(images)
        chains = np.empty((self.width, *images.shape), np.uint8)
        for number, out in enumerate(chains, start=1):
            self._run_chain(number, arena, parameters, out, plain)
        names = ("weight", *(f"weight_{k + 1}" for k in range(self.width)))
        weights = np.stack([parameters[name] for name in names], axis=1) * ONE
        (_blend_reference if plain else _blend)(
            images.reshape(len(images), -1),
            chains.reshape(self.width, len(images), -1),
            np.floor(weights + 0.5).astype(np.int64),
        )

    def _run_chain(
        self, number: int, images: Arena, parameters: Parameters, out: Batch, plain: bool
    ) -> None:
        """Writes one chain's images."""
        canvas = Canvas(images.heights, images.widths)
        drawn: list[Parameters] = []
        for place in range(1, self.depth[1] + 1):
            operation = parameters[f"operation_{number}_{place}"].astype(np.int64)
            level = parameters[f"level_{number}_{place}"].astype(np.int64)
            drawn += _told(self.scale, operation, level, canvas)
        self.chain.render(drawn, images, out, plain=plain)


def _told(scale: Scale, operation: Numbers, level: Numbers, canvas: Canvas) -> list[Parameters]:
    """The parameters of a move, a tone and a finish of which at most one happens."""
    moves = operation < MOVES.stop
    tones = (operation < TONES.stop) & ~moves
    finishes = (operation < IDENTITY) & ~moves & ~tones
    told = [
        PolicyMove(scale=scale).parameters(operation, level, canvas),
        PolicyTone(scale=scale).parameters(operation, level),
        PolicyFinish(scale=scale).parameters(operation, level),
    ]
    for drawn, happens in zip(told, (moves, tones, finishes), strict=True):
        drawn[ACTIVE] = happens.astype(np.float64)
    return told


@compiled
def _blend(images: Array, chains: Array, weights: Array) -> None:
    """`_blend_reference`, compiled, some values at a time: their sums stay in the cache."""
    totals = np.empty(_VALUES_AT_ONCE, np.int32)
    for k in range(images.shape[0]):
        for first in range(0, images.shape[1], _VALUES_AT_ONCE):
            image = images[k, first : first + _VALUES_AT_ONCE]
            own = np.int32(weights[k, 0])
            for i in range(image.shape[0]):
                totals[i] = np.int32(image[i]) * own + np.int32(32768)
            for number in range(chains.shape[0]):
                chain = chains[number, k, first : first + _VALUES_AT_ONCE]
                share: Int = np.int32(weights[k, number + 1])
                for i in range(chain.shape[0]):
                    totals[i] += np.int32(chain[i]) * share
            for i in range(image.shape[0]):
                image[i] = totals[i] >> np.int32(16)


def _blend_reference(images: Batch, chains: Batch, weights: NDArray[np.int64]) -> None:
    """Weighted means, rounded half up.

    Args:
        images: (n, values) uint8, written.
        chains: (k, n, values) uint8.
        weights: (n, k + 1) of the image and the chains, in units of 2**-16; each row sums to 1.
    """
    total = images.astype(np.int64) * weights[:, :1] + ONE // 2
    for chain, own in zip(chains, weights[:, 1:].T, strict=True):
        total += chain * own[:, None]
    images[...] = total >> 16
