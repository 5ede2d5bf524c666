"""Several labels, values and weights: from the table through shards to batches, and kept by all."""

import csv
import json
import shutil
import tarfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from materialize.audit.restoration import repair_dataset
from materialize.audit.verification import verify_dataset
from materialize.builder import build_dataset
from materialize.errors import ConfigError, SourceError
from materialize.export.exporter import export_dataset
from materialize.extension import extend_dataset
from materialize.feasibility import check_feasible
from materialize.loader.adapters import (
    as_keras_dataset,
    as_tf_dataset,
    as_torch_dataset,
    as_torch_samples,
)
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest, shard_path
from materialize.metadata.about import About
from materialize.metadata.card import render_card
from materialize.metadata.croissant import write_metadata
from materialize.metadata.facts import gather_facts
from materialize.planning import tasks
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.removal import remove_samples
from materialize.shards.reader import ShardReader
from materialize.sources import open_source, source_from_description
from materialize.sources.targets import Field, schema_of
from materialize.transcoding import transcode_dataset
from pipelines import from_dict, load
from tests.image_files import png_bytes, write_tree
from tests.jobs import shard_paths

RECIPE = Recipe(copies=2, seed=5, shard_bytes=4096, originals=True)
HEADER = "file,label,tags,sharp,old,colour,age,height,weight"
OPTIONS = {
    "multi_label_column": "tags",
    "multi_label_columns": ("sharp", "old"),
    "label_columns": ("colour",),
    "value_columns": ("age", "height"),
    "weight_column": "weight",
}


def row(number, **cells):
    """A line of the table; ``cells`` replace some."""
    values = {
        "file": f"{number:03d}.png",
        "label": "ab"[number % 2],
        "tags": ("", "x", "x|y")[number % 3],
        "sharp": number % 2,
        "old": 1,
        "colour": ("red", "blue")[number % 2],
        "age": number / 3,
        "height": -number,
        "weight": 0.5,
    }
    return ",".join(map(str, (values | cells).values()))


def files_of(population):
    """The names of all shards."""
    work = tasks(load("cifar10"), RECIPE, population)
    return {spec.file_name() for task in work for spec in task.specs}


def table(root, count=8, *, first=0, rows=None, header=HEADER):
    """A table of so many pictures, and the pictures."""
    write_tree(root, {f"{i:03d}.png": png_bytes(i, (16, 16)) for i in range(first, first + count)})
    rows = [row(i) for i in range(first + count)] if rows is None else rows
    (root / "labels.csv").write_text("\n".join([header, *rows]))
    return root / "labels.csv"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return open_source(table(tmp_path_factory.mktemp("source")), **OPTIONS)


@pytest.fixture(scope="module")
def dataset(source, tmp_path_factory):
    directory = tmp_path_factory.mktemp("dataset") / "dataset"
    build_dataset(source, directory, "cifar10", RECIPE)
    return directory


@pytest.fixture
def copied(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "copied")


def is_whole(directory):
    report = verify_dataset(directory, depth="pixels")
    return not report.damages


def test_the_columns_of_a_table_are_fields(source):
    assert schema_of(source).fields == (
        Field("tags", "labels", ("x", "y")),
        Field("labels", "labels", ("sharp", "old")),
        Field("colour", "label", ("blue", "red")),
        Field("values", "value", ("age", "height")),
        Field("weight", "weight"),
    )
    tags, bits, colour, values, weight = source.field_columns()
    assert tags[:3].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert bits[:2].tolist() == [[0, 1], [1, 1]]
    assert colour[:2].tolist() == [1, 0]
    assert values[3].tolist() == [1, -3]
    assert weight.tolist() == [0.5] * 8
    again = source_from_description(source.describe())
    assert schema_of(again) == schema_of(source)


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"age": ""}, "row 2: '' is no number"),
        ({"age": "nan"}, "row 2: 'nan' is no number"),
        ({"height": "1e39"}, "row 2: '1e39' is no number"),
        ({"weight": -1}, "row 2: '-1' is less than 0"),
        ({"colour": ""}, "row 2: '' is no label"),
        ({"sharp": 2}, "row 2: '2' is neither 0 nor 1"),
    ],
)
def test_cells_that_say_nothing_are_named(tmp_path, cells, named):
    path = table(tmp_path, 3, rows=[row(0), row(1, **cells), row(2)])
    with pytest.raises(SourceError, match=named):
        open_source(path, **OPTIONS)


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path):
    with pytest.raises(SourceError, match="has no column 'ages'; did you mean 'age'"):
        open_source(table(tmp_path), value_columns=("ages",))


