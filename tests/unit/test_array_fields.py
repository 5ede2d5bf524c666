"""Arrays beside images: what each of them is taken for, and what is refused."""

import numpy as np
import pytest

from materialize.builder import build_dataset
from materialize.errors import SourceError
from materialize.export.exporter import export_dataset
from materialize.loader.stream import StreamingLoader
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources import open_source, source_from_description
from materialize.sources.targets import Field, schema_of

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
COUNT = np.arange(6)


def with_fields(**fields):
    return open_source({"images": IMAGES, "labels": COUNT % 2, "fields": fields})


@pytest.mark.parametrize(
    ("name", "values", "field", "numbers"),
    [
        ("stain", np.array(list("bababa")), Field("stain", "label", ("a", "b")), [1, 0] * 3),
        ("stain", COUNT % 3 * 5, Field("stain", "label", ("0", "5", "10")), [0, 1, 2] * 2),
        ("tags", np.eye(6, 2, dtype=int), Field("tags", "labels", ("0", "1")), np.eye(6, 2)),
        ("tags", np.eye(6, 2) == 1, Field("tags", "labels", ("0", "1")), np.eye(6, 2)),
        ("age", COUNT / 2, Field("age", "value", ("age",)), COUNT[:, None] / 2),
        ("at", np.eye(6, 2), Field("at", "value", ("at_0", "at_1")), np.eye(6, 2)),
        ("weight", COUNT, Field("weight", "weight"), COUNT),
    ],
)
def test_what_an_array_is_taken_for(name, values, field, numbers):
    source = with_fields(**{name: values})
    assert schema_of(source).fields == (field,)
    (column,) = source.field_columns()
    assert column.dtype == field.dtype
    assert np.array_equal(column, numbers)


def test_columns_may_be_named():
    source = with_fields(tags=np.eye(6, 2, dtype=int), tags_names=["round", "dark"])
    assert schema_of(source).fields == (Field("tags", "labels", ("round", "dark")),)


@pytest.mark.parametrize(
    ("name", "values", "named"),
    [
        ("weight", -COUNT, r"finite and from 0, found -1 in row 1"),
        ("age", np.where(COUNT == 4, np.nan, 1.0), r"finite, found nan in row 4"),
        ("tags", np.full((6, 2), 2), r"0 or 1, found \[2, 2\] in row 0"),
        ("age", np.zeros(5), r"expected \(6,\) or \(6, K\) values"),
        ("age", np.zeros((6, 2, 2)), r"found \(6, 2, 2\)"),
        ("age", np.zeros(6, complex), "complex128"),
    ],
)
def test_arrays_that_are_no_field_are_refused(name, values, named):
    with pytest.raises(SourceError, match=named):
        with_fields(**{name: values})


def test_every_split_has_the_same_fields():
    part = {"images": IMAGES, "fields": {"age": COUNT / 2}}
    source = open_source({"train": part, "test": part})
    assert source.field_columns()[0].shape == (12, 1)
    with pytest.raises(SourceError, match="the fields of test: expected age"):
        open_source({"train": part, "test": {"images": IMAGES}})


def test_labels_that_are_several_are_pointed_to_fields():
    with pytest.raises(SourceError, match="as a field"):
        open_source((IMAGES, np.ones((6, 3))))


def test_an_npz_holds_fields_and_an_exported_one_is_a_source(tmp_path):
    np.savez(tmp_path / "in.npz", images=IMAGES, labels=COUNT % 2, field_age=COUNT / 2)
    source = open_source(tmp_path / "in.npz")
    assert schema_of(source_from_description(source.describe())) == schema_of(source)
    build_dataset(source, tmp_path / "dataset", "cifar10", Recipe(copies=1))
    export_dataset(tmp_path / "dataset", tmp_path / "out", to="npz")
    again = scan(open_source(tmp_path / "out/train.npz"))
    assert again.schema == schema_of(source)
    samples = StreamingLoader(tmp_path / "dataset", batch_size=4).samples
    assert sorted(again.targets.fields["age"][:, 0]) == sorted(samples.fields["age"][:, 0])
