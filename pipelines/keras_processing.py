"""What a Keras generator does to images: draw, transform, standardise, fit. Arrays in, arrays out.

Single images are handled by Keras' public methods; batches by `augment_batch` and
`standardize_batch`, which the iterators call. A subclass that overrides a public method is obeyed
there, image by image.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ParameterError
from pipelines.keras_draws import Drawn, draw_by_address, draw_like_keras
from pipelines.keras_fitting import FittingOptions, fit_blocks
from pipelines.keras_pixels import Sampling, is_unit_range, transform_images
from pipelines.keras_settings import GeneratorSettings
from pipelines.randomness import counters, draw_words, step_keys

Images = NDArray[Any]
_BLOCK_IMAGES = 64
_EPSILON = 1e-6


class GeneratorProcessing(GeneratorSettings):
    """The methods that need no file and no iterator."""

    def get_random_transform(self, img_shape: tuple[int, ...], seed: int | None = None) -> Drawn:
        """Draws one image's parameters.

        Args:
            img_shape: of the image, in the generator's data format.
            seed: in [0, 2**32): the numbers are then Keras' own for this seed; None draws anew.

        Returns:
            ``theta``, ``tx``, ``ty``, ``shear``, ``zx``, ``zy``, ``flip_horizontal``,
            ``flip_vertical``, ``channel_shift_intensity`` and ``brightness``.
        """
        # Keras' numbers are those of NumPy's old generator, which never changes.
        return draw_like_keras(self, self._size(img_shape), np.random.RandomState(seed))

    def apply_transform(self, x: Images, transform_parameters: Mapping[str, Any]) -> Images:
        """One image with these parameters.

        Args:
            x: (H, W, C), or (C, H, W) for ``channels_first``; any numeric dtype; not modified.
            transform_parameters: as `get_random_transform` gives them; what lacks is neutral.

        Returns:
            A new array of x's shape: uint8 where x is, else floating point.
        """
        images = np.asarray(x)
        if images.ndim != 3:
            raise ValueError("Input arrays must be multi-channel 2D images.")
        is_unit = transform_parameters.get("brightness") is not None and is_unit_range(
            images, first_axis_is_batch=False
        )
        moved = self._transformed(images[None], [transform_parameters], is_unit)
        image: Images = moved[0]
        return image

    def random_transform(self, x: Images, seed: int | None = None) -> Images:
        """One image with drawn parameters; see `get_random_transform` and `apply_transform`."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def standardize(self, x: Any) -> Any:
        """Preprocesses, rescales, centres, scales and whitens an image or batch, in place.

        Samplewise steps take all of x as one sample, as Keras does.

        Args:
            x: an image or a batch in floating point, which is overwritten; integers are copied.

        Returns:
            The standardised array.
        """
        if self.preprocessing_function:
            x = _as_image(self.preprocessing_function(x), x)
        x = np.asarray(x)
        if x.dtype.kind != "f":
            x = x.astype(self.dtype)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + _EPSILON
        if self.featurewise_center and self._is_fitted("featurewise_center", self.mean):
            x -= self.mean
        if self.featurewise_std_normalization and self._is_fitted(
            "featurewise_std_normalization", self.std
        ):
            x /= self.std + _EPSILON
        if self.zca_whitening and self._is_fitted("zca_whitening", self.zca_whitening_matrix):
            flat = x.reshape(-1, int(np.prod(x.shape[-3:])))
            x = np.reshape(flat @ self.zca_whitening_matrix, x.shape)
        return x

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Learns mean, std and whitening from training images, as far as they are asked for.

        Images are rescaled first and, with ``augment``, transformed; samplewise steps and the
        preprocessing function play no part, as in Keras. The array is read in blocks, once or
        twice, and never copied whole; see `pipelines.keras_fitting`.

        Args:
            x: (n, H, W, C), or (n, C, H, W) for ``channels_first``; not modified.
            augment: learn from randomly transformed images.
            rounds: transformed copies of each image.
            seed: in [0, 2**32), for the transforms; the numbers are Keras' own.

        Raises:
            ValueError: x has another rank, no image, or values that are not finite.
        """
        images = np.asarray(x)
        if images.ndim != 4:
            raise ValueError(
                "Input to `.fit()` should have rank 4. Got array with shape: " + str(images.shape)
            )
        channels = images.shape[self.channel_axis]
        if channels not in {1, 3, 4}:
            warnings.warn(
                "Expected input to be images (as Numpy array) following the data format "
                f'convention "{self.data_format}" (channels on axis {self.channel_axis}), i.e. '
                f"expected either 1, 3 or 4 channels on axis {self.channel_axis}. However, it was "
                f"passed an array with shape {images.shape} ({channels} channels).",
                stacklevel=2,
            )
        if not self.featurewise_center:
            return
        scale = float(self.rescale) if self.rescale else 1.0
        options = FittingOptions(
            scale=1.0 if augment else scale, whitens=bool(self.zca_whitening),
            epsilon=self.zca_epsilon, channels_first=self.channel_axis == 1,
        )  # fmt: skip
        state = np.random.RandomState(seed).get_state()

        def blocks() -> Iterator[Images]:
            if not augment:
                yield from self._plain_blocks(images)
                return
            random = np.random.RandomState()
            random.set_state(state)  # both passes see the same images
            yield from self._transformed_blocks(images, scale, rounds, random)

        fitted = fit_blocks(blocks, len(images) * (rounds if augment else 1), options)
        shape = [1, 1, 1]
        shape[self.channel_axis - 1] = channels
        self.mean = fitted.mean.astype(self.dtype).reshape(shape)
        if self.featurewise_std_normalization:
            self.std = fitted.std.astype(self.dtype).reshape(shape)
        if fitted.matrix is not None:
            matrix = fitted.matrix
            self.zca_whitening_matrix = (
                matrix.astype(self.dtype) if isinstance(matrix, np.ndarray) else matrix
            )

    def augment_batch(
        self,
        x: Images,
        *,
        seed: int,
        sample_ids: NDArray[np.uint8],
        copy: int,
        is_unit: bool = False,
    ) -> Images:
        """The transformed images at n addresses: what ``flow`` shows, before `standardize_batch`.

        Args:
            x: (n, H, W, C) or (n, C, H, W), in the generator's data format; not modified.
            seed: in [0, 2**64).
            sample_ids: (n, 16) uint8.
            copy: the epoch.
            is_unit: whether 1 is white; see `pipelines.keras_pixels.transform_images`.

        Returns:
            A new array of x's shape in the generator's dtype.
        """
        if self._overrides("get_random_transform", "apply_transform"):
            words = draw_words(step_keys(seed, "generator", 1), counters(sample_ids, copy))[:, 0]
            images = x.astype(self.dtype)
            for row, image in enumerate(images):
                one = self.get_random_transform(image.shape, int(words[row]))
                images[row] = self.apply_transform(image, one)
            return images
        size = self._size(x.shape[1:])
        drawn = draw_by_address(self, size, seed=seed, sample_ids=sample_ids, copy=copy)
        images = x.astype(self.dtype, copy=False)
        return self._transformed(images, drawn, is_unit).astype(self.dtype, copy=False)

    def standardize_batch(self, x: Images) -> Images:
        """`standardize` for each image of a batch, which is overwritten.

        Image by image where a step takes more than one value at a time, so that an image does not
        depend on its batch; all at once where none does.
        """
        by_image = self.preprocessing_function or self.samplewise_center or self.zca_whitening
        if not (self._overrides("standardize") or by_image or self.samplewise_std_normalization):
            result: Images = self.standardize(x)
            return result
        for row in range(len(x)):
            x[row] = self.standardize(x[row].copy())
        return x

    def _overrides(self, *names: str) -> bool:
        """Whether a subclass, or whoever set an attribute, has methods of these names."""
        return any(
            getattr(getattr(self, name), "__func__", None) is not getattr(GeneratorProcessing, name)
            for name in names
        )

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return shape[self.row_axis - 1], shape[self.col_axis - 1]

    def _transformed(self, images: Images, drawn: list[Any], is_unit: bool) -> Images:
        """Images in the generator's data format, transformed."""
        sampling = Sampling(self.fill_mode, self.cval, self.interpolation_order)
        last = np.moveaxis(images, self.channel_axis, 3)
        moved = transform_images(np.ascontiguousarray(last), drawn, sampling, is_unit=is_unit)
        return np.ascontiguousarray(np.moveaxis(moved, 3, self.channel_axis))

    def _precision(self) -> type[np.floating[Any]]:
        return np.float64 if np.dtype(self.dtype) == np.float64 else np.float32

    def _is_fitted(self, option: str, value: Any) -> bool:
        if value is None:
            warnings.warn(
                f"This ImageDataGenerator specifies `{option}`, but it hasn't been fit on any "
                "training data. Fit it first by calling `.fit(numpy_data)`.",
                stacklevel=3,
            )
        return value is not None

    def _plain_blocks(self, images: Images) -> Iterator[Images]:
        """(m, H, W, C) as they are."""
        for start in range(0, len(images), _BLOCK_IMAGES):
            block = np.moveaxis(images[start : start + _BLOCK_IMAGES], self.channel_axis, 3)
            yield block if block.dtype == np.uint8 else block.astype(self._precision())

    def _transformed_blocks(
        self, images: Images, scale: float, rounds: int, random: np.random.RandomState
    ) -> Iterator[Images]:
        """(m, H, W, C) float32, rescaled and transformed, round after round."""
        is_unit = self.brightness_range is not None and is_unit_range(images, scale=scale)
        size = self._size(images.shape[1:])
        is_own = not self._overrides("random_transform", "get_random_transform", "apply_transform")
        for _ in range(rounds):
            for start in range(0, len(images), _BLOCK_IMAGES):
                block = images[start : start + _BLOCK_IMAGES].astype(self.dtype)
                block *= scale
                if is_own:
                    drawn = [draw_like_keras(self, size, random) for _ in block]
                    moved = self._transformed(block, drawn, is_unit)
                else:
                    seeds = random.randint(2**32, size=len(block), dtype=np.int64)
                    moved = np.stack(
                        [self.random_transform(one, int(seed))
                         for one, seed in zip(block, seeds, strict=True)]
                    )  # fmt: skip
                yield np.moveaxis(moved, self.channel_axis, 3).astype(self._precision())


def _as_image(result: Any, image: Images) -> Images:
    """What a preprocessing function returned, as a writable array; a number fills the image."""
    if result is None:  # Keras would feed NaN
        raise ParameterError(
            "preprocessing_function: expected it to return an image or a number, got None; let it "
            "end with `return image`",
            {"name": "preprocessing_function", "expected": "an image or a number", "found": None},
        )
    values = np.asarray(result)
    if values.ndim == 0:
        return np.full(image.shape, values, values.dtype)
    return values if values.flags.writeable else values.copy()
