"""Steps that hold steps: who gets what, under which key, and what files may say."""

import tomllib

import numpy as np
import pytest

from pipelines import fingerprint, from_dict, to_dict
from pipelines.colour import Hue, Saturation
from pipelines.composition import OneOf, Sequence
from pipelines.errors import ParameterError, PipelineFileError
from pipelines.geometric import Crop, HorizontalFlip, Rotation, Zoom
from pipelines.mixing import Cutmix, Mixup
from pipelines.occlusion import Erasing
from pipelines.photometric import Brightness, Gamma, Invert, KerasChannelShift
from pipelines.pipeline import Pipeline
from pipelines.resizing import Resize
from pipelines.serialization import canonical_text, from_canonical_text
from pipelines.transform import ACTIVE, Canvas
from tests.golden.pipelines_cases import sample_ids, synthetic

NESTED = """
[[step]]
transform = "one_of"
probability = 0.5
weights = [1, 0.5]
[[step.steps]]
transform = "rotation"
max_deg = 9
[[step.steps]]
transform = "sequence"
[[step.steps.steps]]
transform = "zoom"
by = 0.1
[[step.steps.steps]]
transform = "erasing"
area = [0.1, 0.2]
id = "hole"
"""


def nested():
    """The pipeline of the file above."""
    pair = Sequence(steps=(Zoom(by=0.1), Erasing(area=(0.1, 0.2), id="hole")))
    steps = (Rotation(max_deg=9), pair)
    return Pipeline(steps=(OneOf(steps=steps, weights=(1, 0.5), probability=0.5),))


def drawn(pipeline, count=1000):
    """Parameters by key, of many addresses."""
    ids = np.random.default_rng(2).integers(0, 256, (count, 16), dtype=np.uint8)
    canvas = Canvas(np.full(count, 20), np.full(count, 30))
    return dict(zip(pipeline.step_keys, pipeline.parameters(pipeline.draw(7, ids, 0), canvas),
                    strict=True))  # fmt: skip


def words_by_name(pipeline):
    """Each word's column at some addresses."""
    columns = pipeline.draw(7, sample_ids(5), 3).T.tolist()
    return dict(zip(pipeline.word_names, columns, strict=True))


def test_a_file_may_nest_steps():
    """TOML's arrays of tables, as deep as one likes."""
    assert from_dict(tomllib.loads(NESTED)) == nested()


def test_nested_steps_come_back_from_plain_data_and_from_their_canonical_text():
    """Equal in value and fingerprint, defaults left out."""
    again = from_dict(to_dict(nested()))
    assert again == nested()
    stored = from_canonical_text(canonical_text(nested()))
    assert fingerprint(again) == fingerprint(stored) == fingerprint(nested())
    assert to_dict(nested())["step"][0]["steps"][0] == {"transform": "rotation", "max_deg": 9}


def test_the_fingerprint_sees_what_is_inside():
    """A parameter, a weight, the order."""
    one, two = Rotation(max_deg=9), Zoom(by=0.1)
    kinds = [
        OneOf(steps=(one, two)), OneOf(steps=(two, one)), OneOf(steps=(one, two), weights=(1, 2)),
        OneOf(steps=(Rotation(max_deg=8), two)), Sequence(steps=(one, two)),
        OneOf(steps=(one, two), probability=0.5),
    ]  # fmt: skip
    assert len({fingerprint(Pipeline(steps=(step,))) for step in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("inner", "error", "said"),
    [
        ([{"transform": "rotatoin"}], PipelineFileError,
         r"step 1 \(one_of\), step 1: transform: .*did you mean 'rotation'"),
        ([{"transform": "rotation", "max_dg": 1}], PipelineFileError,
         r"step 1 \(one_of\), step 1 \(rotation\): unknown key 'max_dg', did you mean 'max_deg'"),
        ([{"transform": "invert"}, {"transform": "zoom"}], PipelineFileError,
         r"step 1 \(one_of\), step 2 \(zoom\): expected 'by'"),
        ([{"transform": "rotation", "max_deg": 999}], ParameterError,
         r"step 1 \(one_of\), step 1: rotation\.max_deg"),
        ({"transform": "invert"}, PipelineFileError, r"\[\[step\.steps\]\] table for each"),
        ([3], PipelineFileError, r"\[\[step\.steps\]\] table for each"),
        ([], ParameterError, r"one_of\.steps: expected at least one step"),
    ],
)  # fmt: skip
def test_errors_inside_containers_say_where(inner, error, said):
    """Container and place, as deep as it is."""
    with pytest.raises(error, match=said):
        from_dict({"step": [{"transform": "one_of", "steps": inner}]})


def test_a_container_without_steps_is_refused():
    """Also from a file that forgets them."""
    with pytest.raises(PipelineFileError, match=r"step 1 \(sequence\): expected 'steps'"):
        from_dict({"step": [{"transform": "sequence"}]})
    with pytest.raises(ParameterError, match=r"\[\[step\.steps\]\] tables"):
        Sequence(steps=())


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3), (1, -1), (0, 0), (1, float("nan"))])
def test_weights_must_be_one_for_each_step_and_not_all_zero(weights):
    """Two steps, two numbers."""
    with pytest.raises(ParameterError, match=r"one_of\.weights: expected 2 numbers"):
        OneOf(steps=(Invert(), Rotation(max_deg=1)), weights=weights)


