"""Arguments of the drop-in generator, good and bad: what Keras says, word for word."""

import numpy as np
import pytest

from pipelines.keras_generator import DirectoryIterator, ImageDataGenerator
from tests.keras_generator_cases import image_folder, images
from tests.parity.keras_cases import ImageDataGenerator as Original
from tests.parity.keras_cases import both, outcome

BAD = {
    "data_format": {"data_format": "channels_middle"},
    "validation_split": {"validation_split": 1.5},
    "zoom_range of three": {"zoom_range": (1, 2, 3)},
    "zoom_range of text": {"zoom_range": ("a", "b")},
    "brightness_range of one": {"brightness_range": (1,)},
    "brightness_range number": {"brightness_range": 0.5},
    "zca": {"zca_whitening": True},
    "zca and std": {"zca_whitening": True, "featurewise_std_normalization": True},
    "featurewise std": {"featurewise_std_normalization": True},
    "samplewise std": {"samplewise_std_normalization": True},
    "zca and std, centred": {
        "zca_whitening": True,
        "featurewise_std_normalization": True,
        "featurewise_center": True,
    },
    "several at once": {"data_format": "x", "validation_split": 3, "zoom_range": "abc"},
    "two at once": {"validation_split": 3, "zoom_range": "abc", "brightness_range": 1},
    "zoom_range nothing": {"zoom_range": None},
    "zoom_range array": {"zoom_range": np.ones(2)},
    "brightness_range array": {"brightness_range": np.ones(2)},
    "fine": {"zoom_range": [0.5, 2], "brightness_range": [1, 2], "validation_split": 0.5},
}


@pytest.mark.parametrize("options", BAD.values(), ids=BAD)
def test_parameters_are_refused_and_overridden_as_by_keras(options):
    """The same errors and warnings, word for word, in the same order."""
    assert outcome(ImageDataGenerator, **options) == outcome(Original, **options)


X, Y = images(10), np.arange(10) % 2
FLOWS = {
    "short labels": ((X, Y[:9]), {}),
    "short weights": ((X, Y), {"sample_weight": np.ones(9)}),
    "other inputs": (((X, np.ones(10)), Y), {}),
    "short other inputs": (((X, np.ones(9)), Y), {}),
    "rank 3": ((X[0], None), {}),
    "nothing": ((None, None), {}),
    "two channels": ((X[..., :2], None), {}),
    "unknown subset": ((X, Y), {"subset": "test"}),
    "sorted labels": ((X, np.sort(Y)), {"subset": "training"}),
    "sorted labels ignored": ((X, np.sort(Y)), {"subset": "training", "ignore_class_split": True}),
    "no format of Pillow's": ((X, Y), {"save_format": "nothing", "save_to_dir": "."}),
    "fine": ((X, Y), {"subset": "validation", "shuffle": False}),
}


@pytest.mark.parametrize("case", FLOWS.values(), ids=FLOWS)
def test_flow_refuses_what_keras_refuses(case):
    """The same errors and warnings, word for word, in the same order."""
    given, options = case
    ours, theirs = both(validation_split=0.4)
    assert outcome(_first_batch, ours, given, options) == outcome(
        _first_batch, theirs, given, options
    )


def _first_batch(generator, given, options):
    return next(generator.flow(*given, **options))


NOTHING = {
    "no rotation": {"rotation_range": None}, "no shear": {"shear_range": None},
    "no shift": {"width_shift_range": None}, "no shifts": {"height_shift_range": []},
    "shift of zero": {"width_shift_range": [0], "zoom_range": 0.2, "horizontal_flip": True},
    "shifts of zero": {"height_shift_range": [0.0, 0.0], "zoom_range": 0.2},
    "negative": {"width_shift_range": -2, "height_shift_range": -0.2, "rotation_range": -9},
}  # fmt: skip


@pytest.mark.parametrize("options", NOTHING.values(), ids=NOTHING)
def test_ranges_of_nothing_are_those_of_keras(options):
    """The same draws for a seed, and `flow` takes them."""
    ours, theirs = both(**options)
    for seed in range(5):
        expected = theirs.get_random_transform((9, 7, 3), seed)
        assert ours.get_random_transform((9, 7, 3), seed) == expected
    assert next(ours.flow(X, batch_size=3)).shape == (3, *X.shape[1:])


@pytest.mark.parametrize("seed", [1.5, "1"])
def test_a_seed_is_an_integer(seed):
    """As in Keras, a number that is nearly one is refused rather than cut."""
    with pytest.raises(TypeError):
        ImageDataGenerator().flow(X, seed=seed)
    with pytest.raises(TypeError):
        next(Original().flow(X, seed=seed))


def test_an_iterator_needs_no_generator(tmp_path):
    """Images are then shown as they are."""
    root = image_folder(tmp_path / "photos")
    batch, _ = next(DirectoryIterator(root, None, target_size=(14, 11), shuffle=False))
    expected, _ = next(ImageDataGenerator().flow_from_directory(root, (14, 11), shuffle=False))
    np.testing.assert_array_equal(batch, expected)


def test_a_subclass_is_obeyed_by_an_augmented_fit():
    """As by Keras: `fit` calls `random_transform` for each image."""

    def black(self, x, seed=None):
        return x * 0

    for kind in (ImageDataGenerator, Original):
        generator = type("Black", (kind,), {"random_transform": black})(featurewise_center=True)
        generator.fit(X + 1, augment=True)
        assert generator.mean.tolist() == [[[0.0] * 3]]


def test_a_function_that_returns_nothing_is_named():
    """Keras feeds NaN."""
    with pytest.raises(ValueError, match="preprocessing_function: expected it to return"):
        next(ImageDataGenerator(preprocessing_function=lambda _: None).flow(X))
