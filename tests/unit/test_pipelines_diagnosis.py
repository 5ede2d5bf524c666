"""What `diagnose` says, and when it keeps quiet."""

import numpy as np
import pytest

from pipelines import load, preset_names
from pipelines.diagnosis import Finding, diagnose
from pipelines.errors import ParameterError
from pipelines.geometric import (
    Crop,
    HeightShift,
    HorizontalFlip,
    ResizedCrop,
    Rotation,
    Shear,
    VerticalFlip,
    WidthShift,
    Zoom,
)
from pipelines.photometric import (
    Brightness,
    ChannelShift,
    Contrast,
    Gamma,
    KerasBrightness,
    KerasChannelShift,
)
from pipelines.pipeline import Pipeline
from pipelines.resizing import Resize

DIGITS = [str(number) for number in range(10)]


def findings(*steps, options=None, **facts):
    """Severity and message of everything found."""
    found = diagnose(Pipeline(steps=steps, **(options or {})), **facts)
    return [(finding.severity, finding.message) for finding in found]


@pytest.mark.parametrize(
    "step",
    [
        Rotation(max_deg=0),
        Shear(max_deg=0),
        WidthShift(by=0.0),
        WidthShift(by=1),
        HeightShift(by=[0, 0.0]),
        Zoom(by=0.0),
        Zoom(by=[1, 1]),
        HorizontalFlip(probability=0),
        VerticalFlip(probability=0.0),
        ChannelShift(by=0.2),
        KerasChannelShift(by=0.49),
        Brightness(factor=(1, 1)),
        Brightness(factor=(0.9985, 1.0015)),
        KerasBrightness(factor=(1, 1)),
        Contrast(factor=(1, 1)),
        Gamma(power=(1, 1)),
        Gamma(power=(0.9999, 1.0001)),
    ],
)
def test_a_step_that_changes_nothing_is_a_warning(step):
    """The channel shift of 0.2 on 0-255 pixels, ranges of [1, 1], angles of 0."""
    assert [severity for severity, _ in findings(step)] == ["warning"]
    assert "changes nothing" in findings(step)[0][1]


@pytest.mark.parametrize(
    "step",
    [
        Rotation(max_deg=1),
        Shear(max_deg=1),
        WidthShift(by=0.1),
        WidthShift(by=2),
        HeightShift(by=[0, 0.1]),
        Zoom(by=0.01),
        HorizontalFlip(),
        ChannelShift(by=0.5),
        Brightness(factor=(0.9, 1.1)),
        KerasBrightness(factor=(0.9, 1.1)),
        Contrast(factor=(0.9, 1.1)),
        Gamma(power=(0.9, 1.1)),
        Crop(height=24, width=24),
        Resize(height=40, width=40),
        ResizedCrop(height=28, width=28, area=(0.5, 1)),
    ],
)
def test_an_ordinary_step_is_not_mentioned(step):
    """28×28 photographs of cats and dogs."""
    assert findings(step, sizes=[(28, 28)], class_names=["cat", "dog"], channels=3) == []


def test_a_small_channel_shift_matters_for_floats():
    """There nothing is rounded away."""
    assert findings(ChannelShift(by=0.2), dtype="float32") == []


@pytest.mark.parametrize(
    ("step", "facts", "said"),
    [
        (WidthShift(by=0.5), {}, "50% of the width"),
        (HeightShift(by=[0.1, 0.9]), {}, "90% of the height"),
        (WidthShift(by=20.0), {"sizes": [(28, 28)]}, "20 pixels, the smallest width is 28"),
        (HeightShift(by=3.0), {"sizes": [(4, 90)]}, "3 pixels, the smallest height is 4"),
        (HeightShift(by=40), {"sizes": [(28, 90)]}, "39 pixels"),
        (Crop(height=30, width=20), {"sizes": [(28, 28)]}, "30×20"),
        (Crop(height=28, width=28), {"sizes": [(28, 28)]}, "changes nothing"),
        (Resize(height=100, width=60), {"sizes": [(28, 28)]}, "3.6 times"),
        (Resize(height=9, width=9, fill=4), {}, "never seen"),
        (ResizedCrop(height=64, width=64), {"sizes": [(64, 64)]}, "3.5 times"),
        (Brightness(factor=(0.2, 1.0)), {}, "darker"),
        (KerasBrightness(factor=(1.0, 2.0)), {}, "lighter"),
    ],
)
def test_too_much_is_a_warning(step, facts, said):
    """The message has the numbers."""
    (severity, message), *others = findings(step, **facts)
    assert (severity, others) == ("warning", [])
    assert said in message


def test_an_ignored_fill_is_a_warning():
    """Only a constant border shows it."""
    options = {"fill": (7.0,)}
    assert "never seen" in findings(Rotation(max_deg=9), options=options)[0][1]
    assert findings(Rotation(max_deg=9), options=options | {"border": "constant"}) == []


