"""Policies against Pillow at drawn parameters, and against torchvision where it is installed."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from pipelines import operations
from pipelines.augmix import AugMix
from pipelines.operations import OPERATIONS, PolicyFinish, PolicyMove, PolicyTone
from pipelines.pipeline import Pipeline
from pipelines.policies import RandAugment, TrivialAugment
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run

COUNT = 120
HEIGHT, WIDTH = 31, 46
SAME_SOURCE = 0.995
"""Share of the moved pixels: Pillow keeps nearest coordinates in 16.16 fixed point, so that those
at the edge of two pixels may fall to the other side."""
TORCHVISION = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Posterize",
               "Solarize", "Color", "Contrast", "Sharpness", "AutoContrast", "Equalize",
               "Identity")  # fmt: skip
"""Its names, in the order of ours."""
POLICIES = [
    *(RandAugment(num_ops=1, magnitude=m) for m in (0, 1, 9, 17, 30)),
    RandAugment(num_ops=1, magnitude=4, num_magnitude_bins=7),
    TrivialAugment(),
    TrivialAugment(num_magnitude_bins=2),
]


def pictures(channels, count=COUNT):
    """Noise, and narrow ranges: (count, HEIGHT, WIDTH, C) uint8."""
    images = np.random.default_rng(channels).integers(0, 256, (count, HEIGHT, WIDTH, channels))
    images[1::3] = images[1::3] // 4 + 60
    images[2::3] = images[2::3] // 90 * 90
    return images.astype(np.uint8)


def drawn(step, count=COUNT, size=(HEIGHT, WIDTH)):
    """Parameters of the step and of all steps in it, at many addresses."""
    ids = np.random.default_rng(8).integers(0, 256, (count, 16), dtype=np.uint8)
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, size[0]), np.full(count, size[1]))
    return pipeline, pipeline.parameters(pipeline.draw(4, ids, 2), canvas)


def amount_of(policy, row, parameters):
    """(operation, amount) of one image, from the parameters of one container's steps."""
    for step, values in zip(policy.steps[0].steps, parameters[2:5], strict=True):
        if values["active"][row]:
            idle = step.parameters(
                np.array([operations.IDENTITY]), np.array([0]), *canvas_for(step)
            )
            changed = {k: float(v[row]) for k, v in values.items()
                       if k != "active" and v[row] != idle[k][0]}  # fmt: skip
            assert len(changed) <= 1
            return changed.popitem() if changed else ("identity", 0.0)
    return "identity", 0.0


def canvas_for(step):
    return (Canvas(np.array([HEIGHT]), np.array([WIDTH])),) if isinstance(step, PolicyMove) else ()


def by_pillow(image, name, amount):
    """What torchvision 0.28 does to a Pillow image, from its source."""
    affine = {
        "shear_x": (1, amount, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, amount, 1, 0),
        "shift_x_px": (1, 0, amount, 0, 1, 0),
        "shift_y_px": (1, 0, 0, 0, 1, amount),
    }
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "saturation": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in affine:
        return image.transform(image.size, Image.Transform.AFFINE, affine[name])
    if name in enhance:
        return enhance[name](image).enhance(amount)
    return {
        "angle_deg": lambda: image.rotate(amount),
        "bits": lambda: (
            ImageOps.posterize(image, int(amount)) if amount else image.point(lambda _: 0)
        ),
        "threshold_levels": lambda: ImageOps.solarize(image, amount),
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "identity": lambda: image,
    }[name]()


def as_pillow(image):
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_every_operation_is_pillows(policy, channels):
    """Tones and finishes byte for byte, moves but for sources at the edge of two pixels."""
    pipeline, parameters = drawn(policy)
    pipeline = Pipeline(steps=pipeline.steps, border="constant", interpolation="nearest")
    images = pictures(channels)
    found = run(pipeline, images, parameters)
    np.testing.assert_array_equal(found, run(pipeline, images, parameters, plain=True))
    seen = set()
    for row, image in enumerate(images):
        name, amount = amount_of(policy, row, parameters)
        seen.add(name)
        wanted = np.asarray(by_pillow(as_pillow(image), name, amount)).reshape(image.shape)
        if name in ("shear_x", "shear_y", "angle_deg"):
            assert (found[row] == wanted).mean() >= SAME_SOURCE, (name, amount)
        else:
            np.testing.assert_array_equal(found[row], wanted, err_msg=f"{name} {amount}")
    assert len(seen) >= (11 if policy.steps[0].scale.drawn[1] else 4)


def test_augmix_is_its_chains_by_pillow_blended():
    """Tones and finishes of whole levels; the blend rounded half up."""
    step = AugMix(severity=10, width=2, depth=(1, 3))
    pipeline, (parameters,) = drawn(step)
    for name, values in parameters.items():  # moves are compared elsewhere
        if name.startswith("operation"):
            values[values < operations.BRIGHTNESS] = operations.EQUALIZE
    images = pictures(3)
    found = run(pipeline, images, [parameters])
    np.testing.assert_array_equal(found, run(pipeline, images, [parameters], plain=True))
    for row, image in enumerate(images):
        total = image * (parameters["weight"][row] * 65536)
        for chain in (1, 2):
            one = as_pillow(image)
            for place in (1, 2, 3):
                told = (parameters[f"{what}_{chain}_{place}"][row] for what in
                        ("operation", "level"))  # fmt: skip
                one = by_pillow(one, *augmix_amount(*map(int, told)))
            total += np.asarray(one) * (parameters[f"weight_{chain}"][row] * 65536)
        np.testing.assert_array_equal(found[row], np.floor(total / 65536 + 0.5))


