"""Evaluating many models in a row: each is traced once, and TensorFlow has no complaint."""

import logging

import pytest

from materialize.training.backend import backend_name
from materialize.training.evaluation import evaluate
from tests import training_cases as cases

keras = pytest.importorskip("keras")


def _compiled():
    model = cases.model()
    model.compile()
    return model


def test_many_models_on_one_batch_each_are_no_retracing(caplog):
    """As in a contrast or a sweep: new models, few batches, so that most calls are a first one."""
    if backend_name() != "tensorflow":
        pytest.skip("only TensorFlow watches how often functions are traced")
    import tensorflow as tf

    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING, logger=logger.name):
            for _ in range(8):
                evaluate(_compiled(), cases.held_out(5))
    finally:
        logger.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text


def test_the_trace_that_was_made_ahead_is_the_one_that_is_used():
    """One trace for whole and short batches together."""
    if backend_name() != "tensorflow":
        pytest.skip("only TensorFlow counts traces")
    model = _compiled()
    evaluate(model, cases.held_out(20))
    assert model.predict_function.experimental_get_tracing_count() == 1