def test_a_table_of_values_needs_no_labels(tmp_path):
    path = table(tmp_path, 2, header="file,age", rows=["000.png,1", "001.png,2"])
    assert open_source(path, value_columns=("age",)).class_names() == ()


def test_shards_hold_the_fields_of_their_rows(source, dataset):
    by_id = {bytes(i): r for r, i in enumerate(scan(source).ids)}
    columns = scan(source).targets.fields
    for entry in load_latest(dataset).shards:
        with ShardReader(shard_path(dataset, entry.file), entry) as reader:
            rows = [by_id[bytes(i)] for i in reader.sample_ids]
            assert all(np.array_equal(reader.fields[n], v[rows]) for n, v in columns.items())
    assert is_whole(dataset)


def test_the_three_arms_hand_out_the_same_fields(source, dataset):
    options = LoaderOptions(threads=0)
    arms = (
        StreamingLoader(dataset, batch_size=3, options=options),
        PrefixLoader(dataset, batch_size=3, options=options),
        AugmentingLoader(source, "cifar10", batch_size=3, augmentation_seed=5, options=options),
    )
    names = ["tags", "labels", "colour", "values", "weight"]
    for batches in zip(*(arm.epoch(1) for arm in arms), strict=True):
        first = batches[0]
        expected = {name: arms[0].samples.fields[name][first.rows] for name in names}
        for batch in batches:
            assert list(batch.fields) == names
            assert all(np.array_equal(batch.fields[n], v) for n, v in expected.items())
            assert np.array_equal(batch.images, first.images)


def test_shards_without_fields_keep_their_names(tmp_path, source):
    plain = open_source(table(tmp_path))
    assert files_of(scan(plain)) == files_of(replace(scan(source), targets=None))
    spec = next(iter(tasks(load("cifar10"), RECIPE, scan(plain)))).specs[0]
    assert "fields" not in spec.to_json()


def test_other_values_are_other_shards(source):
    population = scan(source)
    fields = population.targets.fields
    changed = replace(population.targets, fields=fields | {"weight": fields["weight"] * 2})
    assert not files_of(population) & files_of(replace(population, targets=changed))


def test_a_lost_shard_is_repaired_with_its_fields(copied):
    first = shard_paths(copied)[0]
    before = first.read_bytes()
    first.unlink()
    repair_dataset(copied)
    assert first.read_bytes() == before


def test_a_lost_shard_is_made_again_in_memory(copied):
    lost = next(e for e in load_latest(copied).shards if e.spec.copy == 1)
    shard_path(copied, lost.file).unlink()
    stored = StreamingLoader(copied, batch_size=8, options=LoaderOptions(on_damage="regenerate"))
    with pytest.warns(UserWarning, match="made again"):
        list(stored.epoch(1))


def test_removal_and_transcoding_keep_the_fields(copied):
    samples = StreamingLoader(copied, batch_size=8).samples
    remove_samples(copied, [samples.ids[2].tobytes().hex()])
    transcode_dataset(copied, codec="zstd")
    left = StreamingLoader(copied, batch_size=8).samples
    kept = np.delete(np.arange(8), 2)
    assert np.array_equal(left.fields["values"], samples.fields["values"][kept])
    assert is_whole(copied)


def test_new_images_bring_their_fields(tmp_path):
    path = table(tmp_path / "source", 4)
    build_dataset(open_source(path, **OPTIONS), tmp_path / "dataset", "cifar10", RECIPE)
    table(tmp_path / "source", 3, first=4)
    extend_dataset(tmp_path / "dataset", copies=3)
    samples = StreamingLoader(tmp_path / "dataset", batch_size=8).samples
    whole = scan(open_source(path, **OPTIONS))
    assert np.array_equal(samples.ids, whole.ids)
    assert np.array_equal(samples.fields["tags"], whole.targets.fields["tags"])
    assert is_whole(tmp_path / "dataset")


def test_a_dataset_is_not_extended_from_a_source_without_its_fields(copied, source):
    with pytest.raises(SourceError, match="fields of the source"):
        extend_dataset(copied, copies=3, source=open_source(source.table_path))


