"""A pipeline: ordered steps, and the three functions draw → lower → run.

    words      = pipeline.draw(seed, sample_ids, copies)        chance, and nothing else
    parameters = pipeline.parameters(words, canvas)             what the words mean
    stages     = pipeline.lower(parameters, canvas, channels)   geometry fused, tones folded
    run_stages(stages, images, pipeline, out)                   pixels

`render` does the last two, `augment` the last three. An image depends on the pipeline, the seed,
its sample id, its copy number and, where a step mixes, on its partner; on nothing else: not on the
batch it is in, its place there, the process or the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.conditions import check_kinds, check_reading, check_steps
from pipelines.contract import Arena, Batch, pack, view
from pipelines.errors import ImageContractError
from pipelines.lowering import canvas_after, lower_stages, taken
from pipelines.masks import Masks, render_masks
from pipelines.mixing import Mixes, Mixing, mixes_of
from pipelines.motion import Motion, check_followable, motions_of
from pipelines.object_moves import map_objects, move_objects
from pipelines.objects import NO_KINDS, ObjectKinds, Objects
from pipelines.placement import PlacedStep, place_steps
from pipelines.randomness import WORDS_PER_BLOCK, Words, counters, draw_words, step_keys
from pipelines.rendering import Companions, Partners, Pool, Rendering, render
from pipelines.resizing import Resize
from pipelines.stages import Stage
from pipelines.transform import Canvas, Parameters, Transform
from pipelines.user_code import naming_images


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
    mask_border: str | None = None
    """What lies outside a mask; None: what lies outside its image."""
    mask_fill: int = 0
    """The label of the ``constant`` border of masks, from 0 to 255."""
    min_visibility: float = 0.0
    """In [0, 1]: an object goes when less than this share of its moved box lies inside the image;
    one of which nothing does always goes. A step that bends moves what was inside before it."""

    def __post_init__(self) -> None:
        """Checks what concerns the pipeline as a whole.

        Raises:
            PipelineFileError: unknown border or interpolation, a number out of its interval,
                something that is no step, an order without fused meaning.
        """
        check_reading(self)
        check_kinds(self.steps)
        check_steps(self.steps, self.placed)

    @property
    def resize(self) -> Resize | None:
        """The deterministic resize in front, if there is one."""
        first = self.steps[0] if self.steps else None
        return first if isinstance(first, Resize) else None

    @cached_property
    def placed(self) -> tuple[PlacedStep, ...]:
        """All steps after the resize, those inside containers behind their container."""
        return place_steps(self.steps[1:] if self.resize else self.steps)

    @cached_property
    def moving_steps(self) -> tuple[Transform, ...]:
        """The steps after the resize: everything that is drawn; see `placed`."""
        return tuple(placed.step for placed in self.placed)

    @cached_property
    def step_keys(self) -> tuple[str, ...]:
        """Each moving step's key: its ``id``, or its name numbered among equals (``zoom#2``)."""
        return tuple(placed.key for placed in self.placed)

    @cached_property
    def word_names(self) -> tuple[str, ...]:
        """The name of each drawn word, such as ``zoom[1]``: the columns of `draw`."""
        return tuple(f"{p.key}[{i}]" for p in self.placed for i in range(p.num_words))

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
            canvas = canvas_after(step, canvas)
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
        for placed in self.placed:
            needed = placed.num_words
            if needed:
                keys.append(step_keys(seed, placed.key, needed))
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
        result: list[Parameters] = []
        offset = 0
        for placed in self.placed:
            here = words[:, offset : offset + placed.num_words]
            result.append(placed.draw(here, canvas, result))
            canvas = canvas_after(placed.step, canvas)
            offset += placed.num_words
        return result

    def lower(
        self, parameters: Sequence[Parameters], canvas: Canvas, channels: int
    ) -> tuple[Stage, ...]:
        """What is to be done to n images; see `pipelines.lowering.lower_stages`."""
        return lower_stages(self.moving_steps, parameters, canvas, self.fill_levels(channels))

    def prepare(self, image: Batch) -> Batch:
        """The resize in front, or the image itself: what is the same for every copy."""
        return self.resize(image) if self.resize else image

    def prepare_mask(self, mask: Masks) -> Masks:
        """A mask, (H, W, M) uint8, as it lies on its prepared image; see `Resize.run_mask`."""
        return self.resize.run_mask(mask, self.mask_fill) if self.resize else mask

    def prepare_objects(self, objects: Objects, canvas: Canvas) -> Objects:
        """The objects of n images as they lie in the prepared images.

        What a resize that covers cuts off is gone, as `min_visibility` says.

        Args:
            objects: of the n images.
            canvas: the sizes of the untouched images.
        """
        if self.resize is None:
            return objects
        after = canvas.resized(self.resize.height, self.resize.width)
        return map_objects(self.resize.point_maps(canvas), objects, after, self.min_visibility)

    def augment(
        self,
        images: Arena,
        words: Words,
        out: Batch,
        *,
        value_range: tuple[float, float] | None = None,
        partners: Arena | None = None,
        partner_words: Words | None = None,
        companions: NDArray[np.int64] | None = None,
    ) -> None:
        """Writes n augmented images; the one way from words to pixels.

        Args:
            images: n prepared images.
            words: (n, len(word_names)) uint32, as `draw` gives them.
            out: (n, H', W', C) of the images' dtype; written.
            value_range: see `pipelines.engine.run`.
            partners: n prepared images to mix with, one for each image (any, where an image is not
                mixed); needed where a step mixes.
            partner_words: (n, len(word_names)) uint32, drawn at the partners' addresses.
            companions: instead of both, (n,) which of these images each is mixed with, where all
                are the same copy: the same pixels, in about half of the time.
        """
        if not len(images):
            return
        drawn = self.parameters(words, Canvas(images.heights, images.widths))
        mixed_with: Partners | Companions | None = None
        if companions is not None:
            mixed_with = Companions(companions)
        elif partners is not None and partner_words is not None:
            canvas = Canvas(partners.heights, partners.widths)
            mixed_with = Partners(partners, self.parameters(partner_words, canvas))
        self.render(drawn, images, out, value_range=value_range, partners=mixed_with)

    def render(
        self,
        parameters: Sequence[Parameters],
        images: Arena,
        out: Batch,
        *,
        value_range: tuple[float, float] | None = None,
        plain: bool = False,
        partners: Partners | Companions | None = None,
    ) -> None:
        """Writes n images with given parameters.

        Args:
            parameters: each step's, as `parameters` gives them.
            images: n prepared images.
            out: (n, H', W', C) of the images' dtype; written.
            value_range: see `pipelines.engine.run`.
            plain: True to run the NumPy twins instead of the kernels.
            partners: what images are mixed with; needed where a step mixes.
        """
        how = Rendering(value_range=value_range, plain=plain)
        render(self, parameters, images, out, how, partners=partners)

    def check_targets(self) -> None:
        """Refuses a pipeline that masks and objects cannot follow.

        Raises:
            PipelineFileError: it mixes images, or has a step that does not say how it moves pixels.
        """
        check_followable(self.moving_steps)

    def motions(self, parameters: Sequence[Parameters], canvas: Canvas) -> tuple[Motion, ...]:
        """Where the pixels of n images go; see `pipelines.motion.motions_of`."""
        return motions_of(self.moving_steps, parameters, canvas)

    def move_targets(
        self,
        words: Words,
        canvas: Canvas,
        *,
        masks: Arena | None = None,
        out: Masks | None = None,
        objects: Objects | None = None,
        kinds: ObjectKinds = NO_KINDS,
        plain: bool = False,
    ) -> Objects | None:
        """Moves what n images show as `augment` moves the images of the same words.

        Each label of a mask is that of the nearest pixel, whatever the interpolation of images.
        Steps that hide or change pixels (erasing, cutout, tones, blur, noise) change no label: what
        is hidden is still there.

        A box is the one about its moved corners (where a step bends the image, about points along
        its sides), cut at the image's sides; an object goes with its keypoints and polygons as
        `min_visibility` says. Keypoints out of the image have visibility 0 and stand at (0, 0);
        images that end up mirrored exchange theirs by ``kinds.keypoint_swaps``. Polygons are cut at
        the image's sides (`pipelines.rings`). Numbers and flags stay.

        Args:
            words: (n, len(word_names)) uint32, as `draw` gives them.
            canvas: the sizes of the n prepared images.
            masks: theirs, if there are any, to be written to ``out``.
            out: (n, H', W', M) uint8.
            objects: theirs, if there are any; None is given back where there are none.
            kinds: of the dataset.
            plain: True to run the twins instead of the kernels; the bytes are equal.

        Raises:
            PipelineFileError: see `check_targets`.
        """
        drawn = self.parameters(words, canvas)
        motions = self.motions(drawn, canvas)
        if masks is not None and out is not None:
            render_masks(self, drawn, motions, masks, out, plain=plain)
        if objects is None:
            return None
        return move_objects(motions, objects, kinds, self.min_visibility, plain=plain)

    def mixes(self, parameters: Sequence[Parameters]) -> Mixes | None:
        """Whom each of n images is mixed with, and how much; None where no step mixes.

        Args:
            parameters: each step's, of the n images.
        """
        return mixes_of(self.moving_steps, parameters)

    @cached_property
    def is_mixing(self) -> bool:
        """Whether a step mixes images with partners."""
        return any(isinstance(step, Mixing) for step in self.moving_steps)

    def apply(
        self,
        images: Sequence[Batch] | Batch,
        *,
        seed: int,
        sample_ids: NDArray[np.uint8],
        copies: NDArray[np.integer] | int,
        value_range: tuple[float, float] | None = None,
        pool: Pool | None = None,
    ) -> Batch:
        """The augmented copies of n images.

        Args:
            images: (n, H, W, C) uint8 or float32, or a sequence of (H, W, C); not modified.
            seed: in [0, 2**64).
            sample_ids: (n, 16) uint8.
            copies: (n,) or one: which copy of each image.
            value_range: for float32 images, the values that mean black and white.
            pool: whom images are mixed with; needed where a step mixes. Mixing the images with each
                other (a pool of these very arrays, and one copy of all) takes half of the time.

        Returns:
            (n, H', W', C) of the images' dtype.
        """
        are_pool = pool is not None and pool.images is images and pool.sample_ids is sample_ids
        if self.resize:
            images = [self.resize(image) for image in images]
        arena = view(images) if isinstance(images, np.ndarray) else pack(images)
        height, width = (
            self.output_size(int(arena.heights[0]), int(arena.widths[0])) if len(arena) else (0, 0)
        )
        out = np.empty((len(arena), height, width, arena.channels), dtype=arena.values.dtype)
        words = self.draw(seed, sample_ids, copies)
        drawn = self.parameters(words, Canvas(arena.heights, arena.widths))
        if are_pool and np.ndim(copies) == 0 and (mixes := self.mixes(drawn)) is not None:
            companions = Companions(mixes.partner_rows(len(arena)))
            self.render(drawn, pack(images), out, value_range=value_range, partners=companions)
            return out
        partners = self._partners(pool, drawn, seed, np.broadcast_to(copies, len(arena)))
        # All images that have room behind them are read in place, the others (usually the last
        # one) from a copy.
        ready = arena.num_with_room()
        parts = [(np.arange(ready), arena)]
        if ready < len(arena):
            parts.append((np.arange(ready, len(arena)), pack(images[ready:])))
        of = np.broadcast_to(copies, len(arena))
        with naming_images(
            words, lambda row: f"sample {sample_ids[row].tobytes().hex()}, copy {of[row]}"
        ):
            for rows, part in parts:
                if len(rows):
                    theirs = None if partners is None else partners.take(rows)
                    self.render(
                        taken(drawn, rows), part.take(rows - rows[0]), out[rows[0] : rows[-1] + 1],
                        value_range=value_range, partners=theirs,
                    )  # fmt: skip
        return out

    def _partners(
        self,
        pool: Pool | None,
        drawn: Sequence[Parameters],
        seed: int,
        copies: NDArray[np.integer],
    ) -> Partners | None:
        """The partners of n images, prepared and drawn; None where no step mixes."""
        mixes = self.mixes(drawn)
        if mixes is None or pool is None:
            return None
        rows = mixes.partner_rows(len(pool.sample_ids))
        images = pack([self.prepare(pool.images[row]) for row in rows])
        words = self.draw(seed, pool.sample_ids[rows], copies)
        return Partners(images, self.parameters(words, Canvas(images.heights, images.widths)))