def augmix_amount(operation, level):
    """Name and amount as torchvision's table has them, at ten magnitudes."""
    name, share = OPERATIONS[operation], level / 9
    if name == "posterize":
        return "bits", 4 - round(abs(level) * 4 / 9)
    if name == "solarize":
        return "threshold_levels", 255 - 255 * abs(share)
    is_factor = name in ("brightness", "saturation", "contrast", "sharpness")
    return name, 1 + 0.9 * share if is_factor else 0.0


def test_augmix_moves_as_a_policy_does():
    """One chain of one operation with all the weight is that operation."""
    step = AugMix(severity=10, width=1, depth=(1, 1), interpolation="nearest")
    pipeline, (parameters,) = drawn(step)
    parameters["weight"][:], parameters["weight_1"][:] = 0, 1
    images = pictures(3)
    found = run(pipeline, images, [parameters])
    canvas = Canvas(np.full(COUNT, HEIGHT), np.full(COUNT, WIDTH))
    operation, level = (parameters[f"{what}_1_1"].astype(np.int64)
                        for what in ("operation", "level"))  # fmt: skip
    move = PolicyMove(scale=step.scale)
    alone = Pipeline(steps=(move,), border="constant", interpolation="nearest")
    moved = run(alone, images, [move.parameters(operation, level, canvas)])
    rows = operation < operations.BRIGHTNESS
    assert rows.sum() > 20
    np.testing.assert_array_equal(found[rows], moved[rows])


@pytest.fixture
def torchvision():
    """Its policies; its compiled parts must fit the torch that is installed."""
    try:
        from torchvision.transforms import autoaugment
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision: {error}")
    return autoaugment


def spaces(autoaugment):
    """Each policy's scale and torchvision's table for images of HEIGHT × WIDTH."""
    size = (HEIGHT, WIDTH)
    for bins in (2, 7, 9, 10, 31, 64):
        scale = RandAugment(magnitude=0, num_magnitude_bins=bins).steps[0].scale
        yield scale, autoaugment.RandAugment()._augmentation_space(bins, size)
        scale = TrivialAugment(num_magnitude_bins=bins).steps[0].scale
        yield scale, autoaugment.TrivialAugmentWide()._augmentation_space(bins)
    yield AugMix().scale, autoaugment.AugMix()._augmentation_space(10, size)


def test_magnitudes_are_torchvisions(torchvision):
    """Every operation at every level, within single precision; shifts in whole pixels."""
    canvas = Canvas(np.array([HEIGHT]), np.array([WIDTH]))
    for scale, space in spaces(torchvision):
        for name, (magnitudes, is_signed) in space.items():
            operation = np.array([TORCHVISION.index(name)])
            if name in ("AutoContrast", "Equalize", "Identity"):
                continue
            for level in range(scale.highest + 1):
                theirs = float(magnitudes[level])
                at = np.array([level])
                found = (
                    PolicyMove(scale=scale).parameters(operation, at, canvas)
                    | PolicyTone(scale=scale).parameters(operation, at)
                    | PolicyFinish(scale=scale).parameters(operation, at)
                )
                idle = {"bits": 8, "threshold_levels": 256, "brightness": 1, "saturation": 1,
                        "contrast": 1, "sharpness": 1}  # fmt: skip
                key = ours(name)
                mine = float(found[key][0])
                if key.startswith("shift"):
                    whole = theirs + 1e-4 if abs(theirs - round(theirs)) < 1e-4 else theirs
                    assert mine == int(whole)
                elif is_signed and idle.get(key) == 1:
                    assert mine - 1 == pytest.approx(theirs, abs=1e-6)
                else:
                    assert mine == pytest.approx(theirs, abs=1e-4 if key != "shear_x" else 1e-6)


def ours(name):
    names = ("shear_x", "shear_y", "shift_x_px", "shift_y_px", "angle_deg", "brightness", "bits",
             "threshold_levels", "saturation", "contrast", "sharpness")  # fmt: skip
    return names[TORCHVISION.index(name)]


@pytest.mark.parametrize("policy", [RandAugment(num_ops=1), TrivialAugment()], ids=repr)
def test_pixels_are_torchvisions(torchvision, policy):
    """Its own function, told what we drew; a sign turns shifts round."""
    pipeline, parameters = drawn(policy)
    pipeline = Pipeline(steps=pipeline.steps, border="constant", interpolation="nearest")
    images = pictures(3)
    found = run(pipeline, images, parameters)
    for row, image in enumerate(images):
        name, amount = amount_of(policy, row, parameters)
        theirs = {ours(n): n for n in TORCHVISION[:11]}.get(name)
        if theirs is None:
            continue
        if theirs in ("Brightness", "Color", "Contrast", "Sharpness"):
            amount -= 1
        elif theirs.startswith("Translate"):
            amount = -amount
        wanted = torchvision._apply_op(as_pillow(image), theirs, amount,
                                       torchvision.InterpolationMode.NEAREST, None)  # fmt: skip
        bound = SAME_SOURCE if theirs[:5] in ("Shear", "Rotat") else 1
        assert (found[row] == np.asarray(wanted)).mean() >= bound, (theirs, amount)
