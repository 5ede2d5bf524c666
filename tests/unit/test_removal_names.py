"""Whom a removal means: names are found, told apart, and refused where they mean nobody."""

import csv

import pytest

from materialize.cli import main
from materialize.errors import ConfigError
from materialize.extension import extend_dataset
from materialize.loader.opening import OpenDataset
from materialize.removal import remove_samples
from tests.dataset_states import state, stored_images
from tests.image_files import png_bytes
from tests.jobs import photos
from tests.removal_cases import VICTIMS, ids_of, make, without


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty-two pictures; at most five to a shard."""
    return photos(tmp_path_factory.mktemp("source") / "photos", 22)


def test_a_removal_that_is_repeated_says_that_it_may_be_done(tmp_path, source):
    """Only ids are remembered, so a locator cannot be told from one that never was."""
    out = make(tmp_path / "out", source)
    with pytest.raises(ConfigError) as caught:
        remove_samples(out, ["nobody.png"])
    assert "removed already" not in str(caught.value)
    remove_samples(out, VICTIMS)
    with pytest.raises(ConfigError, match="or it was removed already"):
        remove_samples(out, VICTIMS[:1])


def test_no_name_at_all_was_not_removed_already(tmp_path, source):
    out = make(tmp_path / "out", source)
    remove_samples(out, VICTIMS)
    with pytest.raises(ConfigError, match="sample ''") as caught:
        remove_samples(out, [""])
    assert "removed already" not in str(caught.value)


def test_what_the_user_named_is_known_by_that_name(tmp_path):
    """Where ids are given, the content of two images may be the same."""
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(png_bytes(i % 5, (16, 16)))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "id"])
        writer.writerows([f"{i}.png", "ab"[i % 2], f"patient{i}"] for i in range(6))
    out = make(tmp_path / "out", tmp_path / "labels.csv")
    before, ids = stored_images(out), ids_of(out, ["0.png"])
    remove_samples(out, ["0.png"])
    report = extend_dataset(out)
    assert "1 images were left out" in report.warnings[0]
    assert stored_images(out) == without(before, ids)


def test_all_names_that_mean_nobody_are_told_at_once(tmp_path, source):
    out = make(tmp_path / "out", source)
    (identity,) = ids_of(out, VICTIMS[:1])
    remove_samples(out, VICTIMS[:1])
    before = state(out)
    with pytest.raises(ConfigError) as caught:
        remove_samples(out, ["b/001.png", identity[:12], "nobody.png", "", "0123456789abcdef"])
    said = str(caught.value)
    assert "4 of 5" in said
    assert f"{identity[:12]!r}: removed already" in said
    assert "nobody.png" in said
    assert "0123456789abcdef" in said
    assert state(out) == before


def test_a_beginning_that_several_share_is_refused(tmp_path, source):
    out = make(tmp_path / "out", source)
    population = OpenDataset.open(out).standing.populations[0]
    first = [sample.tobytes().hex()[0] for sample in population.ids]
    shared = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(ConfigError, match="expected the name of one sample"):
        remove_samples(out, [shared])


def test_removing_all_training_images_is_refused(tmp_path, source):
    out = make(tmp_path / "out", source)
    before = state(out)
    with pytest.raises(ConfigError, match="training images to stay"):
        remove_samples(out, sorted(ids_of(out, set(OpenDataset.open(out).standing.populations[0]
                                                   .locators))))  # fmt: skip
    with pytest.raises(ConfigError, match="expected the names"):
        remove_samples(out, [])
    assert state(out) == before


def test_naming_one_twice_removes_it_once(tmp_path, source):
    out = make(tmp_path / "out", source)
    (identity,) = ids_of(out, VICTIMS[:1])
    assert remove_samples(out, [VICTIMS[0], identity]).removed == (identity,)


def test_the_command_line_reads_names_from_a_file(tmp_path, source, capsys):
    out = make(tmp_path / "out", source)
    (tmp_path / "withdrawn.txt").write_text("a/004.png\n\nb/011.png\n")
    arguments = ["--samples-file", str(tmp_path / "withdrawn.txt"), "--workers", "1"]
    assert main(["remove", str(out), "--sample", "a/006.png", *arguments]) == 0
    said = capsys.readouterr().out
    assert "removed 3 images" in said
    assert "materialize gc" in said
    assert len({key[0] for key in stored_images(out)}) == 19