def test_keys_are_behind_the_containers_key():
    """Numbered among equals of one container; an id stands for itself."""
    inner = (Zoom(by=0.1), Zoom(by=0.2), Zoom(by=0.3, id="mine"), Sequence(steps=(Invert(),)))
    steps = (
        Zoom(by=0.1),
        OneOf(steps=inner),
        OneOf(steps=inner[:1]),
        OneOf(id="x", steps=inner[:1]),
    )
    assert Pipeline(steps=steps).step_keys == (
        "zoom", "one_of", "one_of.zoom", "one_of.zoom#2", "mine", "one_of.sequence",
        "one_of.sequence.invert", "one_of#2", "one_of#2.zoom", "x", "x.zoom",
    )  # fmt: skip


def test_equal_ids_are_refused_however_deep():
    """Two steps with one key would draw the same."""
    steps = (Zoom(by=0.1, id="a"), Sequence(steps=(OneOf(steps=(Invert(id="a"),)),)))
    with pytest.raises(PipelineFileError, match="step id 'a': expected once, got it twice"):
        Pipeline(steps=steps)


def test_a_step_that_is_moved_into_a_container_keeps_its_draws():
    """With an id of its own; it draws whether it is chosen or not."""
    erasing = Erasing(area=(0.1, 0.2), id="hole")
    outside = words_by_name(Pipeline(steps=(erasing,)))
    inside = words_by_name(nested())
    assert outside.items() <= inside.items()


def test_leaving_out_a_neighbour_changes_no_other_draw():
    """Every step draws under its own key."""
    rotation, zoom = Rotation(max_deg=9), Zoom(by=0.1)
    both = words_by_name(Pipeline(steps=(OneOf(steps=(rotation, zoom)), Gamma(power=(1, 2)))))
    one = words_by_name(Pipeline(steps=(OneOf(steps=(rotation,)), Gamma(power=(1, 2)))))
    assert one.items() <= both.items()


@pytest.mark.parametrize("weights", [None, (1, 3, 0), (0.2, 0.2, 0.6), (0, 0, 5)])
def test_one_of_chooses_by_weight(weights):
    """Exactly one step for each image, as often as its weight says, within binomial bounds."""
    inner = (Rotation(max_deg=9), Invert(), Hue(max_deg=9))
    parameters = drawn(Pipeline(steps=(OneOf(steps=inner, weights=weights),)), 4000)
    masks = np.array([parameters[f"one_of.{step.name}"][ACTIVE] for step in inner])
    assert (masks.sum(axis=0) == 1).all()
    share = np.array(weights or (1, 1, 1)) / sum(weights or (1, 1, 1))
    bound = 5 * np.sqrt(4000 * share * (1 - share))
    assert (np.abs(masks.sum(axis=1) - 4000 * share) <= bound).all()


