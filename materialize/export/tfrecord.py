"""TFRecord files of `tf.train.Example`, with the feature names that TensorFlow's own tools use.

    train-00000-of-00012.tfrecord
        image/encoded  bytes   the picture; for ``raw`` the levels in C order, little-endian
        image/format   bytes   png, webp, jpeg or raw
        image/height   int64   and image/width, image/channels
        image/dtype    bytes   uint8 or float32
        image/class/label  int64   −1 for none
        image/class/text   bytes   empty for none
        sample_id      bytes   32 hex digits
        copy           int64   −1 for the untouched image
        field/…        float   the numbers of a field, in the order of its names; the name of a
                               label, as bytes
        image/mask/encoded   bytes   one grey PNG for each channel of the mask
        image/object/bbox/xmin  float  and xmax, ymin, ymax, as shares of width and height
        image/object/class/label  int64  number of the class, from 0; class/text, bytes
        image/object/is_crowd  int64   and image/object/keypoint/x, y (shares), visibility (int64)
        partner/class/label, partner/class/text, partner/sample_id, label_weight (float): what an
                               image is mixed with, itself where it is not; absent without mixing

TensorFlow writes the records, so that what it reads is what it wrote.
"""

from functools import partial
from typing import Any

from numpy.typing import NDArray

from materialize.errors import StorageError
from materialize.export.annotations import encode_masks
from materialize.export.assignment import Assignment
from materialize.export.files import replaced_file
from materialize.export.items import Item, Part, Shown
from materialize.export.ledger import ExportedFile
from materialize.export.options import RAW
from materialize.export.pictures import encode_picture, suffix_of
from materialize.libraries import load_library
from pipelines.objects import CROWD

_PARTNER_BYTES = 200
_BESIDE_BYTES = 300
"""Of a record, beside the pixels: names of features, the id, checksums."""


def write_tfrecord(export: Assignment) -> tuple[list[ExportedFile], dict[str, Any]]:
    """Writes the files.

    Returns:
        The files, and no other facts.

    Raises:
        ConfigError: TensorFlow is not installed.
        ShardError: pixels cannot be read.
        StorageError: the file system refused.
    """
    tensorflow = load_library("tensorflow", "export to tfrecord")
    return export.sharded(_name, partial(_write, export, tensorflow)), {}


def num_bytes(part: Part) -> int:
    """Of a part's files with raw images, but for the names of classes, and objects."""
    beside = _BESIDE_BYTES if part.mixing is None else _BESIDE_BYTES + _PARTNER_BYTES
    # A PNG is hardly ever larger than its pixels.
    beside += part.image_shape[0] * part.image_shape[1] * len(part.mask_names)
    return len(part) * (part.row_bytes + beside)


def _name(split: str, number: int, total: int) -> str:
    return f"{split}-{number:05d}-of-{total:05d}.tfrecord"


def _write(
    export: Assignment, tensorflow: Any, part: Part, start: int, stop: int, path: str
) -> None:
    """One file."""

    def examples(first: int, last: int) -> list[bytes]:
        pairs = zip(part.items(first, last), part.pixels(first, last), strict=True)
        shown = part.shown(first, last)
        return [
            _example(tensorflow, item, image, form, target_features(part, shown.of(place)))
            for place, (item, image) in enumerate(pairs)
        ]

    form, done = export.options.form, start
    target = export.ledger.output / path
    with (
        replaced_file(target) as temporary,
        part.in_order(examples, start, stop, workers=export.workers) as serialized,
    ):
        try:
            with tensorflow.io.TFRecordWriter(str(temporary)) as writer:
                for last, records in serialized:
                    for record in records:
                        writer.write(record)
                    export.advance(last - done, last - done)
                    done = last
        except tensorflow.errors.OpError as error:
            raise StorageError(
                f"cannot store {target}: {error.message}; remove the cause and run the same "
                "command again",
                {"path": str(target), "reason": error.message},
            ) from error


def target_features(part: Part, shown: Shown) -> dict[str, list[Any]]:
    """The mask and the objects of one image as lists of bytes, numbers or shares, by feature."""
    features: dict[str, list[Any]] = {}
    if shown.masks is not None:
        features["image/mask/encoded"] = list(encode_masks(shown.masks))
    objects, kinds = shown.objects, part.kinds
    if objects is None or kinds is None:
        return features
    height, width, _ = part.image_shape
    labels = objects.labels.tolist()
    for name, column in (("xmin", 0), ("ymin", 1), ("xmax", 2), ("ymax", 3)):
        size = height if name.startswith("y") else width
        features[f"image/object/bbox/{name}"] = (objects.boxes[:, column] / size).tolist()
    features["image/object/class/label"] = labels
    features["image/object/class/text"] = [kinds.names[label].encode() for label in labels]
    features["image/object/is_crowd"] = (objects.flags & CROWD).astype(int).tolist()
    if kinds.keypoint_names:
        x, y, visibility = objects.keypoints.reshape(-1, 3).T
        features["image/object/keypoint/x"] = (x / width).tolist()
        features["image/object/keypoint/y"] = (y / height).tolist()
        features["image/object/keypoint/visibility"] = visibility.astype(int).tolist()
    return features


def _listed(train: Any, values: list[Any]) -> Any:
    """A feature of several values of one kind."""
    if values and isinstance(values[0], bytes):
        return train.Feature(bytes_list=train.BytesList(value=values))
    if values and isinstance(values[0], int):
        return train.Feature(int64_list=train.Int64List(value=values))
    return train.Feature(float_list=train.FloatList(value=values))


def _example(
    tensorflow: Any, item: Item, image: NDArray[Any], form: str, targets: dict[str, list[Any]]
) -> bytes:
    """One image as a serialized example; its map of features is written in sorted order."""
    train = tensorflow.train
    height, width, channels = image.shape
    data = image.tobytes() if form == RAW else encode_picture(image, form)
    values: dict[str, bytes | int] = {
        "image/encoded": data,
        "image/format": suffix_of(form).encode(),
        "image/height": height,
        "image/width": width,
        "image/channels": channels,
        "image/dtype": image.dtype.name.encode(),
        "image/class/label": item.label,
        "image/class/text": item.class_name.encode("utf-8", "surrogateescape"),
        "sample_id": item.sample_id.encode(),
        "copy": item.copy,
    }
    partner = item.partner
    if partner is not None:
        values["partner/class/label"] = partner.label
        values["partner/class/text"] = partner.class_name.encode("utf-8", "surrogateescape")
        values["partner/sample_id"] = partner.sample_id.encode()
    features = {
        name: train.Feature(bytes_list=train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else train.Feature(int64_list=train.Int64List(value=[value]))
        for name, value in values.items()
    }
    # A feature of no value is left out: it has no kind.
    features |= {name: _listed(train, found) for name, found in targets.items() if found}
    for name, found in item.fields.items():
        if isinstance(found, str):
            value = train.BytesList(value=[found.encode("utf-8", "surrogateescape")])
            features[f"field/{name}"] = train.Feature(bytes_list=value)
        else:
            numbers = list(found.values()) if isinstance(found, dict) else [found]
            value = train.FloatList(value=numbers)
            features[f"field/{name}"] = train.Feature(float_list=value)
    if partner is not None:
        weight = train.FloatList(value=[partner.weight])
        features["label_weight"] = train.Feature(float_list=weight)
    example = train.Example(features=train.Features(feature=features))
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized
