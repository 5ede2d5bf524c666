"""What `check` says: everything at once, errors first, and nothing raised."""

from dataclasses import replace

import numpy as np
import pytest

from materialize import suitability
from materialize.population import Division, ScanOptions, scan
from materialize.population.likeness import Likeness
from materialize.population.target_counts import count_targets
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.sources.targets import Field, TargetSchema
from materialize.suitability import Intention, check_suitability
from pipelines import from_dict, load
from tests.image_files import png_bytes, write_tree
from tests.target_cases import TargetedArrays

LENIENT = ScanOptions(allow_split_leaks=True)


def images(count, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def report_on(source, options=None, likenesses=None, **intention):
    scanned_with = replace(options.scan if options else LENIENT, allow_split_leaks=True)
    population = scan(open_source(source), scanned_with)
    return check_suitability(
        population, Intention(**intention), options or BuildOptions(), likenesses=likenesses
    )


def severities(report):
    return {(finding.severity, finding.where) for finding in report.findings}


def test_good_images_and_a_fitting_pipeline_leave_nothing_to_say():
    labels = np.array(["cat", "dog"])[np.arange(20) % 2]
    report = report_on((images(20), labels), pipeline=load("cifar10"))
    assert report.findings == ()
    assert not report.has_errors


def test_contradictory_labels_are_an_error_unless_accepted():
    twice = np.concatenate([images(4), images(1)])
    source = (twice, np.array([0, 1, 0, 1, 1]))
    assert ("error", "labels") in severities(report_on(source))
    accepted = report_on(source, allow_label_conflicts=True)
    assert ("warning", "labels") in severities(accepted)
    assert not accepted.has_errors


def test_exact_duplicates_are_a_warning():
    report = report_on((np.concatenate([images(4), images(1)]), np.array([0, 1, 0, 1, 0])))
    assert [f.message for f in report.findings] == ["1 images are exact duplicates of others"]


def test_an_image_in_two_splits_is_an_error_unless_accepted():
    source = {"train": images(4), "test": images(1)}
    assert ("error", "splits") in severities(report_on(source))
    lenient = BuildOptions(scan=LENIENT)
    assert ("warning", "splits") in severities(report_on(source, lenient))


def test_nothing_to_train_on_is_an_error():
    assert ("error", "splits") in severities(report_on({"test": images(4)}))


def test_bad_images_are_an_error_beyond_the_limit_and_a_warning_below_it():
    pixels = images(4).astype(np.float32)
    pixels[1, 0, 0, 0] = np.nan
    strict = report_on(pixels)
    assert ("error", "images") in severities(strict)
    assert "row:1 (not-finite)" in strict.findings[0].message
    lenient = report_on(pixels, BuildOptions(max_bad=0.5))
    assert ("warning", "images") in severities(lenient)


def test_classes_without_training_images_are_named():
    source = {"train": (images(2), np.array([0, 0])), "test": (images(2, seed=1), np.array([0, 1]))}
    messages = [finding.message for finding in report_on(source).findings]
    assert messages == ["1 class has no training image: 1"]


def test_the_pipeline_is_held_against_the_images():
    digits = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    report = report_on((digits, np.arange(20) % 10), pipeline=load("cifar10"))
    assert any("mirrored" in finding.message for finding in report.findings)


def test_errors_come_first():
    source = (np.concatenate([images(4), images(1)]), np.array([0, 1, 0, 1, 1]))
    ranks = [suitability.SEVERITIES.index(f.severity) for f in report_on(source).findings]
    assert ranks == sorted(ranks)
    assert len(ranks) > 1


def test_the_extent_is_what_a_build_writes():
    extent = report_on(
        (images(20), np.arange(20) % 2), pipeline=load("cifar10"), recipe=Recipe(copies=3)
    ).extent
    assert extent.image_shape == (8, 8, 3)
    assert (extent.num_images, extent.num_shards) == (60, 3)
    assert extent.num_bytes >= 60 * 8 * 8 * 3


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr(suitability.shutil, "disk_usage", lambda _: usage)
    report = report_on(
        images(20), pipeline=load("cifar10"), recipe=Recipe(copies=3), output=tmp_path / "a" / "b"
    )
    assert ("error", "disk") in severities(report)


def test_images_that_end_with_several_sizes_are_an_error_and_have_no_extent(real_data):
    source = real_data / "imagenet_1000_samples"
    report = report_on(source, pipeline=load("cifar10"), recipe=Recipe(copies=3))
    assert report.has_errors
    assert report.extent is None


def test_flowers_hold_four_pictures_under_two_labels(real_data):
    report = report_on(real_data / "flowers128")
    conflicts = [f for f in report.findings if f.where == "labels"]
    assert [f.severity for f in conflicts] == ["error"]
    assert conflicts[0].message.startswith("4 images are there under different labels")


@pytest.mark.parametrize("severity", suitability.SEVERITIES)
def test_findings_are_counted_by_severity(severity):
    assert report_on(images(4)).count(severity) == 0


def test_splits_are_counted_by_class_and_proven_whole():
    division = BuildOptions(scan=ScanOptions(division=Division((8, 1, 1))))
    report = report_on((images(40), np.arange(40) % 2), division)
    assert report.splits.counts == ((16, 2, 2), (16, 2, 2))
    assert report.splits.is_whole
    assert report.splits.num_contents == 40
    assert report.findings == ()


def test_a_group_in_two_splits_is_a_warning(tmp_path):
    contents = {f"{split}/a/p/{n}.png": png_bytes(n) for n, split in enumerate(("train", "test"))}
    report = report_on(write_tree(tmp_path, contents))
    assert report.splits.torn_groups == ("a/p (train, test)",)
    assert [(f.severity, f.where) for f in report.findings] == [("warning", "splits")]


def test_folds_are_of_the_training_images_alone():
    source = {"train": (images(12), np.arange(12) % 2), "test": (images(2, seed=1), np.arange(2))}
    report = report_on(source, folds=3)
    assert report.folds.counts == ((2, 2, 2), (2, 2, 2))
    assert report.folds.is_whole
    assert report_on(source).folds is None


def test_classes_smaller_than_the_folds_are_named():
    report = report_on((images(9), np.array([0] * 7 + [1] * 2)), folds=3)
    (finding,) = report.findings
    assert (finding.severity, finding.where) == ("warning", "folds")
    assert finding.message.startswith("1 class has no image in some of the folds: 1 (fold ")


def test_more_folds_than_images_are_an_error():
    report = report_on(images(3), folds=5)
    assert ("error", "folds") in severities(report)
    assert report.folds is None


def test_near_duplicates_in_different_splits_come_first():
    source = {"train": images(4), "test": images(2, seed=1)}
    alike = (Likeness(0, 1, 0, 0.001), Likeness(2, 4, 2, 0.002))
    (finding,) = report_on(source, likenesses=alike).findings
    start = "2 pairs of images are nearly the same, 1 of them in different splits or folds: "
    assert finding.message.startswith(start)
    first, second = finding.message.removeprefix(start).split(", ")
    assert ("(train) ≈ " in first, "(test)" in first) == (True, True)
    assert second.count("(train)") == 2
    assert finding.severity == "warning"


def test_near_duplicates_in_different_folds_are_told_apart():
    alike = tuple(Likeness(0, other, 0, 0.0) for other in range(1, 6))
    report = report_on(images(6), folds=3, likenesses=alike)
    (finding,) = (f for f in report.findings if f.where == "images")
    assert "4 of them in different splits or folds" in finding.message
    assert "(train, fold " in finding.message


def test_nobody_looked_for_near_duplicates_unless_they_are_given():
    assert report_on(images(4)).likenesses is None
    assert report_on(images(4), likenesses=()).likenesses == ()


def several_sizes(tmp_path):
    files = {f"a/{number}.png": png_bytes(number, (8, 8 + number % 2)) for number in range(4)}
    return write_tree(tmp_path, files)


def test_images_of_several_sizes_are_said_without_a_pipeline(tmp_path):
    (finding,) = report_on(several_sizes(tmp_path)).findings
    assert (finding.severity, finding.where) == ("warning", "sizes")
    assert finding.message.startswith("the images have 2 sizes: 2 of 8×8 (a/")


def test_originals_of_several_sizes_are_an_error_where_copies_are_cropped(tmp_path):
    crop = from_dict({"step": [{"transform": "crop", "height": 6, "width": 6}]}, "here")
    source, recipe = several_sizes(tmp_path), Recipe(copies=1)
    assert not report_on(source, pipeline=crop, recipe=recipe).has_errors
    stored = report_on(source, pipeline=crop, recipe=replace(recipe, originals=True))
    assert ("error", "originals") in severities(stored)


def test_targets_are_counted():
    source = TargetedArrays(6)
    counts = count_targets(source, scan(source))
    assert sum(counts.objects.values()) == source.all_objects.num_objects == 6
    assert counts.images_without_objects == 2
    assert list(counts.mask_labels) == [0, 1, 2, 3]
    assert counts.fields["tags"]["dark"] == source.columns[0][:, 1].sum()
    assert set(counts.fields["weight"]) == {"from", "to"}


@pytest.mark.parametrize("recipe", [None, Recipe(copies=2)])
@pytest.mark.parametrize(
    "schema",
    [
        TargetSchema(mask_names=("mask",)),
        TargetSchema(fields=(Field("measures", "value", ("area", "age")),)),
    ],
)
def test_targets_that_cannot_be_mixed_are_an_error(schema, recipe):
    """As a build says, whether or not it is known how many copies there would be."""
    mixing = from_dict({"step": [{"transform": "mixup", "alpha": 0.4}]})
    report = check_suitability(
        scan(TargetedArrays(schema=schema)), Intention(pipeline=mixing, recipe=recipe),
        BuildOptions(),
    )  # fmt: skip
    assert severities(report) == {("error", "pipeline")}
    assert "mix" in report.findings[0].message


def test_classes_that_cannot_be_balanced_are_an_error():
    recipe = Recipe(copies=2, balance={"cat": 5, "cow": 5})
    report = report_on((images(4), np.array(["cat", "dog"] * 2)), pipeline=load("cifar10"),
                       recipe=recipe)  # fmt: skip
    assert "cow" in report.findings[0].message
    assert severities(report) == {("error", "pipeline")}


def test_boxes_that_are_left_out_are_a_warning(real_data):
    source = open_source(real_data / "bccd_boxes/BCCD")
    population = scan(source, LENIENT)
    report = check_suitability(
        population, Intention(), BuildOptions(), targets=count_targets(source, population)
    )
    assert report.targets.objects == {"Platelets": 361, "RBC": 4153, "WBC": 372}
    (finding,) = [f for f in report.findings if f.where == "targets"]
    assert finding.message.startswith("2 boxes without an area, left out")