def test_a_step_without_weight_is_never_chosen():
    """Not even by the smallest or the largest word."""
    step = OneOf(steps=(Invert(), Zoom(by=0.1), Hue(max_deg=9)), weights=(0, 0.1, 0))
    words = np.array([[0], [2**32 - 1]], np.uint32)
    assert step.draw(words, Canvas(np.ones(2), np.ones(2)))["chosen"].tolist() == [1.0, 1.0]


def test_a_spared_container_spares_all_it_holds():
    """However deep, and however its steps would have drawn."""
    parameters = drawn(nested())
    outer = parameters["one_of"][ACTIVE] != 0
    chosen = parameters["one_of"]["chosen"]
    for key, number in (("one_of.rotation", 0), ("one_of.sequence", 1)):
        np.testing.assert_array_equal(parameters[key][ACTIVE] != 0, outer & (chosen == number))
    inside = parameters["one_of.sequence"][ACTIVE] != 0
    np.testing.assert_array_equal(parameters["one_of.sequence.zoom"][ACTIVE] != 0, inside)
    hole = parameters["hole"][ACTIVE] != 0
    assert not (hole & ~inside).any()
    assert abs(hole[inside].mean() - 0.5) < 0.2  # its own probability


def test_an_image_gets_the_step_that_was_chosen_for_it():
    """Byte for byte what that step makes of it alone, by the same draws."""
    inner = (HorizontalFlip(probability=1, id="f"), Saturation(factor=(0, 3), id="s"),
             Brightness(factor=(0.5, 1.5), id="b"))  # fmt: skip
    images, ids = synthetic(40, 9, 12, 3), sample_ids(40)
    pipeline = Pipeline(steps=(OneOf(steps=inner),))
    where = {"seed": 7, "sample_ids": ids, "copies": 3}
    result = pipeline.apply(images, **where)
    canvas = Canvas(np.full(40, 9), np.full(40, 12))
    chosen = pipeline.parameters(pipeline.draw(7, ids, 3), canvas)[0]["chosen"]
    for number, step in enumerate(inner):
        rows = np.flatnonzero(chosen == number)
        assert len(rows) > 5
        alone = Pipeline(steps=(step,)).apply(images, **where)
        np.testing.assert_array_equal(result[rows], alone[rows])


def test_a_sequence_that_always_happens_is_its_steps():
    """The same bytes as without it, for steps with ids."""
    inner = (Rotation(max_deg=20, id="r"), Brightness(factor=(0.5, 1.5), id="b"), Invert(id="i"))
    images = synthetic(6, 15, 11, 3)
    where = {"seed": 1, "sample_ids": sample_ids(6), "copies": 0}
    held = Pipeline(steps=(Sequence(steps=inner),)).apply(images, **where)
    np.testing.assert_array_equal(held, Pipeline(steps=inner).apply(images, **where))


@pytest.mark.parametrize(
    "step", [Crop(height=4, width=4), KerasChannelShift(by=4)], ids=lambda step: step.name
)
def test_what_must_happen_to_every_image_is_refused_inside(step):
    """One batch has one size; what Keras clips, it clips of every image."""
    with pytest.raises(PipelineFileError, match=rf"sequence\.{step.name}: expected outside of seq"):
        Pipeline(steps=(Sequence(steps=(step,)),))


def test_a_resize_inside_is_refused():
    """It is the same for every copy."""
    with pytest.raises(PipelineFileError, match=r"sequence\.resize: expected"):
        Pipeline(steps=(Sequence(steps=(Resize(height=4, width=4),)),))


def test_two_mixing_steps_must_be_alternatives():
    """An image has one partner."""
    Pipeline(steps=(OneOf(steps=(Mixup(), Cutmix(), Invert())),))
    with pytest.raises(PipelineFileError, match="expected one step that mixes, or several in one"):
        Pipeline(steps=(Mixup(), Cutmix()))
    with pytest.raises(PipelineFileError, match="put them into a one_of"):
        Pipeline(steps=(Sequence(steps=(Mixup(), Cutmix())),))
    with pytest.raises(PipelineFileError, match="put them into a one_of"):
        Pipeline(steps=(OneOf(steps=(Mixup(), Invert())), Cutmix()))
