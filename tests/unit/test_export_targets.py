"""Masks and objects in every form of export: what the loader hands out, in other tools' words."""

import csv
import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from materialize.builder import build_dataset
from materialize.export.exporter import export_dataset
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe
from materialize.shards.columns import columns_of
from materialize.sources.targets import TargetSchema
from pipelines.objects import Objects
from tests.target_cases import FIELDS, KINDS, SCHEMA, SIZE, TargetedArrays

RECIPE = Recipe(copies=2, originals=True, shard_bytes=4 * SIZE * SIZE * 3)
BOTH = TargetSchema(KINDS, ("mask", "rim"))


def made():
    return TargetedArrays(9, schema=BOTH)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported") / "d"
    build_dataset(made(), directory, "cifar10", RECIPE)
    return directory


@pytest.fixture(scope="module")
def stored(dataset):
    """(masks, objects) of all copies, copy by copy."""
    options = LoaderOptions(shuffle="none", threads=0)
    with StreamingLoader(dataset, batch_size=9, per_epoch="all", options=options) as loader:
        batches = list(loader.epoch(0))
    masks = np.concatenate([batch.masks for batch in batches])
    return masks, Objects.joined([batch.objects for batch in batches])


def test_a_folder_has_masks_and_coco(dataset, stored, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="folder")
    with (tmp_path / "out" / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    masks, objects = stored
    coco = json.loads((tmp_path / "out" / "annotations-train.json").read_bytes())
    assert [image["file_name"] for image in coco["images"]] == [row["path"] for row in rows]
    assert [c["name"] for c in coco["categories"]] == list(KINDS.names)
    assert len(coco["annotations"]) == objects.num_objects
    for number, row in enumerate(rows):
        for channel, name in enumerate(("mask", "rim")):
            png = np.asarray(Image.open(tmp_path / "out" / row[f"mask.{name}"]))
            assert np.array_equal(png, masks[number, :, :, channel])
    for number, annotation in enumerate(coco["annotations"]):
        left, top, right, bottom = objects.boxes[number]
        expected = [left, top, right - left, bottom - top]
        assert np.allclose(annotation["bbox"], expected, atol=1e-3)
        assert annotation["image_id"] == objects.images[number] + 1
        assert np.allclose(annotation["keypoints"], objects.keypoints[number].ravel(), atol=1e-3)
        assert annotation["category_id"] == objects.labels[number] + 1


def test_an_npz_has_the_columns_of_shards(dataset, stored, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="npz")
    masks, objects = stored
    with np.load(tmp_path / "out" / "train.npz") as found:
        assert np.array_equal(found["masks"], masks)
        for name, column in columns_of(objects).items():
            assert np.array_equal(found[name], column)
        assert found["object_names"].tolist() == list(KINDS.names)


def test_a_webdataset_has_them_beside_each_picture(dataset, stored, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="webdataset")
    masks, objects = stored
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}
    facts = [json.loads(data) for name, data in members.items() if name.endswith(".json")]
    assert [len(fact["objects"]) for fact in facts] == np.diff(objects.offsets).tolist()
    pictures = [data for name, data in members.items() if name.endswith(".mask1.png")]
    found = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in pictures])
    assert np.array_equal(found, masks[..., 1])


def test_a_tfrecord_has_the_features_of_object_detection(dataset, stored, tmp_path):
    tf = pytest.importorskip("tensorflow")
    export_dataset(dataset, tmp_path / "out", to="tfrecord")
    masks, objects = stored
    files = sorted(map(str, (tmp_path / "out").glob("*.tfrecord")))
    records = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(files)]
    xmax = [r.features.feature["image/object/bbox/xmax"].float_list.value for r in records]
    assert np.allclose(np.concatenate(xmax), objects.boxes[:, 2] / SIZE)
    first = records[0].features.feature["image/mask/encoded"].bytes_list.value
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(first[0]))), masks[0, :, :, 0])


def test_a_tfrecord_has_the_fields_and_weights_of_its_images(tmp_path):
    tf = pytest.importorskip("tensorflow")
    build_dataset(TargetedArrays(6, schema=SCHEMA), tmp_path / "d", "cifar10", Recipe(copies=2))
    options = LoaderOptions(shuffle="none", threads=0)
    with StreamingLoader(tmp_path / "d", batch_size=12, per_epoch="all", options=options) as loader:
        (batch,) = loader.epoch(0)
    export_dataset(tmp_path / "d", tmp_path / "out", to="tfrecord")
    files = sorted(map(str, (tmp_path / "out").glob("*.tfrecord")))
    read = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(files)]
    found = {
        field.name: [record.features.feature[f"field/{field.name}"] for record in read]
        for field in FIELDS
    }
    names = np.array(FIELDS[1].names)[batch.fields["stain"]]
    assert [one.bytes_list.value[0].decode() for one in found["stain"]] == names.tolist()
    for name in ("tags", "measures", "weight"):
        numbers = np.array([one.float_list.value for one in found[name]], np.float32)
        assert np.array_equal(numbers, batch.fields[name].reshape(12, -1))


@pytest.mark.parametrize("storage", ["prefix", "recipe"])
def test_what_is_not_stored_is_made(dataset, tmp_path, storage):
    recipe = replace(RECIPE, storage=storage)
    build_dataset(made(), tmp_path / "d", "cifar10", recipe)
    for place, name in ((dataset, "a"), (tmp_path / "d", "b")):
        export_dataset(place, tmp_path / name, to="npz", source=made())
    one, other = ((tmp_path / name / "train.npz").read_bytes() for name in "ab")
    assert one == other


def test_an_export_goes_on_with_the_masks_that_are_there(dataset, tmp_path):
    whole = export_dataset(dataset, tmp_path / "out", to="folder")
    again = export_dataset(dataset, tmp_path / "out", to="folder")
    assert whole.num_written == whole.num_images
    assert again.num_written == 0
