"""Steps beyond geometry and tone reach datasets, loaders, explanations and checks as others do."""

import numpy as np
import pytest

import materialize
from materialize.loader.augmenting import AugmentingLoader
from materialize.loader.stream import StreamingLoader
from pipelines import from_dict

RICH = {
    "border": "reflect",
    "step": [
        {"transform": "rotation", "max_deg": 20},
        {
            "transform": "one_of",
            "probability": 0.8,
            "steps": [
                {"transform": "gaussian_blur", "sigma_px": [0.5, 1.5]},
                {"transform": "elastic", "alpha": [10, 30], "sigma_px": 4},
                {"transform": "sequence", "steps": [
                    {"transform": "hue", "max_deg": 30},
                    {"transform": "posterize", "bits": [3, 6]},
                ]},
            ],
        },
        {"transform": "erasing", "fill": "noise"},
        {"transform": "horizontal_flip"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (40, 24, 20, 3), dtype=np.uint8), np.arange(40) % 4


@pytest.fixture(scope="module")
def dataset(arrays, tmp_path_factory):
    output = tmp_path_factory.mktemp("rich") / "dataset"
    materialize.build(arrays, output, pipeline=from_dict(RICH), copies=3, seed=11, codec="png")
    return output


def test_shards_hold_what_augmenting_on_the_fly_shows(arrays, dataset):
    """Copy e is epoch e, whatever the steps."""
    stored = StreamingLoader(dataset, batch_size=16, seed=3)
    online = AugmentingLoader(arrays, from_dict(RICH), batch_size=16, seed=3, augmentation_seed=11)
    for epoch in range(3):
        for one, other in zip(stored.epoch(epoch), online.epoch(epoch), strict=True):
            np.testing.assert_array_equal(one.images, other.images)


def test_every_pixel_is_made_again(dataset, arrays):
    """Deep verification renders all stages anew."""
    assert materialize.verify(dataset, depth="pixels", source=arrays).is_intact


def test_an_explanation_names_what_an_image_got(dataset, arrays):
    """Steps that were spared are not in the program."""
    from materialize.loader.opening import OpenDataset

    samples = OpenDataset.open(dataset).samples("train")
    seen = set()
    for row in range(8):
        found = materialize.explain(
            dataset, samples.ids[row].tobytes().hex(), copy=1, source=arrays
        )
        seen |= {line.split(":")[0] for line in found.program}
        spared = [step.key for step in found.steps if step.parameters.get("active") == 0]
        assert not any(line.startswith(f"{key.split('.')[-1]}:") for key in spared
                       for line in found.program if key.split(".")[-1] != "hue")  # fmt: skip
    assert {"one resampling", "erasing"} <= seen
