"""The tables that two tutorials' data are given."""

import numpy as np
import pytest

from materialize.contrast.excerpt import Excerpt, excerpt_of
from materialize.contrast.preparations import AcceptedClasses, prepare
from materialize.contrast.scoring import extra_scores, overall
from materialize.errors import ConfigError, SourceError
from materialize.population import scan
from materialize.sources import open_source
from materialize.training.evaluation import Predictions


def test_books_have_two_test_sets(real_data, tmp_path):
    """71 to train on, 6 easy and 20 difficult ones, each with its accepted classes."""
    prepared = prepare("books", real_data / "books73_512", tmp_path)
    splits = [prepared.source.record(i).split for i in range(len(prepared.source))]
    assert (splits.count("train"), splits.count("test")) == (71, 26)
    scores = [accepted.score for accepted in prepared.accepted.values()]
    assert (scores.count("easy"), scores.count("difficult")) == (6, 20)
    expected = AcceptedClasses("difficult", ("nlp", "keras", "bayes"))
    assert prepared.accepted["test_difficult/img_5493.jpg"] == expected


def test_blood_cells_are_cut_as_the_tutorial_did(real_data, tmp_path):
    """Thirty of each kind where there are thirty; four of each to test on."""
    prepared = prepare("blood_cells", real_data / "wbc_masks", tmp_path)
    kinds = ("neutrophil", "eosinophil", "monocyte")
    taken = excerpt_of(
        prepared.source, Excerpt(classes=kinds, train_per_class=30, test_per_class=4)
    )
    records = [taken.record(index) for index in range(len(taken))]
    train = [record.label for record in records if record.split == "train"]
    assert {kind: train.count(kind) for kind in kinds} == dict(
        zip(kinds, (30, 18, 30), strict=True)
    )
    assert len(records) - len(train) == 12


def test_another_folder_is_refused(tmp_path):
    """With what is missing."""
    with pytest.raises(SourceError, match=r"test_labels\.csv"):
        prepare("books", tmp_path, tmp_path / "work")


def test_an_unknown_preparation_is_named(tmp_path):
    """With the nearest."""
    with pytest.raises(ConfigError, match="did you mean 'books'"):
        prepare("book", tmp_path, tmp_path)


def test_any_accepted_class_counts():
    """Two images of each score: one right, one wrong; the classes are a, b, c."""
    images = np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1)
    population = scan(
        open_source({"train": (images[:1] + 100, [0]), "test": (images, [0, 1, 2, 0])})
    )
    rows = population.split_rows("test")
    places = {population.locators[row]: row for row in rows}
    accepted = {
        "test/row:0": AcceptedClasses("easy", ("a", "c")),
        "test/row:1": AcceptedClasses("easy", ("b",)),
        "test/row:2": AcceptedClasses("hard", ("b", "c")),
    }
    said = {"test/row:0": 2, "test/row:1": 0, "test/row:2": 1, "test/row:3": 0}
    answers = np.zeros((4, 3), np.float32)
    for locator, row in places.items():
        answers[row - rows.start, said[locator]] = 1
    predictions = Predictions(
        population.ids[rows.start : rows.stop], population.labels[rows.start : rows.stop], answers
    )
    scores = extra_scores(predictions, population, ("a", "b", "c"), accepted)
    assert scores == {"easy": 0.5, "hard": 1.0}
    assert overall(scores, accepted) == pytest.approx(2 / 3)
