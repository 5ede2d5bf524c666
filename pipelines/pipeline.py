"""A pipeline: ordered steps, and the three functions draw → lower → run.

    words      = pipeline.draw(seed, sample_ids, copies)        chance, and nothing else
    parameters = pipeline.parameters(words, canvas)             what the words mean
    programs   = pipeline.lower(parameters, canvas, channels)   geometry fused, tones folded
    engine.run(programs, images, pipeline, out)                 pixels

`augment` does all four. An image depends on the pipeline, the seed, its sample id and its copy
number, and on nothing else: not on the batch it is in, its place there, the process or the machine.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines import engine
from pipelines.contract import Arena, Batch, pack, view
from pipelines.errors import ImageContractError, PipelineFileError
from pipelines.kernels import BORDERS
from pipelines.program import Programs, check_order, lower
from pipelines.randomness import WORDS_PER_BLOCK, Words, counters, draw_words, step_keys
from pipelines.resizing import Resize
from pipelines.transform import Canvas, Geometric, Parameters, Transform


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Steps in order, and how pixels outside the image and between pixels are read."""

    steps: tuple[Transform, ...]
    """A `Resize` may only come first."""
    name: str = "pipeline"
    """For people; not part of the fingerprint."""
    border: str = "nearest"
    """What lies outside: ``nearest``, ``constant``, ``reflect`` or ``wrap``, as in SciPy."""
    fill: tuple[float, ...] = field(default=(0.0,))
    """Level of the ``constant`` border in [0, 255], one for all channels or one each."""
    interpolation: str = "bilinear"
    """``bilinear`` or ``nearest``."""

    def __post_init__(self) -> None:
        """Checks what concerns the pipeline as a whole.

        Raises:
            PipelineFileError: unknown border or interpolation, an order without fused meaning.
        """
        _one_of("border", self.border, BORDERS)
        _one_of("interpolation", self.interpolation, engine.INTERPOLATIONS)
        if not self.fill or not all(0 <= level <= 255 for level in self.fill):
            raise PipelineFileError(
                f"fill: expected levels in [0, 255], got {self.fill}; choose levels of grey",
                {"name": "fill", "expected": "[0, 255]", "found": self.fill},
            )
        late = [i for i, s in enumerate(self.steps) if isinstance(s, Resize) and i > 0]
        if late:
            raise PipelineFileError(
                f"step {late[0] + 1} (resize): expected as the first step only; move it there, or "
                "use resized_crop, which fuses",
                {"step": "resize", "found": late[0]},
            )
        check_order(self.moving_steps)
        duplicates = [key for key, count in Counter(self.step_keys).items() if count > 1]
        if duplicates:
            raise PipelineFileError(
                f"step id {duplicates[0]!r}: expected once, got it twice; rename one of them",
                {"name": "id", "found": duplicates[0]},
            )

    @property
    def resize(self) -> Resize | None:
        """The deterministic resize in front, if there is one."""
        first = self.steps[0] if self.steps else None
        return first if isinstance(first, Resize) else None

    @cached_property
    def moving_steps(self) -> tuple[Transform, ...]:
        """The steps after the resize: everything that is drawn."""
        return self.steps[1:] if self.resize else self.steps

    @cached_property
    def step_keys(self) -> tuple[str, ...]:
        """Each moving step's key: its ``id``, or its name numbered among equals (``zoom#2``)."""
        seen: Counter[str] = Counter()
        keys = []
        for step in self.moving_steps:
            seen[step.name] += 1
            number = seen[step.name]
            keys.append(step.id or (step.name if number == 1 else f"{step.name}#{number}"))
        return tuple(keys)

    @cached_property
    def word_names(self) -> tuple[str, ...]:
        """The name of each drawn word, such as ``zoom[1]``: the columns of `draw`."""
        pairs = zip(self.step_keys, self.moving_steps, strict=True)
        return tuple(f"{key}[{i}]" for key, step in pairs for i in range(step.words_needed()))

    def fill_levels(self, channels: int) -> tuple[float, ...]:
        """The fill of each channel.

        Raises:
            ImageContractError: the pipeline names as many levels as no image of this kind has.
        """
        if len(self.fill) not in (1, channels):
            raise ImageContractError(
                f"fill: expected 1 or {channels} levels for images of {channels} channels, got "
                f"{len(self.fill)}; give one level, or one for each channel",
                {"name": "fill", "expected": channels, "found": len(self.fill)},
            )
        return self.fill if len(self.fill) == channels else self.fill * channels

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """The size that an image of this size ends with."""
        if self.resize:
            height, width = self.resize.height, self.resize.width
        canvas = Canvas(np.array([height]), np.array([width]))
        for step in self.moving_steps:
            canvas = step.canvas_after(canvas) if isinstance(step, Geometric) else canvas
        return int(canvas.heights[0]), int(canvas.widths[0])

    def draw(
        self, seed: int, sample_ids: NDArray[np.uint8], copies: NDArray[np.integer] | int
    ) -> Words:
        """The random words of n addresses.

        Args:
            seed: in [0, 2**64).
            sample_ids: (n, 16) uint8.
            copies: (n,) or one, in [0, 2**32).

        Returns:
            (n, len(word_names)) uint32.
        """
        keys, columns, offset = [], [], 0
        for key, step in zip(self.step_keys, self.moving_steps, strict=True):
            needed = step.words_needed()
            if needed:
                keys.append(step_keys(seed, key, needed))
                columns.append(offset + np.arange(needed))
                offset += len(keys[-1]) * WORDS_PER_BLOCK
        if not keys:
            return np.empty((len(sample_ids), 0), dtype=np.uint32)
        drawn = draw_words(np.concatenate(keys), counters(sample_ids, copies))
        return np.ascontiguousarray(drawn[:, np.concatenate(columns)])

    def parameters(self, words: Words, canvas: Canvas) -> list[Parameters]:
        """What the words mean, step by step.

        Args:
            words: (n, len(word_names)) uint32.
            canvas: the sizes of the n (resized) sources.
        """
        result, offset = [], 0
        for step in self.moving_steps:
            needed = step.words_needed()
            result.append(step.draw(words[:, offset : offset + needed], canvas))
            canvas = step.canvas_after(canvas) if isinstance(step, Geometric) else canvas
            offset += needed
        return result

    def lower(self, parameters: Sequence[Parameters], canvas: Canvas, channels: int) -> Programs:
        """One fixed-size program per image.

        Raises:
            ImageContractError: the images would end with different sizes.
            ParameterError: a matrix is too extreme for fixed point.
        """
        outputs = {self.output_size(*size) for size in canvas.sizes()} or {(0, 0)}
        if len(outputs) > 1:
            raise ImageContractError(
                f"expected images that end with one size, got {sorted(outputs)[:3]}; start the "
                "pipeline with a resize, or end it with a crop",
                {"expected": "one size", "found": sorted(outputs)},
            )
        fill = self.fill_levels(channels)
        return lower(self.moving_steps, parameters, canvas, fill, outputs.pop())

    def prepare(self, image: Batch) -> Batch:
        """The resize in front, or the image itself: what is the same for every copy."""
        return self.resize(image) if self.resize else image

    def augment(
        self,
        images: Arena,
        words: Words,
        out: Batch,
        *,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        """Writes n augmented images; the one way from words to pixels.

        Args:
            images: n prepared images.
            words: (n, len(word_names)) uint32, as `draw` gives them.
            out: (n, H', W', C) of the images' dtype; written.
            value_range: see `pipelines.engine.run`.
        """
        if not len(images):
            return
        canvas = Canvas(images.heights, images.widths)
        programs = self.lower(self.parameters(words, canvas), canvas, images.channels)
        engine.run(programs, images, self, out, value_range=value_range)

    def apply(
        self,
        images: Sequence[Batch] | Batch,
        *,
        seed: int,
        sample_ids: NDArray[np.uint8],
        copies: NDArray[np.integer] | int,
        value_range: tuple[float, float] | None = None,
    ) -> Batch:
        """The augmented copies of n images.

        Args:
            images: (n, H, W, C) uint8 or float32, or a sequence of (H, W, C); not modified.
            seed: in [0, 2**64).
            sample_ids: (n, 16) uint8.
            copies: (n,) or one: which copy of each image.
            value_range: for float32 images, the values that mean black and white.

        Returns:
            (n, H', W', C) of the images' dtype.
        """
        if self.resize:
            images = [self.resize(image) for image in images]
        arena = view(images) if isinstance(images, np.ndarray) else pack(images)
        height, width = (
            self.output_size(int(arena.heights[0]), int(arena.widths[0])) if len(arena) else (0, 0)
        )
        out = np.empty((len(arena), height, width, arena.channels), dtype=arena.values.dtype)
        words = self.draw(seed, sample_ids, copies)
        if isinstance(images, np.ndarray) and len(arena):
            # All images that have room behind them are read in place, the others (usually the last
            # one) from a copy.
            ready = arena.num_with_room()
            self.augment(arena.take(np.arange(ready)), words[:ready], out[:ready],
                         value_range=value_range)  # fmt: skip
            self.augment(pack(images[ready:]), words[ready:], out[ready:], value_range=value_range)
        else:
            self.augment(arena, words, out, value_range=value_range)
        return out


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise PipelineFileError(
            f"{name}: expected one of {list(allowed)}, got {value!r}",
            {"name": name, "expected": list(allowed), "found": value},
        )
