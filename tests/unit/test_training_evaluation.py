"""Figures of a part: equal to scikit-learn's, streamed, and only of untouched images."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from materialize.errors import ConfigError
from materialize.training.directory import write_evaluation
from materialize.training.evaluation import Predictions, evaluate, score
from materialize.training.failures import TrainingError
from tests import training_cases as cases

pytest.importorskip("keras")

NAMES = ("a", "b", "c")


def predictions(count=50, seed=0):
    random = np.random.default_rng(seed)
    samples = cases.make_samples(count, labels=random.integers(0, 3, count))
    probabilities = random.dirichlet(np.ones(3), count).astype(np.float32)
    return Predictions(samples.ids, samples.labels, probabilities)


def test_the_figures_are_those_of_scikit_learn():
    """Loss, accuracy, confusion, precision, recall, F1 and support."""
    said = predictions()
    found = score(said, NAMES)
    assert found.loss == pytest.approx(log_loss(said.labels, said.probabilities), rel=1e-6)
    assert found.accuracy == np.mean(said.labels == said.classes)
    assert np.array_equal(found.confusion, confusion_matrix(said.labels, said.classes))
    expected = precision_recall_fscore_support(said.labels, said.classes)
    figures = [(c.precision, c.recall, c.f1, c.support) for c in found.classes]
    assert np.allclose(np.transpose(figures), expected)


def test_a_class_without_images_has_zeros():
    """Not NaN, which JSON has no word for."""
    said = predictions()
    found = score(said, (*NAMES, "d"))
    # The fourth class has no probability column and no image.
    assert (found.classes[3].recall, found.classes[3].support) == (0.0, 0)


def test_a_loss_is_bounded_by_the_least_probability():
    """One image that is surely wrong does not make it infinite."""
    said = predictions(1)
    said.probabilities[:] = np.eye(3, dtype=np.float32)[(said.labels[0] + 1) % 3]
    assert score(said, NAMES).loss == pytest.approx(16.118, abs=1e-3)


def test_answers_that_are_no_numbers_are_an_error():
    """With how many there are."""
    said = predictions()
    said.probabilities[3] = np.nan
    with pytest.raises(TrainingError, match="1 of 50 images"):
        score(said, NAMES)


def test_predictions_are_in_the_order_of_the_samples_whatever_the_loaders_order():
    """So that two models' predictions can be averaged row by row."""
    model = cases.model()
    shuffled, other = cases.held_out(seed=1, batch_size=8), cases.held_out(seed=2, batch_size=7)
    first, second = evaluate(model, shuffled).predictions, evaluate(model, other).predictions
    assert np.array_equal(first.ids, shuffled.samples.ids)
    assert np.array_equal(second.ids, first.ids)
    assert np.allclose(first.probabilities, second.probabilities, atol=1e-6)


def test_copies_are_refused_unless_asked_for():
    """Validation and test images are never augmented."""
    model, augmented = cases.model(), cases.loader(copies=(0, 1))
    with pytest.raises(ConfigError, match="expected untouched images"):
        evaluate(model, augmented)
    assert len(evaluate(model, augmented, accepts_copies=True).predictions) == 40


def test_unlabelled_images_are_refused():
    """There is nothing to compare with."""
    unlabelled = cases.held_out(labels=[-1, *[0] * 19])
    with pytest.raises(ConfigError, match="1 of 20 images without"):
        evaluate(cases.model(), unlabelled)


def test_the_files_name_every_image_and_class(tmp_path):
    """Sample ids in hex; a header in each table."""
    said = predictions(3)
    write_evaluation(tmp_path, "test", score(said, NAMES))
    header, *rows = (tmp_path / "predictions-test.csv").read_text().splitlines()
    assert header == "sample_id,class,predicted,a,b,c"
    assert [row.split(",")[0] for row in rows] == [i.tobytes().hex() for i in said.ids]
    assert (tmp_path / "confusion-test.csv").read_text().startswith("true \\ predicted,a,b,c\na,")
    assert (tmp_path / "confusion-test.json").exists()
