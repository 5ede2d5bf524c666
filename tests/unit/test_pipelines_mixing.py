"""Mixing against the papers' formulas, and its Beta quantiles against SciPy's."""

import numpy as np
import pytest
from scipy.stats import beta, kstest

from pipelines.beta import ONE, beta_digest, beta_quantiles, beta_weights
from pipelines.composition import OneOf
from pipelines.contract import pack
from pipelines.errors import ParameterError
from pipelines.geometric import Crop, HorizontalFlip, Rotation
from pipelines.mixing import Cutmix, Mixup
from pipelines.occlusion import Erasing
from pipelines.pipeline import Pipeline
from pipelines.rendering import Companions, Partners, Pool
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import sample_ids, synthetic

ALPHAS = [0.05, 0.1, 0.2, 0.4, 0.5, 1.0, 1.7, 4.0, 8.0]


def mixed(step, images, partners, parameters, *, plain=False):
    """One mixing step alone."""
    result = images.copy()
    step.run(result, partners, parameters, plain=plain)
    return result


def drawn(step, height, width, count=5000):
    ids = np.random.default_rng(1).integers(0, 256, (count, 16), dtype=np.uint8)
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, height), np.full(count, width))
    return pipeline.parameters(pipeline.draw(3, ids, 0), canvas)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_quantiles_are_scipys(alpha):
    """Within the rounding to 2**-16, at every tabulated place."""
    exact = beta.ppf(np.arange(1025) / 1024, alpha, alpha)
    assert np.abs(beta_quantiles(alpha) / ONE - exact).max() <= 2**-16


@pytest.mark.parametrize("alpha", ALPHAS)
def test_quantiles_are_symmetric_and_rise(alpha):
    """From 0 by 1/2 to 1."""
    table = beta_quantiles(alpha)
    assert (np.diff(table) >= 0).all()
    np.testing.assert_array_equal(table + table[::-1], ONE)
    assert (table[0], table[512], table[1024]) == (0, ONE // 2, ONE)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_distributed_as_beta(alpha):
    """By the largest distance of the distribution functions; at most 1/1024 is not chance."""
    words = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    weights = beta_weights(words, alpha) / ONE
    # Small alphas put a visible share of weights at multiples of 2**-16 next to 0 and 1.
    distance = kstest(weights[(weights > 0) & (weights < 1)], beta(alpha, alpha).cdf).statistic
    assert distance < 1.63 / np.sqrt(len(weights)) + (0.06 if alpha < 1 else 1 / 1024)


def test_the_uniform_distribution_is_the_word():
    """Alpha 1: the upper 16 bits."""
    words = np.array([0, 1 << 16, 1 << 31, 2**32 - 1], np.uint32)
    assert beta_weights(words, 1.0).tolist() == [0, 1, ONE // 2, ONE - 1]


def test_the_table_is_what_it_was():
    """Who is hurt when this fails: whoever extends a mixed data set."""
    assert beta_digest(0.2)[:16] == "4fec0dca81176fcd"
    assert beta_digest(1.0)[:16] == "a29e068850cb5517"


@pytest.mark.parametrize("plain", [False, True])
def test_mixup_is_the_papers_formula(plain):
    """weight · image + (1 − weight) · partner, within rounding of double precision."""
    step = Mixup(alpha=0.4)
    images, partners = synthetic(64, 7, 9, 3), synthetic(64, 7, 9, 3)[::-1].copy()
    parameters = {"weight": drawn(step, 7, 9, 64)[0]["weight"]}
    found = mixed(step, images, partners, parameters, plain=plain)
    weight = parameters["weight"][:, None, None, None]
    exact = weight * images + (1 - weight) * partners
    assert np.abs(found - exact).max() <= 0.5
    assert len(np.unique(weight)) > 50


@pytest.mark.parametrize(("weight", "which"), [(1.0, 0), (0.0, 1)])
def test_the_ends_of_mixup_are_the_images(weight, which):
    """Byte for byte."""
    images = synthetic(2, 5, 5, 3)
    found = mixed(Mixup(), images[:1], images[1:], {"weight": np.array([weight])})
    np.testing.assert_array_equal(found[0], images[which])


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (7, 50), (1, 1)])
def test_cutmix_weighs_the_label_by_the_area_that_is_left(alpha, height, width):
    """The share of pixels that are the image's own, in single precision."""
    step = Cutmix(alpha=alpha)
    p = drawn(step, height, width, 200)[0]
    ones = np.ones((200, height, width, 1), np.uint8)
    found = mixed(step, ones, np.zeros_like(ones), p)
    left = found.reshape(200, -1).mean(axis=1)
    np.testing.assert_array_equal(p["weight"], left.astype(np.float32).astype(np.float64))