@pytest.mark.parametrize(
    ("step", "class_names"),
    [
        (VerticalFlip(), []),
        (VerticalFlip(), ["cat", "dog"]),
        (HorizontalFlip(), DIGITS),
        (HorizontalFlip(), list("abcdefghij")),
        (HorizontalFlip(), DIGITS[2:]),
        (Rotation(max_deg=46), DIGITS),
        (WidthShift(by=1.0), []),
    ],
)
def test_what_only_a_person_can_judge_is_a_question(step, class_names):
    """Mirrored letters, sixes that become nines, pixels that may have meant the whole."""
    asked = findings(step, class_names=class_names, sizes=[(90, 90)])
    assert [severity for severity, _ in asked] == ["question"]


@pytest.mark.parametrize(
    "class_names",
    [["0", "1"], DIGITS[:7], list("abcdefghi"), [*DIGITS, "10"], [*DIGITS, "a"], ["a", "b"]],
)
def test_a_few_numbered_or_lettered_classes_are_no_digits_or_letters(class_names):
    """Classes 0 and 1 are cats and dogs."""
    assert findings(HorizontalFlip(), class_names=class_names) == []
    assert findings(Rotation(max_deg=90), class_names=class_names) == []


def test_a_pipeline_without_steps_is_a_warning():
    """Its copies are all equal."""
    ((severity, message),) = findings(sizes=[(28, 28)], channels=3)
    assert (severity, "this pipeline changes nothing" in message) == ("warning", True)


def test_rotations_up_to_45_degrees_keep_digits_readable():
    """No question there, nor for classes with names."""
    assert findings(Rotation(max_deg=45), class_names=DIGITS) == []
    assert findings(Rotation(max_deg=180), class_names=["neutrophil", "monocyte"]) == []


def test_images_that_end_with_several_sizes_are_an_error():
    """Unless a resize or a crop makes them one."""
    sizes = [(30, 40), (40, 30), (50, 50)]
    ((severity, message),) = findings(Rotation(max_deg=9), sizes=sizes)
    assert (severity, "3 sizes" in message) == ("error", True)
    assert findings(Resize(height=30, width=30), Rotation(max_deg=9), sizes=sizes) == []
    assert findings(Rotation(max_deg=9), Crop(height=30, width=30), sizes=sizes) == []


def test_later_steps_are_judged_by_the_size_they_see():
    """After a resize to 100, a shift of 20 pixels is moderate, a crop to 120 too large."""
    steps = (Resize(height=100, width=100), WidthShift(by=20.0), Crop(height=120, width=90))
    where = [f.where for f in diagnose(Pipeline(steps=steps), sizes=[(64, 64)])]
    assert where == ["step 3 (crop)"]


@pytest.mark.parametrize("step", [
    Gamma(power=(0.5, 2)), KerasBrightness(factor=(0.9, 1.1)), Resize(height=20, width=20),
    ResizedCrop(height=9, width=9, area=(0.5, 1.0)),
])  # fmt: skip
def test_steps_without_a_float_form_are_an_error_for_floats(step):
    """What the engine would refuse image by image is said beforehand."""
    severities = [s for s, _ in findings(step, sizes=[(28, 28)], dtype="float32")]
    assert severities == ["error"]


@pytest.mark.parametrize(("size", "severities"), [((28, 42), []), ((28, 43), ["error"])])
def test_a_prefilter_is_needed_where_one_axis_needs_it(size, severities):
    """The engine refuses float images as soon as either axis is reduced by more than 1.5."""
    step = ResizedCrop(height=28, width=28, area=(0.5, 1.0), aspect_max=2.0)
    found = findings(step, sizes=[size], dtype="float32")
    assert [severity for severity, _ in found] == severities


def test_a_fill_for_other_channels_is_an_error():
    """Three levels do not fit grey images."""
    options = {"fill": (1.0, 2.0, 3.0), "border": "constant"}
    assert findings(Rotation(max_deg=9), options=options, channels=1)[0][0] == "error"
    assert findings(Rotation(max_deg=9), options=options, channels=3) == []


def test_errors_come_first_and_every_finding_has_advice():
    """Then in the order of the steps."""
    steps = (VerticalFlip(), ChannelShift(by=0.2), Rotation(max_deg=0))
    found = diagnose(Pipeline(steps=steps), sizes=[(3, 3), (4, 4)])
    assert [f.severity for f in found] == ["error", "warning", "warning", "question"]
    assert [f.where for f in found][1:3] == ["step 2 (channel_shift)", "step 3 (rotation)"]
    assert all(isinstance(f, Finding) and f.advice and f.message for f in found)


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_sound_for_what_they_are_made_for(name):
    """No error and no warning on images of a fitting size."""
    size = (300, 400) if name in ("photos224", "blood_cells") else (32, 32)
    found = diagnose(load(name), sizes=[size], channels=3)
    assert [f for f in found if f.severity != "question"] == []


def test_a_zoom_that_reaches_zero_is_refused_clearly():
    """It cannot even be built, so there is nothing to diagnose."""
    with pytest.raises(ParameterError, match="reaches 0 would collapse the image"):
        Zoom(by=1.0)


def test_sizes_may_be_numpys():
    """Rows of an array are sizes too."""
    assert findings(Rotation(max_deg=9), sizes=np.array([[28, 28]])) == []