def test_images_with_fields_are_not_mixed(source):
    mixup = from_dict({"step": [{"transform": "mixup"}]})
    with pytest.raises(ConfigError, match="got the fields tags, labels, colour, values"):
        check_feasible(mixup, RECIPE, scan(source))


def test_a_folder_export_has_a_column_for_each_number(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="folder")
    with (tmp_path / "out/index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    samples = StreamingLoader(dataset, batch_size=8).samples
    number = {bytes(i).hex(): place for place, i in enumerate(samples.ids)}
    for found in rows:
        place = number[found["sample_id"]]
        assert float(found["field.values.age"]) == samples.fields["values"][place, 0]
        assert int(found["field.tags.x"]) == samples.fields["tags"][place, 0]
        assert found["field.colour"] == ("blue", "red")[samples.fields["colour"][place]]


def test_an_npz_export_has_an_array_for_each_field(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="npz")
    with np.load(tmp_path / "out/train.npz") as arrays:
        assert arrays["field_values"].shape == (len(arrays["images"]), 2)
        assert arrays["field_values_names"].tolist() == ["age", "height"]
        assert "field_weight_names" not in arrays


def test_a_webdataset_export_has_fields_in_its_facts(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="webdataset")
    with tarfile.open(next((tmp_path / "out").glob("*.tar"))) as archive:
        name = next(n for n in archive.getnames() if n.endswith(".json"))
        facts = json.load(archive.extractfile(name))
    assert set(facts["fields"]) == {"tags", "labels", "colour", "values", "weight"}
    assert facts["fields"]["colour"] in ("blue", "red")
    assert set(facts["fields"]["values"]) == {"age", "height"}


def test_catalogues_and_the_card_say_what_fields_there_are(copied):
    about = About(licence="MIT", creator=("X",), date="2026-01-01")
    write_metadata(copied, about)
    with (copied / "croissant-records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["field.colour"] for row in rows} == {"blue", "red"}
    columns = json.loads((copied / "croissant.json").read_text())["recordSet"]
    assert any("records/field.values.age" in str(column) for column in columns)
    card = render_card(gather_facts(copied), about)
    assert "`values` (value: age, height)" in card
    assert "`weight` (weight)" in card


@pytest.fixture
def loader(dataset):
    with StreamingLoader(dataset, batch_size=4, options=LoaderOptions(threads=0)) as made:
        yield made


def check_element(element, batch, *, one_hot):
    """Whether images, targets by name and weights are those of a batch."""
    images, targets, weights = element
    assert np.array_equal(images, batch.images)
    assert list(targets) == ["label", "tags", "labels", "colour", "values"]
    for name in ("tags", "labels", "values"):
        assert np.array_equal(targets[name], batch.fields[name])
        assert "float32" in str(targets[name].dtype)
    colour = batch.fields["colour"]
    assert np.array_equal(targets["colour"], np.eye(2)[colour] if one_hot else colour)
    assert np.array_equal(weights, batch.fields["weight"])


def test_keras_is_given_targets_by_name_and_weights(loader):
    pytest.importorskip("keras")
    check_element(as_keras_dataset(loader)[0], loader.batch(0, 0), one_hot=True)
    alone = as_keras_dataset(loader, targets="values")[0]
    assert np.array_equal(alone[1], loader.batch(0, 0).fields["values"])


def test_tensorflow_is_given_targets_by_name_and_weights(loader):
    pytest.importorskip("tensorflow")
    batches = as_tf_dataset(loader)
    element = next(batches.as_numpy_iterator())
    check_element(element, loader.batch(0, 0), one_hot=False)
    _, targets, weights = batches.element_spec
    assert targets["values"].shape == (4, 2)
    assert targets["colour"].shape == (4,)
    assert weights.shape == (4,)


def test_pytorch_is_given_targets_by_name_and_weights(dataset, loader):
    pytest.importorskip("torch")
    recipe = partial(StreamingLoader, dataset, batch_size=4)
    made = as_torch_dataset(recipe)
    check_element(next(iter(made)), loader.batch(0, 0), one_hot=False)
    made.close()
    samples = as_torch_samples(recipe)
    _, targets, weight = samples[3]
    assert targets["values"].shape == (2,)
    assert float(weight) == 0.5
    samples.close()


def test_names_that_models_are_given_otherwise_are_refused():
    with pytest.raises(ConfigError, match="expected another name than label, mask"):
        Field("mask", "weight")
