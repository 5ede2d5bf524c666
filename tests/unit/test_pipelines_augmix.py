"""AugMix: weights that sum to one, chains of drawn depth, nothing shared within a batch."""

import numpy as np
import pytest
from scipy import stats

from pipelines.augmix import AugMix
from pipelines.beta import beta_quantiles
from pipelines.diagnosis import diagnose
from pipelines.dirichlet import break_stick, share_quantiles
from pipelines.errors import ParameterError
from pipelines.operations import BRIGHTNESS, IDENTITY, SATURATION
from pipelines.pipeline import Pipeline
from pipelines.serialization import canonical_text, from_canonical_text, from_dict, to_dict
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run, synthetic

MANY = 26_000


def drawn(step, count=MANY):
    """Its parameters at many addresses."""
    ids = np.random.default_rng(6).integers(0, 256, (count, 16), dtype=np.uint8)
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, 20), np.full(count, 28))
    return pipeline.parameters(pipeline.draw(3, ids, 1), canvas)[0]


def near(count, probability, total=MANY):
    """Within five standard deviations of a binomial."""
    return abs(count - total * probability) <= 5 * np.sqrt(total * probability * (1 - probability))


def columns(parameters, what, width=3, high=3):
    """(n, width, high) of one kind of parameter."""
    names = [[f"{what}_{k}_{place}" for place in range(1, high + 1)] for k in range(1, width + 1)]
    return np.stack([np.stack([parameters[n] for n in row], 1) for row in names], 1).astype(int)


def weights_of(parameters, width=3):
    """(n, width + 1) of the image and the chains."""
    return np.stack([parameters[n] for n in
                     ("weight", *(f"weight_{k}" for k in range(1, width + 1)))], 1)  # fmt: skip


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_weights_sum_to_one(width):
    """Exactly, in units of 2**-16."""
    whole = weights_of(drawn(AugMix(width=width)), width) * 65536
    assert (whole == np.rint(whole)).all()
    assert (whole >= 0).all()
    assert (whole.sum(axis=1) == 65536).all()


def test_weights_are_those_of_beta_and_dirichlet():
    """The image's is uniform for alpha 1; each chain's share of the rest is Beta(1, 2)."""
    weights = weights_of(drawn(AugMix()))
    assert stats.kstest(weights[:, 0], "uniform").pvalue > 1e-3
    rest = weights[:, 0] < 0.9
    shares = weights[rest, 1:] / (1 - weights[rest, :1])
    for share in shares.T:
        assert stats.kstest(share, stats.beta(1, 2).cdf).pvalue > 1e-3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        correlation = np.corrcoef(shares[:, one], shares[:, other])[0, 1]
        assert correlation == pytest.approx(-0.5, abs=0.03)


def test_weights_follow_alpha():
    """At 8, shares are near a third: variance 2/9 / 25."""
    shares = break_stick(
        np.random.default_rng(1).integers(0, 2**32, (MANY, 2), dtype=np.uint32), 8.0,
        np.full(MANY, 65536),
    ) / 65536  # fmt: skip
    assert shares.mean(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=0.005)
    assert shares.var(axis=0) == pytest.approx(np.full(3, 2 / 9 / 25), rel=0.05)


@pytest.mark.parametrize(("alpha", "others"), [(1.0, 1), (1.0, 2), (1.0, 4), (8.0, 3), (0.3, 2)])
def test_quantiles_are_scipys(alpha, others):
    """All 1,025, rounded to 2**-16."""
    wanted = stats.beta.ppf(np.arange(1025) / 1024, alpha, others * alpha) * 65536
    assert np.abs(share_quantiles(alpha, others) - wanted).max() < 0.501


def test_quantiles_of_one_against_one_are_those_of_the_symmetric_beta():
    """Two ways to one table."""
    np.testing.assert_array_equal(share_quantiles(2.0, 1), beta_quantiles(2.0))


@pytest.mark.parametrize("depth", [(1, 3), (2, 3), (1, 1), (3, 3)])
def test_chains_are_as_deep_as_drawn(depth):
    """Each depth as often as the others, and no operation missing within."""
    low, high = depth
    operation = columns(drawn(AugMix(depth=depth)), "operation", high=high)
    for chain in range(3):
        happens = operation[:, chain] != IDENTITY
        assert (happens == (np.arange(high) < happens.sum(axis=1)[:, None])).all()
        for number in range(low, high + 1):
            assert near((happens.sum(axis=1) == number).sum(), 1 / (high - low + 1))


