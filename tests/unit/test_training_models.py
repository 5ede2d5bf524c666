"""Models by name, and the digest of their weights."""

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.training.compilation import make_optimizer
from materialize.training.models import MODELS, make_model, weights_digest
from materialize.training.settings import OPTIMIZERS, TrainingSettings
from tests import training_cases as cases

keras = pytest.importorskip("keras")

SHAPES = {"vgg16": (32, 32, 3), "cifar10": (16, 16, 3)}


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_gives_probabilities_for_uint8_images(name):
    """One row of them for each image, in float32."""
    shape = SHAPES.get(name, (8, 8, 1))
    model = make_model(name, shape, 3)
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    answer = np.asarray(model(images))
    assert (answer.shape, answer.dtype) == ((2, 3), np.float32)
    assert np.allclose(answer.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cifar10", ["Conv2D 64", "Conv2D 128", "Conv2D 256", "Conv2D 512", "Dense 512"]),
        ("fashion-mnist", ["Conv2D 32", "Conv2D 64", "Dropout 0.5"]),
        ("mnist", ["Conv2D 16", "Conv2D 32", "Dense 128", "Dense 128"]),
        ("blood-cells", ["Conv2D 32", "Conv2D 64", "Dense 256", "Dropout 0.5"]),
    ],
)
def test_the_tutorials_models_have_their_layers(name, kinds):
    """Channels, units and dropout as the tutorials have them."""
    sizes = {"Conv2D": "filters", "Dense": "units", "Dropout": "rate"}
    found = [
        f"{type(layer).__name__} {getattr(layer, sizes[type(layer).__name__])}"
        for layer in make_model(name, (32, 32, 3), 3).layers
        if type(layer).__name__ in sizes
    ]
    assert found == [*kinds, "Dense 3"]


def test_equal_arguments_give_equal_weights():
    """Whatever was made in between."""
    digest = weights_digest(cases.model("resnet"))
    cases.model("mnist", seed=3)
    assert weights_digest(cases.model("resnet")) == digest
    assert weights_digest(cases.model("resnet", seed=1)) != digest


def test_the_digest_sees_every_bit_and_no_name():
    """One flipped bit changes it; other layer names do not."""
    model = cases.model("mnist")
    digest = weights_digest(model)
    again = keras.models.clone_model(model, clone_function=lambda layer: renamed(layer))
    again.set_weights(model.get_weights())
    assert weights_digest(again) == digest
    weights = model.get_weights()
    weights[0].view(np.uint32).reshape(-1)[0] ^= 1
    model.set_weights(weights)
    assert weights_digest(model) != digest


def renamed(layer):
    return type(layer).from_config(layer.get_config() | {"name": f"other_{layer.name}"})


def test_mixed_precision_keeps_weights_and_answers_in_float32():
    """And leaves Keras' global policy as it was."""
    model = cases.model("resnet", mixed_precision=True)
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert model.output.dtype == "float32"
    assert model.layers[2].compute_dtype == "float16"
    assert keras.config.dtype_policy().name == "float32"


def test_an_unknown_model_names_the_nearest():
    """And says that any model can be passed."""
    with pytest.raises(ConfigError, match="did you mean 'fashion-mnist'"):
        make_model("fashion_mnist", (8, 8, 1), 3)
    with pytest.raises(ConfigError, match=r"pass a keras\.Model"):
        make_model("qqq", (8, 8, 1), 3)


def test_one_class_and_too_small_images_are_refused():
    """Each with its own sentence."""
    with pytest.raises(ConfigError, match="at least 2 classes"):
        make_model("mnist", (8, 8, 1), 1)
    with pytest.raises(ConfigError, match="at least 32×32 pixels"):
        make_model("vgg16", (31, 64, 3), 2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_that_of_keras(name):
    """By its name and with its rate."""
    optimizer = make_optimizer(TrainingSettings(epochs=1, optimizer=name), 10)
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)


def test_a_cosine_rises_and_falls():
    """From 0 over the warm-up to the rate, and to 0 at the end of the training."""
    settings = TrainingSettings(
        epochs=2, schedule="cosine", warmup_steps=4, learning_rate=0.5, optimizer="sgd"
    )
    rate = make_optimizer(settings, 10)._learning_rate
    rates = [float(rate(step)) for step in (0, 2, 4, 12, 20)]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.25, 0], abs=1e-6)


def test_an_exponential_falls_once_an_epoch():
    """By the factor."""
    settings = TrainingSettings(epochs=3, schedule="exponential", learning_rate=0.5)
    rate = make_optimizer(settings, 10)._learning_rate
    assert [float(rate(step)) for step in (0, 9, 10, 20)] == [0.5, 0.5, 0.25, 0.125]


def test_a_warm_up_longer_than_the_training_is_refused():
    """Nothing would be left to fall."""
    settings = TrainingSettings(epochs=1, schedule="cosine", warmup_steps=10)
    with pytest.raises(ConfigError, match="10 steps of the training"):
        make_optimizer(settings, 10)
