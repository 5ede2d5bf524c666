"""What is said against steps that turn, bend, compress or add noise."""

import pytest

from pipelines.compression import JpegArtefacts
from pipelines.diagnosis import diagnose
from pipelines.distortion import Elastic, Perspective
from pipelines.exact_moves import Pad, QuarterTurn
from pipelines.noise import GaussianNoise
from pipelines.pipeline import Pipeline

DIGITS = [str(number) for number in range(10)]


def findings(step, **facts):
    return [(f.severity, f.message) for f in diagnose(Pipeline(steps=(step,)), **facts)]


@pytest.mark.parametrize(
    "step",
    [
        GaussianNoise(std=(0, 0.1)),
        Elastic(alpha=(0, 0), sigma_px=4),
        Elastic(alpha=(0, 0.2), sigma_px=4),
        Perspective(distortion=0),
        Pad(by=0),
    ],
)
def test_what_changes_nothing_is_named(step):
    """As a warning, and nothing else."""
    ((severity, message),) = findings(step)
    assert severity == "warning"
    assert "changes nothing" in message


@pytest.mark.parametrize(
    ("step", "facts", "severity", "message"),
    [
        (GaussianNoise(std=(10, 90)), {}, "warning", "drowns the picture"),
        (Elastic(alpha=(0, 90), sigma_px=4), {}, "warning", "neighbours past each other"),
        (Elastic(alpha=(34, 34), sigma_px=4, level=9.0), {}, "warning", "is never seen"),
        (Perspective(border="constant", level=(1.0, 2.0)), {"channels": 3}, "error", "2 levels"),
        (QuarterTurn(), {"class_names": DIGITS}, "question", "a 6 a 9"),
        (QuarterTurn(), {}, "question", "upside down"),
        (Pad(by=30), {"sizes": [(28, 80)]}, "warning", "more than the smallest sides"),
        (JpegArtefacts(quality=(10, 90)), {"channels": 2}, "error", "2 channels"),
        (JpegArtefacts(quality=(1, 90)), {}, "warning", "flat blocks"),
        (JpegArtefacts(quality=(10, 90)), {"dtype": "float32"}, "error", "whole levels"),
    ],
)
def test_what_is_doubtful_is_said(step, facts, severity, message):
    """Once."""
    ((found, text),) = findings(step, **facts)
    assert found == severity
    assert message in text


def test_images_that_are_not_square_get_fewer_turns():
    """Beside the other question."""
    found = findings(QuarterTurn(), sizes=[(28, 30)])
    assert ("question", "images that are not square turn by 0 or 180 degrees only") in found


@pytest.mark.parametrize(
    "step",
    [
        GaussianNoise(std=(0, 20)),
        Elastic(alpha=(34, 34), sigma_px=4),
        Perspective(border="constant", level=128.0),
        Pad(by=4),
        JpegArtefacts(quality=(30, 90)),
    ],
)
def test_usual_steps_are_not_complained_about(step):
    """With the images that they are made for."""
    assert findings(step, sizes=[(32, 32)], channels=3) == []
