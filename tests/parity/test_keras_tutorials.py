"""The generator calls of five tutorials, with one import line changed.

Each runs on made-up images of the tutorial's shape, and on its data where they are present.
"""

import gzip

import numpy as np
import pytest
from PIL import Image

from pipelines.keras_generator import ImageDataGenerator
from tests.golden.pipelines_cases import synthetic

CIFAR = {
    "rotation_range": 10, "width_shift_range": 0.2, "height_shift_range": 0.2, "zoom_range": 0.2,
    "horizontal_flip": True, "channel_shift_range": 0.2, "rescale": 1.0 / 255,
}  # fmt: skip
GALLERY = [
    {"rotation_range": 40}, {"width_shift_range": 0.3}, {"height_shift_range": [-60, 60]},
    {"brightness_range": (0.1, 0.9)}, {"shear_range": 45.0}, {"zoom_range": [0.5, 1.5]},
    {"channel_shift_range": 100}, {"horizontal_flip": True}, {"vertical_flip": True},
    {"fill_mode": "wrap", "width_shift_range": 100}, {"rescale": 1 / 255},
    {"preprocessing_function": np.mean}, {"samplewise_center": True},
    {"samplewise_std_normalization": True, "samplewise_center": True},
    {"featurewise_center": True}, {"featurewise_std_normalization": True,
                                   "featurewise_center": True},
    {"fill_mode": "constant", "cval": 125.0, "rotation_range": 90},
    {"validation_split": 0.5}, {"interpolation_order": 0, "rotation_range": 30},
    {"data_format": "channels_last"}, {"dtype": "float64"},
]  # fmt: skip


def idx_images(path, count):
    """The first images of a gzipped IDX file."""
    with gzip.open(path) as file:
        header = file.read(16)
        side = int.from_bytes(header[8:12], "big")
        return np.frombuffer(file.read(count * side * side), np.uint8).reshape(count, side, side)


def shown(flow, batches):
    """Some batches, one after another."""
    return np.concatenate([next(flow)[0] for _ in range(batches)])


def check_cifar(x):
    flow = ImageDataGenerator(**CIFAR).flow(x, np.arange(len(x)) % 10, batch_size=32, seed=1)
    batch = shown(flow, 2)
    assert batch.shape[1:] == x.shape[1:]
    assert batch.dtype == np.float32
    assert 0 <= batch.min() <= batch.max() <= 1
    assert batch.std() > 0.1


def test_t0_trains_on_small_photos():
    """CIFAR-10's generator: values in [0, 1], float32."""
    check_cifar(synthetic(70, 32, 32, 3))


def test_t0_trains_on_its_photos(real_data):
    """The same on CIFAR-10."""
    with np.load(real_data / "cifar10" / "cifar10_10k_2k.npz") as arrays:
        check_cifar(arrays["x_train"][:100])


def check_gallery(photo, options):
    generator = ImageDataGenerator(**options)
    if generator.featurewise_center:
        generator.fit(photo[None])
    # Of six flips without a seed, one in 32 shows a single picture.
    flow = generator.flow(photo[None], batch_size=1, seed=1)
    pictures = [flow.next()[0].astype("uint8") for _ in range(6)]
    assert {picture.shape for picture in pictures} == {photo.shape}
    drawn = {"preprocessing_function", "rescale", "validation_split", "data_format", "dtype"}
    is_random = not drawn.issuperset(options) and not any("wise" in name for name in options)
    assert (len({picture.tobytes() for picture in pictures}) > 1) == is_random


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("options", GALLERY, ids=", ".join)
def test_t0_shows_a_gallery_of_each_parameter(options):
    """Six draws of one photo, cast to bytes as the tutorial does."""
    check_gallery(synthetic(1, 64, 64, 3)[0], options)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("options", GALLERY[:9], ids=", ".join)