@pytest.mark.parametrize(("all_ops", "count"), [(True, 13), (False, 9)])
def test_each_operation_is_drawn_as_often_as_the_others(all_ops, count):
    """In every place; without those of the corruptions, nine."""
    operation = columns(drawn(AugMix(depth=(3, 3), all_ops=all_ops)), "operation")
    for place in operation.reshape(MANY, -1).T:
        names, counts = np.unique(place, return_counts=True)
        assert len(names) == count
        assert all(near(number, 1 / count) for number in counts)
    if not all_ops:
        assert not np.isin(operation, [BRIGHTNESS, *range(SATURATION, SATURATION + 3)]).any()


@pytest.mark.parametrize("severity", [1, 3, 10])
def test_levels_are_the_lowest_of_ten(severity):
    """With either sign, equally often."""
    level = columns(drawn(AugMix(depth=(3, 3), severity=severity)), "level")[:, 1, 2]
    values, counts = np.unique(level, return_counts=True)
    assert values.tolist() == list(range(1 - severity, severity))
    for value, count in zip(values, counts, strict=True):
        assert near(count, (1 if value else 2) / (2 * severity))


def test_chains_and_places_do_not_depend_on_each_other():
    """No pair of the nine operations is correlated."""
    operation = columns(drawn(AugMix(depth=(3, 3))), "operation").reshape(MANY, 9)
    correlation = np.corrcoef(operation.T) - np.eye(9)
    assert np.abs(correlation).max() < 5 / np.sqrt(MANY)


def test_an_image_does_not_depend_on_its_batch():
    """Alone and in another order."""
    images = synthetic(12, 20, 28, 3)
    ids = np.random.default_rng(2).integers(0, 256, (12, 16), dtype=np.uint8)
    pipeline = Pipeline(steps=(AugMix(severity=8),))
    whole = pipeline.apply(images, seed=3, sample_ids=ids, copies=4)
    assert (whole != images).any(axis=(1, 2, 3)).all()
    again = pipeline.apply(images[::-1], seed=3, sample_ids=ids[::-1], copies=4)
    np.testing.assert_array_equal(again[::-1], whole)
    for row in range(12):
        alone = pipeline.apply([images[row]], seed=3, sample_ids=ids[row : row + 1], copies=4)
        np.testing.assert_array_equal(alone[0], whole[row])


def test_all_the_weight_on_the_image_is_the_image():
    """And equal images blend to themselves."""
    step, images = AugMix(), synthetic(9, 20, 28, 3)
    parameters = drawn(step, 9)
    for name in parameters:
        if name.startswith("weight"):
            parameters[name] = np.full(9, float(name == "weight"))
    np.testing.assert_array_equal(run(Pipeline(steps=(step,)), images, [parameters]), images)
    parameters = drawn(step, 9)
    for name in parameters:
        if name.startswith("operation"):
            parameters[name] = np.full(9, float(IDENTITY))
    np.testing.assert_array_equal(run(Pipeline(steps=(step,)), images, [parameters]), images)


def test_a_pipeline_comes_back_from_its_options():
    """The depth as a list."""
    pipeline = Pipeline(steps=(AugMix(depth=(2, 3), alpha=0.5, border="reflect"),))
    assert to_dict(pipeline)["step"] == [
        {"transform": "augmix", "depth": [2, 3], "alpha": 0.5, "border": "reflect"}
    ]
    assert from_dict(to_dict(pipeline)) == pipeline
    assert canonical_text(from_canonical_text(canonical_text(pipeline))) == canonical_text(pipeline)


@pytest.mark.parametrize("options", [
    {"severity": 0}, {"severity": 11}, {"severity": 2.5}, {"width": 6}, {"width": True},
    {"depth": (0, 2)}, {"depth": (1, 4)}, {"depth": (1.0, 2)}, {"depth": 2}, {"alpha": 0.01},
    {"alpha": 9}, {"all_ops": 1}, {"border": "mirror"}, {"level": 256}, {"interpolation": "cubic"},
])  # fmt: skip
def test_options_outside_their_interval_are_refused(options):
    """By name."""
    with pytest.raises(ParameterError, match=f"augmix.{next(iter(options))}: expected"):
        AugMix(**options)


@pytest.mark.parametrize(("step", "facts", "severity", "words"), [
    (AugMix(border="reflect", level=9), {}, "warning", "never seen"),
    (AugMix(severity=1), {}, "warning", "severity = 1 changes nothing"),
    (AugMix(), {"dtype": "float32"}, "error", "whole levels"),
])  # fmt: skip
def test_check_says_what_is_doubtful(step, facts, severity, words):
    """And nothing of the defaults."""
    found = diagnose(Pipeline(steps=(step,)), **facts)
    assert [(f.severity, words in f.message) for f in found] == [(severity, True)]
    assert diagnose(Pipeline(steps=(AugMix(),))) == []