def test_cutmix_rectangles_are_the_papers():
    """Sides √(1 − λ) of the image's about a uniform centre, cut at the sides (section 3.1)."""
    p = drawn(Cutmix(), 60, 90)[0]
    words = Pipeline(steps=(Cutmix(),)).draw(
        3, np.random.default_rng(1).integers(0, 256, (5000, 16), dtype=np.uint8), 0
    )
    share = np.sqrt(1 - beta_weights(words[:, 2], 1.0) / ONE)
    for axis, limit, two in (("x", 90, words[:, 3:5]), ("y", 60, words[:, 5:7])):
        side = np.floor(share * limit)
        centre = np.floor(two[:, 0] / 2**32 * limit)
        begin = np.clip(centre - side // 2, 0, limit)
        end = np.clip(centre - side // 2 + side, 0, limit)
        assert (np.abs(p[f"begin_{axis}_px"] - begin) <= 1).all()
        assert (p[f"begin_{axis}_px"] == begin).mean() > 0.999
        assert (p[f"end_{axis}_px"] == end).mean() > 0.999


def test_cutmix_copies_the_partners_rectangle():
    """Into the same place."""
    images = synthetic(2, 6, 8, 3)
    box = {"begin_x_px": [2.0], "begin_y_px": [1.0], "end_x_px": [5.0], "end_y_px": [6.0]}
    p = {name: np.array(value) for name, value in box.items()}
    found = mixed(Cutmix(), images[:1], images[1:], p)[0]
    expected = images[0].copy()
    expected[1:6, 2:5] = images[1][1:6, 2:5]
    np.testing.assert_array_equal(found, expected)


def test_partners_are_drawn_uniformly_from_the_pool():
    """An image may be its own; the pool's order is its numbering."""
    pipeline = Pipeline(steps=(Mixup(),))
    rows = pipeline.mixes(drawn(Mixup(), 4, 4)).partner_rows(7)
    counts = np.bincount(rows, minlength=7)
    assert len(counts) == 7
    assert np.abs(counts - 5000 / 7).max() < 5 * np.sqrt(5000 / 7)


def test_a_partner_is_augmented_at_its_own_address_by_the_steps_before():
    """With the same copy number; steps behind the mixing one act on the mixture."""
    before, after = Rotation(max_deg=30, id="r"), Erasing(probability=1, id="e")
    images, ids = synthetic(5, 12, 9, 3), sample_ids(5)
    where = {"seed": 4, "copies": 6}
    turned = Pipeline(steps=(before,)).apply(images, sample_ids=ids, **where)
    whole = Pipeline(steps=(before, Mixup(id="m"), after))
    found = whole.apply(images, sample_ids=ids, pool=Pool(images, ids), **where)
    canvas = Canvas(np.full(5, 12), np.full(5, 9))
    parameters = whole.parameters(whole.draw(4, ids, 6), canvas)
    mixes = whole.mixes(parameters)
    mixture = mixed(Mixup(), turned, turned[mixes.partner_rows(5)], parameters[1])
    after.run(mixture, parameters[2], plain=True)
    np.testing.assert_array_equal(found, mixture)


MIXED = {
    "mixup": (Rotation(max_deg=30), Mixup(), Erasing()),
    "cutmix": (Erasing(), Cutmix(probability=0.5), Rotation(max_deg=30)),
    "either": (Rotation(max_deg=9), OneOf(steps=(Mixup(), Cutmix(), Erasing())), HorizontalFlip()),
    "with a step between": (OneOf(steps=(Mixup(), Erasing(probability=1), Cutmix())),),
}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("steps", MIXED.values(), ids=MIXED)
def test_images_mixed_with_each_other_are_those_mixed_with_copies(steps, plain):
    """Companions are a shorter way to the same bytes, also where nothing is left to shorten."""
    pipeline = Pipeline(steps=steps, border="reflect")
    images, ids = synthetic(40, 13, 9, 3), sample_ids(40)
    canvas = Canvas(np.full(40, 13), np.full(40, 9))
    drawn = pipeline.parameters(pipeline.draw(4, ids, 6), canvas)
    rows = pipeline.mixes(drawn).partner_rows(40)
    apart, together = np.empty_like(images), np.empty_like(images)
    copies = Partners(
        pack(images[rows]), pipeline.parameters(pipeline.draw(4, ids[rows], 6), canvas)
    )
    pipeline.render(drawn, pack(images), apart, partners=copies, plain=plain)
    pipeline.render(drawn, pack(images), together, partners=Companions(rows), plain=plain)
    assert not np.array_equal(apart, images)
    np.testing.assert_array_equal(together, apart)


def test_images_of_several_sizes_are_mixed_with_each_other():
    """Cut to one size before they are mixed."""
    pipeline = Pipeline(steps=(Crop(height=8, width=8), Mixup()))
    images, ids = [*synthetic(3, 12, 9, 3), *synthetic(3, 9, 12, 3)], sample_ids(6)
    where = {"sample_ids": ids, "seed": 4, "copies": 6}
    together = pipeline.apply(images, pool=Pool(images, ids), **where)
    apart = pipeline.apply(images, pool=Pool(list(images), ids), **where)
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("step", [Mixup(), Cutmix()])
@pytest.mark.parametrize("plain", [False, True])
def test_a_partner_that_is_not_made_would_not_be_seen(step, plain):
    """Whatever its pixels are; about one in six of mixup's weights is that near to 1."""
    parameters = drawn(step, 6, 8, 400)[0]
    images = synthetic(400, 6, 8, 3)
    unseen = ~step.shows_partner(parameters)
    for level in (0, 255):
        found = mixed(step, images, np.full_like(images, level), parameters, plain=plain)
        np.testing.assert_array_equal(found[unseen], images[unseen])
    assert isinstance(step, Cutmix) or 0.05 < unseen.mean() < 0.3


def test_images_that_are_not_mixed_keep_their_label():
    """Weight 1 and no partner, as often as the probability leaves them."""
    pipeline = Pipeline(steps=(Mixup(probability=0.5),))
    mixes = pipeline.mixes(drawn(Mixup(probability=0.5), 4, 4))
    assert abs(mixes.is_mixed.mean() - 0.5) < 5 * 0.5 / np.sqrt(5000)
    assert (mixes.weight[~mixes.is_mixed] == 1).all()
    assert mixes.weight.dtype == np.float32


def test_a_pipeline_without_a_mixing_step_has_no_mixes():
    """Nothing is to be stored beside the labels."""
    pipeline = Pipeline(steps=(Rotation(max_deg=3),))
    assert pipeline.mixes(drawn(Rotation(max_deg=3), 4, 4, 3)) is None


def test_partners_are_taken_with_their_images():
    """Row by row."""
    images = synthetic(3, 4, 4, 1)
    partners = Partners(pack(images), [{"weight": np.arange(3.0)}])
    some = partners.take(np.array([2, 0]))
    assert some.parameters[0]["weight"].tolist() == [2.0, 0.0]
    np.testing.assert_array_equal(some.images.image(0), images[2])


@pytest.mark.parametrize("kind", [Mixup, Cutmix])
@pytest.mark.parametrize("alpha", [0.0, 0.04, 8.1, float("nan"), "1", True])
def test_alphas_without_a_table_are_refused(kind, alpha):
    """Naming the interval."""
    with pytest.raises(ParameterError, match=rf"{kind.name}\.alpha: expected a number in \[0.05"):
        kind(alpha=alpha)
