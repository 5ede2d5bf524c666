"""What `diagnose` says of colours, tables, rectangles, mixing, and of steps inside others."""

import pytest

from pipelines.colour import ColourJitter, Grey, Hue, Saturation
from pipelines.composition import OneOf, Sequence
from pipelines.diagnosis import diagnose
from pipelines.geometric import HorizontalFlip, Rotation
from pipelines.histogram import Autocontrast, Equalize
from pipelines.mixing import Cutmix, Mixup
from pipelines.neighbourhood import GaussianBlur, Sharpness
from pipelines.occlusion import Cutout, Erasing
from pipelines.photometric import Brightness, ChannelShift, Gamma, Invert, Posterize, Solarize
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import EXAMPLES

PHOTOS = {"sizes": [(64, 48)], "channels": 3, "class_names": ["cat", "dog"]}
ORDINARY = [
    Grey(probability=0.2), Saturation(factor=(0.5, 1.5)), Hue(max_deg=10),
    ColourJitter(brightness=(0.8, 1.2), hue_max_deg=9), Equalize(probability=0.1),
    Autocontrast(probability=0.1), Autocontrast(cutoff_percent=(0, 5)), Invert(probability=0.1),
    Posterize(bits=(4, 8)), Solarize(threshold=(100, 256)), Sharpness(factor=(0, 2)),
    GaussianBlur(sigma_px=(0, 2)), Erasing(), Cutout(size=0.4), Mixup(), Cutmix(),
    OneOf(steps=(Invert(), Equalize(), Grey())), Sequence(steps=(Rotation(max_deg=4),)),
    Sequence(steps=(Invert(),), probability=0.5),
]  # fmt: skip


def found(*steps, **facts):
    """Severity, place and message of everything found."""
    return [(f.severity, f.where, f.message) for f in diagnose(Pipeline(steps=steps), **facts)]


@pytest.mark.parametrize("step", ORDINARY, ids=lambda step: step.name)
def test_an_ordinary_step_is_not_mentioned(step):
    """Colour photographs of cats and dogs."""
    assert found(step, **PHOTOS) == []
    assert found(step) == []


@pytest.mark.parametrize(
    "step",
    [
        Saturation(factor=(1, 1)), Saturation(factor=(0.9985, 1.0015)), Hue(max_deg=0),
        ColourJitter(), Posterize(bits=(8, 8)), Solarize(threshold=(255.5, 256)),
        Sharpness(factor=(1, 1)), GaussianBlur(sigma_px=(0, 0.15)), Erasing(probability=0),
        Sequence(steps=(Invert(),), probability=0), Mixup(probability=0),
        OneOf(steps=(Invert(), Grey()), weights=(1, 0)),
    ],
    ids=lambda step: step.name,
)  # fmt: skip
def test_a_step_that_changes_nothing_is_a_warning(step):
    """And the only finding."""
    ((severity, _, message),) = found(step, **PHOTOS)
    assert (severity, "changes nothing" in message) == ("warning", True)


def test_a_sharpness_without_inner_pixels_is_a_warning():
    """The outermost pixels stay."""
    ((severity, _, message),) = found(Sharpness(factor=(0, 2)), sizes=[(2, 30)])
    assert (severity, "outermost" in message) == ("warning", True)


@pytest.mark.parametrize("step", [
    Grey(probability=0.5), Saturation(factor=(0, 2)), Hue(max_deg=9), ColourJitter(hue_max_deg=9),
    ColourJitter(saturation=(0, 2)),
], ids=lambda step: step.name)  # fmt: skip
def test_colour_of_grey_images_is_an_error(step):
    """They would stay as they are."""
    ((severity, _, message),) = found(step, channels=1)
    assert (severity, "1 channel" in message) == ("error", True)
    assert found(step, channels=4) == []


def test_a_jitter_of_brightness_alone_is_fine_for_grey_images():
    """It needs no colour."""
    assert found(ColourJitter(brightness=(0.8, 1.2), contrast=(0.8, 1.2)), channels=1) == []


@pytest.mark.parametrize("step", [Grey(), Equalize(), Autocontrast(), Invert(),
                                  Solarize(threshold=(0, 0)), Mixup(alpha=5)],
                         ids=lambda step: step.name)  # fmt: skip
def test_what_only_a_person_can_judge_is_a_question(step):
    """Such as copies that are all negatives."""
    assert [severity for severity, _, _ in found(step, **PHOTOS)] == ["question"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Posterize(bits=(1, 4)), "two levels"),
        (GaussianBlur(sigma_px=(0, 5)), "48 pixels to a shade"),
        (Erasing(area=(0.02, 0.6)), "60% of the image"),
        (Cutout(size=0.9), "43 pixels hide up to 61%"),
        (Cutout(size=24, holes=4), "4 square(s) of 24 pixels hide up to 75%"),
        (Erasing(fill="mean", level=7), "never seen"),
        (OneOf(steps=(Rotation(max_deg=4),)), "always happens"),
    ],
)
def test_too_much_is_a_warning(step, said):
    """The message has the numbers."""
    ((severity, _, message),) = found(step, **PHOTOS)
    assert (severity, said in message) == ("warning", True), message


def test_levels_for_other_channels_are_an_error():
    """Said before a build rather than at its first image."""
    step = Erasing(level=(1.0, 2.0, 3.0))
    assert found(step, channels=3) == []
    assert [severity for severity, _, _ in found(step, channels=1)] == ["error"]


@pytest.mark.parametrize("name", sorted(
    {"autocontrast", "colour_jitter", "cutmix", "cutout", "equalize", "erasing", "gamma",
     "gaussian_blur", "grey", "hue", "invert", "mixup", "posterize", "saturation", "sharpness",
     "solarize"}
))  # fmt: skip
def test_steps_of_whole_levels_are_an_error_for_floats(name):
    """At the step, also inside a container."""
    step = EXAMPLES[name]
    said = [w for s, w, m in found(step, dtype="float32") if s == "error" and "float32" in m]
    assert said == [f"step 1 ({name})"]
    inside = found(Sequence(steps=(step,)), dtype="float32")
    assert [w for s, w, _ in inside if s == "error"] == [f"step 1 (sequence), step 1 ({name})"]


def test_steps_inside_containers_are_looked_at():
    """However deep; the place says where."""
    inner = Sequence(steps=(Gamma(power=(2, 3)), ChannelShift(by=0.2)))
    step = OneOf(steps=(Brightness(factor=(0.5, 1.5)), inner, HorizontalFlip()))
    said = found(step, class_names=[str(digit) for digit in range(10)])
    assert [(severity, where) for severity, where, _ in said] == [
        ("warning", "step 1 (one_of), step 2 (sequence), step 2 (channel_shift)"),
        ("question", "step 1 (one_of), step 3 (horizontal_flip)"),
    ]


def test_what_never_happens_is_not_looked_into():
    """One finding is enough."""
    assert len(found(Sequence(steps=(Rotation(max_deg=0),), probability=0))) == 1


def test_a_container_that_always_happens_makes_no_exception():
    """A sequence of an inversion inverts every copy; so does a choice of one."""
    assert [s for s, _, _ in found(Sequence(steps=(Invert(),)))] == ["question"]
    assert {s for s, _, _ in found(OneOf(steps=(Invert(),)))} == {"warning", "question"}
