"""What the scan keeps of targets: fields, digests of what moves, and names that are appended."""

from dataclasses import replace

import numpy as np
import pytest

from materialize.errors import RecordReadError, ShardUntrustedError, SourceError
from materialize.loader.samples import split_samples
from materialize.planning import joined, population_identity, take_rows
from materialize.population import Population, ScanOptions, load_targets, scan
from materialize.population.column_file import columns_from_bytes, columns_to_bytes
from materialize.population.scan_rows import scan_rows
from materialize.population.table import _SPECS
from materialize.population.target_columns import column_specs
from materialize.sources.subset import Subset
from materialize.sources.targets import Field, TargetSchema, merged
from pipelines.objects import ObjectKinds
from tests.target_cases import FIELDS, KINDS, SCHEMA, TargetedArrays


@pytest.fixture(scope="module")
def source():
    return TargetedArrays()


@pytest.fixture(scope="module")
def population(source):
    return scan(source)


def test_fields_follow_their_rows(source, population):
    for field, column in zip(FIELDS, source.columns, strict=True):
        expected = column[population.source_index]
        assert np.array_equal(population.targets.fields[field.name], expected), field.name


def test_a_population_with_targets_comes_back_from_its_bytes(population):
    data = population.to_bytes()
    again = Population.from_bytes(data)
    assert again.to_bytes() == data
    assert again.schema == SCHEMA


@pytest.mark.parametrize("change", [b"schema", b"label", b"weight", b"rows"])
def test_targets_that_contradict_themselves_are_refused(population, change):
    specs = {**_SPECS, **column_specs(SCHEMA)}
    columns, facts = columns_from_bytes(population.to_bytes(), specs)
    if change == b"schema":
        facts["targets"]["objects"]["keypoint_swaps"] = [0, 0, 0]
    elif change == b"label":
        columns["field_stain"][0] = 2
    elif change == b"weight":
        columns["field_weight"][0] = -1
    else:
        columns["target_digests"] = columns["target_digests"][1:]
    with pytest.raises(ShardUntrustedError):
        Population.from_bytes(columns_to_bytes(columns, facts))


def test_targets_are_part_of_who_a_population_is(source, population):
    changed = TargetedArrays()
    changed.change_box(1)
    other = scan(changed)
    assert np.array_equal(other.ids, population.ids)
    assert population_identity(other) != population_identity(population)
    lighter = replace(population.targets, fields={
        **population.targets.fields, "weight": population.targets.fields["weight"] / 2
    })  # fmt: skip
    halved = replace(population, targets=lighter)
    assert population_identity(halved) != population_identity(population)


def test_loaded_targets_are_those_of_the_rows(source, population):
    rows = [5, 0, 3]
    loaded = load_targets(source, population, rows)
    places = population.source_index[rows]
    assert all(
        np.array_equal(m, source.masks[p]) for m, p in zip(loaded.masks, places, strict=True)
    )
    expected = source.all_objects.take(places)
    assert np.array_equal(loaded.objects.boxes, expected.boxes)
    assert np.array_equal(loaded.objects.labels, expected.labels)


def test_an_annotation_that_changed_since_the_scan_is_named():
    source = TargetedArrays()
    population = scan(source)
    source.change_box(2)
    row = int(np.flatnonzero(population.source_index == 2)[0])
    with pytest.raises(RecordReadError, match="row:2: its mask or its objects are not what was"):
        load_targets(source, population, [row])


def test_a_mask_of_another_size_is_set_aside():
    source = TargetedArrays()
    source.masks = source.masks[:, :-1]
    population = scan(source)
    assert {bad.reason for bad in population.quarantined} == {"mask-size"}


def test_object_classes_keep_the_numbers_that_a_dataset_gave_them(population):
    turned = replace(KINDS, names=("nucleus", "platelet", "cell"))
    source = TargetedArrays(schema=TargetSchema(turned, ("mask",), FIELDS))
    later = scan(source, known_targets=SCHEMA)
    assert later.schema.objects.names == ("cell", "platelet", "nucleus")
    own = load_targets(source, later, range(len(later)))
    numbers = np.array([2, 1, 0])
    expected = source.all_objects.take(later.source_index).labels
    assert np.array_equal(own.objects.labels, numbers[expected])


def test_digests_do_not_depend_on_the_order_of_class_names():
    source, turned = TargetedArrays(), TargetedArrays()
    turned._schema = replace(SCHEMA, objects=replace(KINDS, names=("platelet", "cell")))
    turned.all_objects = replace(turned.all_objects, labels=1 - turned.all_objects.labels)
    assert np.array_equal(scan(source).targets.digests, scan(turned).targets.digests)


def test_labels_of_fields_are_renumbered_by_name():
    fields = (
        Field("tags", "labels", ("dark", "round")), Field("stain", "label", ("green", "red")),
        *FIELDS[2:],
    )  # fmt: skip
    source = TargetedArrays(schema=replace(SCHEMA, fields=fields))
    found = scan(source, known_targets=SCHEMA)
    assert found.schema.fields[1].names == ("blue", "red", "green")
    tags, stain = (column[found.source_index] for column in source.columns[:2])
    assert np.array_equal(found.targets.fields["tags"][:, [1, 0]], tags)
    assert np.array_equal(found.targets.fields["stain"], np.array([2, 1])[stain])


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (TargetSchema(), "masks"),
        (replace(SCHEMA, mask_names=("a", "b")), "masks"),
        (replace(SCHEMA, objects=ObjectKinds(("cell",))), "keypoint_names"),
        (replace(SCHEMA, fields=FIELDS[1:]), "fields"),
        (replace(SCHEMA, fields=(Field("tags", "labels", ("new",)), *FIELDS[1:])), "field tags"),
    ],
)
def test_other_targets_than_those_of_the_dataset_are_refused(found, named):
    with pytest.raises(SourceError, match=named):
        merged(SCHEMA, found)


def test_generations_are_joined_with_their_targets(source, population):
    halves = [take_rows(population, np.arange(0, 4)), take_rows(population, np.arange(4, 8))]
    assert population_identity(joined(halves[::-1])) == population_identity(population)


def test_samples_carry_fields(population):
    samples = split_samples([population], "train")
    assert samples.schema == SCHEMA
    some = samples.taken(np.array([1, 4]))
    assert np.array_equal(some.fields["measures"], population.targets.fields["measures"][[1, 4]])


def test_a_subset_has_the_targets_of_its_records(source):
    part = scan(Subset(source, 3), ScanOptions())
    whole = {bytes(i): bytes(d) for i, d in zip(*both(scan(source)), strict=True)}
    assert all(whole[bytes(i)] == bytes(d) for i, d in zip(*both(part), strict=True))


def both(population):
    return population.ids, population.targets.digests


def test_a_source_without_targets_is_scanned_as_before(four_rows):
    rows = scan_rows(four_rows, range(4), four_rows.class_names(), header_only=False)
    assert len(rows.target_digests) == 0
    assert scan(four_rows).targets is None


@pytest.fixture
def four_rows():
    return TargetedArrays(4, schema=TargetSchema())
