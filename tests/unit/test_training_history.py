"""What past epochs decide, as pure functions of their figures."""

import pytest

from materialize.training.curves import draw_curves
from materialize.training.history import best_epoch, has_stalled, is_over, plateau_rate
from materialize.training.result import EpochFigures, history_csv
from materialize.training.settings import TrainingSettings


def history(*losses, validated=True):
    return [
        EpochFigures(
            epoch=epoch, loss=2 * loss, accuracy=0.5, learning_rate=0.1, num_images=8, num_steps=1,
            val_loss=loss if validated else None, val_accuracy=0.5 if validated else None,
            seconds=3.0, wait_s=0.5, compute_s=1.5, compile_s=0.5,
        )
        for epoch, loss in enumerate(losses)
    ]  # fmt: skip


def test_the_best_epoch_is_the_first_of_equals():
    """A later epoch must be better, not as good."""
    assert best_epoch(history(3, 1, 2, 1), "val_loss") == 1
    assert best_epoch(history(3, 1, 2, 1), "val_accuracy") == 0
    assert best_epoch([], "val_loss") == -1


def test_without_validation_the_training_twin_decides():
    """`val_loss` becomes `loss`."""
    assert best_epoch(history(3, 1, 2, validated=False), "val_loss") == 1


def test_patience_counts_epochs_since_the_best():
    """Patience 2 ends after two epochs that were not better."""
    settings = TrainingSettings(epochs=9, patience=2)
    assert not has_stalled(history(3, 1, 2), settings)
    assert has_stalled(history(3, 1, 2, 1), settings)
    assert is_over(history(3, 1, 2, 1), settings)
    assert not is_over(history(3, 1), settings)


def test_a_plateau_multiplies_the_rate_and_counts_anew():
    """Two epochs that are no better halve it; the next two halve it again."""
    settings = TrainingSettings(
        epochs=9, schedule="plateau", schedule_patience=2, learning_rate=0.8
    )
    rates = [plateau_rate(history(*[3, 1, 1, 1, 1, 1, 0.5][:n]), settings) for n in range(8)]
    assert rates == [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' callback on TensorFlow
def test_the_plateau_is_that_of_keras():
    """Its callback reduces after the same epochs."""
    keras = pytest.importorskip("keras")
    losses = [3, 1, 1, 1, 2, 0.9, 1, 1, 1, 1, 1, 1]
    settings = TrainingSettings(
        epochs=20, schedule="plateau", schedule_patience=3, learning_rate=0.5
    )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=3, min_delta=0)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        assert rate == plateau_rate(history(*losses[: epoch + 1]), settings)


def test_the_csv_reads_back_to_the_same_numbers():
    """Floats are written so that none of their bits are lost; absent figures are empty."""
    header, row = history_csv(history(0.1 + 0.2, validated=False)).splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert float(cells["loss"]) == 2 * (0.1 + 0.2)
    assert cells["val_loss"] == ""


def test_curves_are_a_png_of_the_promised_size():
    """With one epoch too, and without a validation part."""
    pytest.importorskip("matplotlib")
    for epochs in (history(2, 1, 1.5), history(1, validated=False)):
        png = draw_curves(epochs, 0, title="a")
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert [int.from_bytes(png[at : at + 4]) for at in (16, 20)] == [1500, 500]
