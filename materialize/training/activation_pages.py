"""Activation maps of a finished run: its model, some images of its dataset, one page."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.errors import ConfigError, MissingPathError
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.order import ORIGINAL
from materialize.loader.stream import StreamingLoader
from materialize.recipe import whole_number
from materialize.training.activation_gallery import draw_activations
from materialize.training.activation_map import activation_maps
from materialize.training.directory import MODEL_FILE, RECORD_FILE
from materialize.training.standard_layer import layer_classes

if TYPE_CHECKING:
    import keras


def draw_run(
    run: str | Path,
    *,
    dataset: str | Path | None = None,
    split: str = "test",
    num_images: int = 12,
    layer: str | None = None,
) -> Image.Image:
    """A page of untouched images with what a trained model looked at in each.

    Args:
        run: the directory of a training.
        dataset: where its dataset is now; where it was unless given.
        split: of the images.
        num_images: at most, some of every class in turn.
        layer: whose feature map is looked at; the last unless given.

    Raises:
        ConfigError: there is no such run, no feature map in its model, or the dataset's images are
            not what it takes.
        ManifestMissingError: there is no dataset.
        ShardError: an image cannot be read.
    """
    run, count = Path(run), whole_number("num_images", num_images, 1, 1000)
    record = _record(run)
    images, labels, names = _some_images(Path(dataset or record["dataset"]), split, count)
    model = _model(run / MODEL_FILE)
    if tuple(model.input_shape[1:]) != images.shape[1:]:
        raise ConfigError(
            f"{run}: expected images of {model.input_shape[1:]}, found {images.shape[1:]} in the "
            "dataset; name the one it was trained on with --dataset",
            {"expected": model.input_shape[1:], "found": images.shape[1:]},
        )
    known = labels >= 0
    said = activation_maps(model, images, layer=layer)
    truth = activation_maps(model, images, layer=layer, classes=np.where(known, labels, 0))
    title = f"What {model.name} looks at in {split} images"
    return draw_activations(images, labels, names, said, title=title, of_truth=truth)


def _record(run: Path) -> dict[str, Any]:
    try:
        record = json.loads((run / RECORD_FILE).read_bytes())
    except FileNotFoundError as error:
        lacks = f"has no {RECORD_FILE}" if run.is_dir() else "does not exist"
        raise MissingPathError(
            f"{run} {lacks}: expected the --output of `materialize train`; check the path",
            {"path": str(run), "expected": RECORD_FILE},
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{run}: expected the directory of a training with its {RECORD_FILE}, found none that "
            "can be read; give the --output of `materialize train`",
            {"path": str(run), "expected": RECORD_FILE},
        ) from error
    return dict(record)


def _model(path: Path) -> "keras.Model":
    import keras

    layer_classes()
    if not path.is_file():
        raise ConfigError(
            f"{path}: expected the model of a finished training, found none; run the training to "
            "its end",
            {"path": str(path)},
        )
    return keras.models.load_model(path, compile=False)


def _some_images(
    dataset: Path, split: str, count: int
) -> tuple[NDArray[Any], NDArray[np.int32], tuple[str, ...]]:
    """Untouched images of a split, one of every class in turn, with labels and class names."""
    samples = OpenDataset.open(dataset).samples(split)
    turn = np.zeros(len(samples), np.int64)
    for label in np.unique(samples.labels):
        of_class = samples.labels == label
        turn[of_class] = np.arange(of_class.sum())
    chosen = np.sort(np.lexsort((samples.labels, turn))[:count])
    loader = StreamingLoader(
        dataset, batch_size=len(chosen), split=split, samples=samples.taken(chosen).each_once(),
        copies=(ORIGINAL,), options=LoaderOptions(shuffle="none", threads=0),
    )  # fmt: skip
    with loader, closing(loader.epoch(0)) as batches:  # type: ignore[type-var]  # a generator
        batch = next(batches)
    by_class = np.argsort(batch.labels, kind="stable")
    return batch.images[by_class], batch.labels[by_class], samples.class_names