def test_t0_shows_a_gallery_of_a_real_photo(real_data, options):
    """At the tutorial's 640 × 640."""
    path = min((real_data / "imagenet_1000_samples").rglob("*.JPEG"))
    with Image.open(path) as opened:
        check_gallery(np.asarray(opened.convert("RGB").resize((640, 640))), options)


def check_fashion(x, options):
    unit = (x / 255).astype("float32").reshape(len(x), 28, 28, 1)
    generator = ImageDataGenerator(**options)
    generator.fit(unit)
    flow = generator.flow(unit, np.arange(len(x)) % 10, batch_size=64)
    batch = shown(flow, 1)
    assert 0 <= batch.min() <= batch.max() <= 1


@pytest.mark.parametrize(
    "options", [{"rotation_range": 90}, {"rotation_range": 90, "vertical_flip": True}], ids=str
)
def test_t1_turns_clothes(options):
    """Fashion-MNIST as floats divided by 255."""
    check_fashion(synthetic(70, 28, 28, 1), options)


def test_t1_turns_its_clothes(real_data):
    """The same on Fashion-MNIST."""
    path = next((real_data / "fashion_mnist").rglob("train-images*"))
    check_fashion(idx_images(path, 100), {"rotation_range": 90})


def check_books(folder):
    generator = ImageDataGenerator(
        rotation_range=15, zoom_range=0.2, horizontal_flip=True, vertical_flip=True,
        rescale=1 / 255, fill_mode="constant", cval=-1, validation_split=0.2,
    )  # fmt: skip
    options = {"target_size": (96, 96), "batch_size": 8, "class_mode": "categorical"}
    training = generator.flow_from_directory(folder, subset="training", **options)
    validation = generator.flow_from_directory(folder, subset="validation", **options)
    x, y = next(training)
    assert x.shape[1:] == (96, 96, 3)
    assert y.shape[1] == len(training.class_indices)
    assert x.min() == pytest.approx(-1 / 255)
    assert not set(training.filenames) & set(validation.filenames)


def test_t2_reads_folders(tmp_path):
    """Six classes, a border of -1, a validation split."""
    for number in range(6):
        folder = tmp_path / f"book{number}"
        folder.mkdir()
        for index, pixels in enumerate(synthetic(5, 40, 30, 3)):
            Image.fromarray(pixels).save(folder / f"{index}.jpg")
    check_books(tmp_path)


def test_t2_reads_its_folders(real_data):
    """The same on the photos of books."""
    check_books(real_data / "books73_512" / "train")


def check_digits(x):
    flow = ImageDataGenerator().flow(x.reshape(len(x), 28, 28, 1), batch_size=60, shuffle=False)
    np.testing.assert_array_equal(next(flow)[..., 0], x[:60])


def test_t3_feeds_digits_as_they_are():
    """No augmentation, no scaling."""
    check_digits(synthetic(70, 28, 28, 1)[..., 0])


def test_t3_feeds_its_digits(real_data):
    """The same on MNIST."""
    check_digits(idx_images(next((real_data / "mnist").rglob("train-images*")), 100))


def check_cells(x):
    first = x.transpose(0, 3, 1, 2).astype("float32") / 255
    generator = ImageDataGenerator(
        rotation_range=180, horizontal_flip=True, data_format="channels_first"
    )
    generator.fit(first)
    flow = generator.flow(first, np.arange(len(x)) % 3, batch_size=10, seed=1)
    x_batch, y_batch = next(flow)
    assert x_batch.shape == (10, 3, 100, 100)
    assert y_batch.shape == (10,)
    assert 0 <= x_batch.min() <= x_batch.max() <= 1


def test_t4_turns_cells():
    """channels_first, divided by 255."""
    check_cells(synthetic(12, 100, 100, 3))


def test_t4_turns_its_cells(real_data):
    """The same on white blood cells."""
    paths = sorted((real_data / "wbc_masks").rglob("*.bmp"))[:12]
    cells = []
    for path in paths:
        with Image.open(path) as opened:
            cells.append(np.asarray(opened.convert("RGB").resize((100, 100))))
    check_cells(np.stack(cells))
