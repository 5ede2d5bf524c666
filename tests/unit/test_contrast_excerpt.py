"""Excerpts of sources: which images, and which of them become validation and test."""

from collections import Counter

import numpy as np
import pytest

import materialize
from materialize.contrast.excerpt import Excerpt, excerpt_of
from materialize.errors import SourceError
from materialize.sources import open_source


def _counts(source):
    records = [source.record(index) for index in range(len(source))]
    return Counter((record.label, record.split) for record in records)


def _contents(source, split="train"):
    return {
        source.identity_bytes(index)
        for index in range(len(source))
        if source.record(index).split == split
    }


@pytest.fixture(scope="module")
def digits():
    """1,797 images of ten classes, all to train on."""
    return open_source("digits")


def test_everything_is_the_source_itself(digits):
    """Nothing is wrapped."""
    assert excerpt_of(digits, Excerpt()) is digits


def test_each_class_gives_equally_many(digits):
    """Five of each of the two that are kept."""
    taken = excerpt_of(digits, Excerpt(classes=("3", "7"), train_per_class=5))
    assert _counts(taken) == {("3", "train"): 5, ("7", "train"): 5}
    assert taken.class_names() == ("3", "7")


def test_parts_that_the_source_lacks_are_cut_from_training(digits):
    """First test, then validation, and what is left is trained on."""
    taken = excerpt_of(
        digits, Excerpt(classes=("0",), test_per_class=4, val_per_class=3, train_per_class=10)
    )
    assert _counts(taken) == {("0", "test"): 4, ("0", "val"): 3, ("0", "train"): 10}


def test_no_image_is_in_two_parts(digits):
    """The parts are disjoint."""
    taken = excerpt_of(digits, Excerpt(test_per_class=30, val_per_class=30))
    parts = [_contents(taken, split) for split in ("train", "val", "test")]
    assert len(set().union(*parts)) == sum(map(len, parts)) == len(digits)


def test_a_larger_excerpt_contains_a_smaller_one(digits):
    """They are taken in one order."""
    small, large = (excerpt_of(digits, Excerpt(train_per_class=n)) for n in (5, 9))
    assert _contents(small) < _contents(large)


def test_the_choice_depends_on_the_images_alone():
    """Not on their order in the source."""
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), dtype=np.uint8)
    labels = np.arange(20) % 2
    there = excerpt_of(open_source((images, labels)), Excerpt(train_per_class=3))
    back = excerpt_of(open_source((images[::-1], labels[::-1])), Excerpt(train_per_class=3))
    assert _contents(there) == _contents(back)


def test_test_images_of_the_source_stay_test_images():
    """And are limited by themselves."""
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), dtype=np.uint8)
    labels = np.zeros(20, int)
    source = open_source({"train": (images[:12], labels[:12]), "test": (images[12:], labels[12:])})
    assert _counts(excerpt_of(source, Excerpt(test_per_class=2))) == {
        ("0", "train"): 12, ("0", "test"): 2,
    }  # fmt: skip


def test_a_class_that_is_not_there_is_named(digits):
    """With those that are."""
    with pytest.raises(SourceError, match="no class 'eleven'"):
        excerpt_of(digits, Excerpt(classes=("eleven",)))


def test_a_dataset_of_an_excerpt_can_be_made_again_from_the_whole(digits, tmp_path):
    """Its images are found by content in the source that it remembers."""
    materialize.build(
        excerpt_of(digits, Excerpt(train_per_class=3, test_per_class=2)), tmp_path / "dataset",
        pipeline="digits", copies=1, originals=True,
    )  # fmt: skip
    assert materialize.verify(tmp_path / "dataset", depth="pixels").is_intact
