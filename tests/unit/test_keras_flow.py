"""The iterators of the drop-in generator: order, epochs, what is saved."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.keras_generator import ImageDataGenerator
from tests.architecture.packages import ROOT
from tests.keras_generator_cases import EVERY_RANGE, image_folder, images

SPLIT = {"validation_split": 0.4}


def test_next_shows_one_epoch_after_another():
    """All samples in each, in another order and as other copies."""
    iterator = ImageDataGenerator(**EVERY_RANGE).flow(images(), np.arange(7), batch_size=3, seed=1)
    epochs = [[next(iterator) for _ in range(3)] for _ in range(2)]
    labels = [np.concatenate([y for _, y in epoch]) for epoch in epochs]
    assert [sorted(column) for column in labels] == [list(range(7))] * 2
    assert list(labels[0]) != list(labels[1])
    shown = [np.concatenate([x for x, _ in epoch])[np.argsort(column)]
             for epoch, column in zip(epochs, labels, strict=True)]  # fmt: skip
    assert (shown[0] != shown[1]).any(axis=(1, 2, 3)).all()


def test_next_and_indexing_show_the_same_epoch():
    """Batch i is batch i, whoever asks."""
    generator = ImageDataGenerator(**EVERY_RANGE)
    by_next = generator.flow(images(), batch_size=3, seed=4)
    by_number = generator.flow(images(), batch_size=3, seed=4)
    for _ in range(2):
        for number in (0, 1, 2):
            np.testing.assert_array_equal(next(by_next), by_number[number])
        by_number.on_epoch_end()


def test_a_batch_asked_for_twice_is_the_same():
    """Within an epoch; after it, it is another copy."""
    iterator = ImageDataGenerator(**EVERY_RANGE).flow(images(), seed=1, shuffle=False)
    first = iterator[0]
    np.testing.assert_array_equal(iterator[0], first)
    iterator.on_epoch_end()
    assert (iterator[0] != first).any()


def test_reset_goes_back_to_the_first_batch():
    """Of the epoch that next is in."""
    iterator = ImageDataGenerator(**EVERY_RANGE).flow(images(), batch_size=3, seed=1)
    first = next(iterator)
    next(iterator)
    iterator.reset()
    assert iterator.batch_index == 0
    np.testing.assert_array_equal(next(iterator), first)


def test_a_drawn_seed_can_be_read_and_given():
    """Two iterators without one differ; with it, they are the same."""
    generator = ImageDataGenerator(**EVERY_RANGE)
    one, two = generator.flow(images()), generator.flow(images())
    assert one.seed != two.seed
    np.testing.assert_array_equal(generator.flow(images(), seed=one.seed)[0], one[0])


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_outside_its_interval_is_refused(seed):
    """When the iterator is made."""
    with pytest.raises(ValueError, match="seed"):
        ImageDataGenerator().flow(images(), seed=seed)


def test_there_is_no_batch_beyond_the_last():
    """As Keras says it; from the end one may count."""
    iterator = ImageDataGenerator().flow(images(), np.arange(7), batch_size=3, shuffle=False)
    with pytest.raises(ValueError, match="Asked to retrieve element 3"):
        iterator[3]
    assert list(iterator[-1][1]) == [6]


def test_validation_images_are_not_augmented():
    """But standardised, and the same in every epoch."""
    generator = ImageDataGenerator(**EVERY_RANGE, **SPLIT, rescale=0.5)
    iterator = generator.flow(images(), subset="validation", shuffle=False)
    np.testing.assert_array_equal(iterator[0], images()[:2] * np.float32(0.5))


def test_validation_images_are_augmented_if_asked():
    """As Keras does."""
    generator = ImageDataGenerator(**EVERY_RANGE, **SPLIT, augment_validation=True)
    assert (generator.flow(images(), subset="validation", shuffle=False)[0] != images()[:2]).any()


def test_a_sample_is_known_by_its_row_before_the_split():
    """So that an image looks alike in the subset and in the whole."""
    generator = ImageDataGenerator(**EVERY_RANGE, **SPLIT)
    whole = generator.flow(images(), shuffle=False, seed=1)[0]
    part = generator.flow(images(), shuffle=False, seed=1, subset="training")[0]
    np.testing.assert_array_equal(part, whole[2:])


def test_sample_weights_are_split_with_their_images():
    """Keras gives the training images the weights of the validation images."""
    generator = ImageDataGenerator(**SPLIT)
    given = {"y": np.zeros(7), "sample_weight": np.arange(7), "shuffle": False}
    _, _, weights = generator.flow(images(), subset="training", **given)[0]
    assert list(weights) == [2, 3, 4, 5, 6]


def test_an_image_does_not_depend_on_the_other_files(tmp_path):
    """It is known by its path below the folder."""
    root = image_folder(tmp_path / "photos")
    generator = ImageDataGenerator(**EVERY_RANGE)
    options = {"target_size": (14, 11), "shuffle": False, "seed": 1, "class_mode": None}
    before = generator.flow_from_directory(root, **options)[0]
    (root / "cat" / "00.png").unlink()
    np.testing.assert_array_equal(generator.flow_from_directory(root, **options)[0], before[1:])


def test_rows_of_one_file_are_different_samples(tmp_path):
    """A table that repeats a file to balance classes gets as many different images."""
    image_folder(tmp_path / "photos")
    table = pd.DataFrame({"filename": ["cat/00.png"] * 3, "class": ["cat"] * 3})
    iterator = ImageDataGenerator(**EVERY_RANGE).flow_from_dataframe(
        table, tmp_path / "photos", seed=1, shuffle=False
    )
    x, _ = iterator[0]
    assert len(np.unique(x.reshape(3, -1), axis=0)) == 3


def test_an_argument_that_nobody_knows_is_refused(tmp_path):
    """Keras swallows it; it is usually misspelled."""
    table = pd.DataFrame({"filename": ["cat/00.png"], "class": ["cat"]})
    with pytest.raises(TypeError, match="batchsize"):
        ImageDataGenerator().flow_from_dataframe(table, tmp_path, batchsize=3)


def saved(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("options", [{}, {"rescale": 1 / 255}, {"rescale": 2.0}], ids=str)
def test_saved_images_show_what_the_model_sees(tmp_path, options):
    """Levels, whatever they are multiplied by, and never stretched."""
    generator = ImageDataGenerator(rotation_range=30, **options)
    iterator = generator.flow(images() // 2, save_to_dir=tmp_path, shuffle=False, save_prefix="a")
    seen = iterator[0] / options.get("rescale", 1)
    for name in saved(tmp_path):
        index = int(name.split("_")[1])
        levels = np.asarray(Image.open(tmp_path / name)).astype(np.float64)
        assert np.abs(levels - seen[index]).max() <= 0.5 + 1e-3


def test_saved_unit_images_show_white_as_white(tmp_path):
    """1 is level 255."""
    ImageDataGenerator().flow(images() / 255, save_to_dir=tmp_path, shuffle=False)[0]
    found = np.asarray(Image.open(tmp_path / saved(tmp_path)[0]))
    np.testing.assert_array_equal(found, images()[0])


def test_saved_standardised_images_say_how_they_were_stretched(tmp_path):
    """A warning once, and the ends in the file."""
    generator = ImageDataGenerator(samplewise_center=True)
    iterator = generator.flow(images(), save_to_dir=tmp_path, shuffle=False)
    with pytest.warns(UserWarning, match="stretched"):
        seen = iterator[0][0]
    with Image.open(tmp_path / saved(tmp_path)[0]) as picture:
        low, high = float(picture.text["low"]), float(picture.text["high"])
        levels = np.asarray(picture)
    np.testing.assert_allclose(levels / 255 * (high - low) + low, seen, atol=(high - low) / 500)


def test_saved_images_never_share_a_name(tmp_path):
    """100 epochs of one image are 100 files, though only two of them differ."""
    iterator = ImageDataGenerator(horizontal_flip=True).flow(images(1), save_to_dir=tmp_path)
    for _ in range(100):
        next(iterator)
    assert len(saved(tmp_path)) == 100


@pytest.mark.parametrize("file_format", ["png", "jpg", "jpeg", "bmp"])
def test_images_are_saved_in_the_format_that_was_asked_for(tmp_path, file_format):
    """With its ending."""
    ImageDataGenerator().flow(images(1), save_to_dir=tmp_path, save_format=file_format)[0]
    assert saved(tmp_path)[0].endswith(f".{file_format}")
    Image.open(tmp_path / saved(tmp_path)[0]).verify()


def test_an_iterator_survives_pickling():
    """In the middle of an epoch, and goes on there."""
    iterator = ImageDataGenerator(**EVERY_RANGE).flow(images(), batch_size=3, seed=1)
    next(iterator)
    again = pickle.loads(pickle.dumps(iterator))
    np.testing.assert_array_equal(next(again), next(iterator))


def test_a_subclass_of_an_iterator_defines_its_batches():
    """Keras' way to write one's own."""
    from materialize.flows import Iterator

    class Numbers(Iterator):
        def _get_batches_of_transformed_samples(self, index_array):
            return index_array * 10

    iterator = Numbers(5, 2, shuffle=False, seed=0)
    assert [list(next(iterator)) for _ in range(4)] == [[0, 10], [20, 30], [40], [0, 10]]
    assert list(iterator[2]) == [40]


def test_flow_works_without_keras():
    """As a plain iterator: nothing of Keras or TensorFlow is needed or loaded."""
    code = (
        "import sys; sys.modules['keras'] = None\n"
        "import numpy as np\n"
        "from pipelines.keras_generator import ImageDataGenerator\n"
        "flow = ImageDataGenerator(rotation_range=9).flow(np.zeros((4, 5, 5, 3)), batch_size=2)\n"
        "print(next(flow).shape, len(flow), flow.workers, 'tensorflow' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                           check=False, cwd=ROOT)  # fmt: skip
    assert child.stdout.strip() == "(2, 5, 5, 3) 2 1 False", child.stderr
