"""RandAugment and TrivialAugment: what is drawn, how often, for whom, and what is stored."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from pipelines.diagnosis import diagnose
from pipelines.errors import ParameterError, PipelineFileError
from pipelines.geometric import Rotation
from pipelines.operations import IDENTITY, PolicyTone, Scale, picked
from pipelines.pipeline import Pipeline
from pipelines.policies import RandAugment, TrivialAugment
from pipelines.serialization import (
    canonical_text,
    fingerprint,
    from_canonical_text,
    from_dict,
    to_dict,
)
from pipelines.stages import Applied, Fused
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import synthetic

MANY = 28_000
IDLE = {"brightness": 1, "bits": 8, "threshold_levels": 256, "saturation": 1, "contrast": 1,
        "sharpness": 1}  # fmt: skip


def many_ids(count=MANY):
    return np.random.default_rng(6).integers(0, 256, (count, 16), dtype=np.uint8)


def drawn(step, count=MANY, side=331):
    """All parameters of many addresses."""
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, side), np.full(count, side))
    return pipeline.parameters(pipeline.draw(3, many_ids(count), 1), canvas)


def operations_of(parameters):
    """(n,) the name of what one container did to each image; ``identity`` where nothing."""
    names = np.full(len(parameters[0]["step"]), "identity", dtype="U20")
    for values in parameters[1:]:
        for name, column in values.items():
            if name != "active":
                names[(values["active"] != 0) & (column != IDLE.get(name, 0))] = name
    return names


def near(count, probability, total=MANY):
    """Within five standard deviations of a binomial."""
    return abs(count - total * probability) <= 5 * np.sqrt(total * probability * (1 - probability))


@pytest.mark.parametrize("number", [0, 1])
def test_each_operation_is_drawn_as_often_as_the_others(number):
    """Fourteen of them, in each place of a rand_augment."""
    parameters = drawn(RandAugment())[1 + 4 * number :][:4]
    names, counts = np.unique(operations_of(parameters), return_counts=True)
    assert len(names) == 14
    assert all(near(count, 1 / 14) for count in counts)


def test_each_operation_of_a_trivial_augment_is_drawn_as_often_as_the_others():
    """Magnitudes at which it does nothing aside."""
    parameters = drawn(TrivialAugment())[1:]
    names, counts = np.unique(operations_of(parameters), return_counts=True)
    counts = dict(zip(names.tolist(), counts.tolist(), strict=True))
    assert near(counts["equalize"], 1 / 14)
    for name in ("shear_x", "shift_y_px", "angle_deg", "contrast"):
        assert near(counts[name], 30 / 31 / 14)


def test_each_magnitude_and_sign_is_drawn_as_often_as_the_others():
    """31 magnitudes of a turn, 30 of them with a sign."""
    turned = drawn(TrivialAugment())[2]
    angles = np.rint(turned["angle_deg"] / 4.5).astype(int)
    total = MANY * 30 / 31 / 5
    values, counts = np.unique(angles[angles != 0], return_counts=True)
    assert values.tolist() == [*range(-30, 0), *range(1, 31)]
    assert all(near(count, 1 / 60, total) for count in counts)


def test_the_magnitude_0_is_among_those_drawn():
    """Each of 31, once with either sign."""
    levels = TrivialAugment().steps[0].scale.level(np.arange(62))
    assert sorted(levels.tolist()) == sorted([*range(31), *range(-30, 1)])


def test_operations_of_one_image_do_not_depend_on_each_other():
    """All 196 pairs as often as one pair in 196."""
    parameters = drawn(RandAugment())
    pairs = np.char.add(operations_of(parameters[1:5]), operations_of(parameters[5:9]))
    names, counts = np.unique(pairs, return_counts=True)
    assert len(names) == 196
    assert all(near(count, 1 / 196) for count in counts)


def test_a_batch_gets_many_sets_of_operations():
    """One for each image, not one for all (which a library's layer of that name draws)."""
    parameters = drawn(RandAugment(), count=32)
    assert len(set(operations_of(parameters[1:5]).tolist())) > 6


@pytest.mark.parametrize("policy", [RandAugment(num_ops=3, magnitude=20), TrivialAugment()])
def test_an_image_does_not_depend_on_its_batch(policy):
    """Alone, in another order, in the whole."""
    images, ids = synthetic(24, 20, 28, 3), many_ids(24)
    pipeline = Pipeline(steps=(policy,), border="constant")
    whole = pipeline.apply(images, seed=3, sample_ids=ids, copies=4)
    order = np.random.default_rng(0).permutation(24)
    again = pipeline.apply(images[order], seed=3, sample_ids=ids[order], copies=4)
    np.testing.assert_array_equal(again, whole[order])
    for row in range(24):
        alone = pipeline.apply([images[row]], seed=3, sample_ids=ids[row : row + 1], copies=4)
        np.testing.assert_array_equal(alone[0], whole[row])


def test_identity_leaves_the_image():
    """Byte for byte."""
    images, ids = synthetic(100, 20, 28, 3), many_ids(100)
    pipeline = Pipeline(steps=(RandAugment(num_ops=1, magnitude=30),))
    same = drawn(RandAugment(num_ops=1, magnitude=30), count=100)[1]["step"] == 3
    out = pipeline.apply(images, seed=3, sample_ids=ids, copies=1)
    assert same.sum() > 2
    np.testing.assert_array_equal(out[same], images[same])


def test_magnitude_0_leaves_all_images_but_those_of_three_operations():
    """Solarize takes white to black, autocontrast and equalize have no magnitude."""
    images, ids = synthetic(300, 20, 28, 3, low=20, high=180), many_ids(300)
    step = RandAugment(num_ops=1, magnitude=0)
    did = operations_of(drawn(step, count=300, side=24)[1:])
    out = Pipeline(steps=(step,)).apply(images, seed=3, sample_ids=ids, copies=1)
    is_changed = (out != images).any(axis=(1, 2, 3))
    assert set(did[is_changed]) == {"autocontrast", "equalize"}
    assert (~is_changed).sum() > 200
    white = PolicyTone(scale=step.steps[0].scale).tone({
        "brightness": np.ones(1), "bits": np.full(1, 8.0), "threshold_levels": np.full(1, 255.0)
    }).levels[0]  # fmt: skip
    assert white.tolist() == [*range(255), 0]


def test_few_words_are_stored():
    """At 28×28×1 they take no more than 5 % of the pixels."""
    assert len(Pipeline(steps=(RandAugment(),)).word_names) == 8
    assert len(Pipeline(steps=(TrivialAugment(),)).word_names) == 4


def test_an_operation_is_two_stages():
    """Moves and tones fuse with what stands before; finishes act on the images they change."""
    pipeline = Pipeline(steps=(Rotation(max_deg=10), RandAugment()))
    count = 280
    canvas = Canvas(np.full(count, 20), np.full(count, 20))
    parameters = pipeline.parameters(pipeline.draw(3, many_ids(count), 1), canvas)
    stages = pipeline.lower(parameters, canvas, 3)
    assert [type(stage) for stage in stages] == [Fused, Applied, Fused, Applied]
    assert all(near(len(stages[place].rows), 5 / 14, count) for place in (1, 3))
    assert near(len(stages[2].rows), 8 / 14, count)


@pytest.mark.parametrize("step", [
    RandAugment(), RandAugment(num_ops=1, magnitude=3, num_magnitude_bins=11, probability=0.5),
    TrivialAugment(), TrivialAugment(num_magnitude_bins=5, id="mine"),
])  # fmt: skip
def test_only_the_options_of_the_user_are_stored(step):
    """And the pipeline comes back from them."""
    pipeline = Pipeline(steps=(step,))
    stored = to_dict(pipeline)["step"][0]
    assert "steps" not in stored
    assert "scale" not in str(stored)
    assert from_dict(to_dict(pipeline)) == pipeline
    again = from_canonical_text(canonical_text(pipeline))
    assert fingerprint(again) == fingerprint(pipeline)
    assert again.step_keys == pipeline.step_keys
    assert again.steps[0].steps == step.steps


def test_a_policy_in_a_file_takes_no_steps():
    """They follow from its options."""
    text = '[[step]]\ntransform = "rand_augment"\nsteps = []'
    with pytest.raises(PipelineFileError, match="unknown key 'steps'"):
        from_dict(tomllib.loads(text))


def test_other_options_are_another_pipeline():
    """The fingerprint knows them."""
    step = RandAugment()
    others = [replace(step, num_ops=3), replace(step, magnitude=8),
              replace(step, num_magnitude_bins=30), TrivialAugment()]  # fmt: skip
    prints = {fingerprint(Pipeline(steps=(one,))) for one in (step, *others)}
    assert len(prints) == 5


@pytest.mark.parametrize(("options", "message"), [
    ({"num_ops": 0}, r"rand_augment\.num_ops: expected a whole number in \[1, 8\], got 0"),
    ({"num_ops": 2.0}, "num_ops"),
    ({"magnitude": 31}, r"magnitude: expected a whole number in \[0, 30\]"),
    ({"magnitude": -1}, "magnitude"),
    ({"num_magnitude_bins": 1}, "num_magnitude_bins"),
    ({"num_magnitude_bins": True}, "num_magnitude_bins"),
])  # fmt: skip
def test_options_outside_their_interval_are_refused(options, message):
    """With the interval."""
    with pytest.raises(ParameterError, match=message):
        RandAugment(**options)


def test_bits_are_rounded_as_torch_rounds():
    """Halves to the even number, for every number of magnitudes."""
    for highest in range(1, 65):
        for bits in ((8, 4), (8, 6), (4, 4)):
            scale = Scale(highest=highest, drawn=(0, highest), shear=0, shift=(0, 1), bits=bits,
                          shifts_by_side=False, angle_deg=0, factor=0)  # fmt: skip
            levels = np.arange(highest + 1)
            found = PolicyTone(scale=scale).parameters(np.full(highest + 1, 6), levels)["bits"]
            assert found.tolist() == [bits[0] - round(i / highest * bits[1]) for i in levels]


def test_a_shift_is_the_whole_pixels_of_the_exact_product():
    """At 331 pixels the paper's 150 pixels are 150; products of floats may miss that."""
    for magnitude in range(31):
        step = RandAugment(num_ops=1, magnitude=magnitude)
        for factor in (1, 10):
            shifts = drawn(step, count=60, side=331 * factor)[2]["shift_x_px"]
            assert set(np.abs(shifts).tolist()) == {0.0, 5.0 * factor * magnitude}


def test_picks_reach_both_ends_and_no_further():
    """The first and the last word."""
    words = np.array([0, 2**32 - 1], np.uint32)
    for choices in (1, IDENTITY, 2**31 - 1):
        assert picked(words, choices).tolist() == [0, choices - 1]


@pytest.mark.parametrize(("step", "facts", "severity", "words"), [
    (RandAugment(magnitude=0), {}, "warning", "magnitude = 0 changes nothing"),
    (RandAugment(num_ops=5), {}, "question", "5 operations"),
    (RandAugment(), {"dtype": "float32"}, "error", "whole levels"),
    (RandAugment(), {"channels": 4}, "question", "fourth channel"),
    (TrivialAugment(), {"dtype": "float32"}, "error", "whole levels"),
    (TrivialAugment(), {"sizes": [(32, 48)]}, "question", "32 pixels, the smallest side has 32"),
    (TrivialAugment(), {"class_names": list("0123456789")}, "question", "135°"),
])  # fmt: skip
def test_check_says_what_is_doubtful(step, facts, severity, words):
    """Once, of the policy and not of the steps it makes."""
    found = diagnose(Pipeline(steps=(step,)), **facts)
    assert [(f.severity, words in f.message) for f in found] == [(severity, True)]
    assert found[0].where == f"step 1 ({step.name})"


@pytest.mark.parametrize("step", [RandAugment(), TrivialAugment()])
def test_check_is_content_with_the_defaults(step):
    """For photographs."""
    assert diagnose(Pipeline(steps=(step,)), sizes=[(224, 224)], channels=3) == []
