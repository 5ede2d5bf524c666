"""Real annotations, from source to batch: what is stored is what is moved on the fly."""

import numpy as np
import pytest

from materialize.audit.verification import verify_dataset
from materialize.builder import build_dataset
from materialize.loader.augmenting import AugmentingLoader
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.sources.subset import Subset
from pipelines import Pipeline
from pipelines.geometric import HorizontalFlip, Rotation, Zoom
from pipelines.resizing import Resize
from tests.parity.test_targets_agree import agree

STEPS = (Resize(height=64, width=80), Rotation(max_deg=15), Zoom(by=0.2), HorizontalFlip())
RECIPE = Recipe(copies=2, seed=3, codec="png")
PLAIN = LoaderOptions(threads=0)
SOURCES = {
    "bccd_boxes": ("voc:{}/BCCD", {}),
    "labelme_polygons": ("labelme:{}/images", {}),
    "mmpose_keypoints": ("{}/coco/test_coco.json", {}),
    "wbc_masks": ("{}/dataset1", {"masks": "*.png"}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_real_annotations_are_stored_and_moved(real_data, tmp_path, name):
    place, options = SOURCES[name]
    source = Subset(open_source(place.format(real_data / name), **options), 6)
    pipeline = Pipeline(steps=STEPS)
    build_dataset(source, tmp_path / "d", pipeline, RECIPE)
    stored = StreamingLoader(tmp_path / "d", batch_size=4, seed=1, options=PLAIN)
    with stored:
        batch = next(iter(stored))
    if name == "wbc_masks":
        assert set(np.unique(batch.masks).tolist()) <= {0, 128, 255}
        assert len(np.unique(batch.masks)) > 1
    else:
        assert batch.objects.num_objects > 0
        assert (batch.objects.boxes >= 0).all()
        assert (batch.objects.boxes <= [80, 64, 80, 64]).all()
    made = AugmentingLoader(
        source, pipeline, batch_size=4, augmentation_seed=3, seed=1, options=PLAIN
    )
    assert agree(StreamingLoader(tmp_path / "d", batch_size=4, seed=1, options=PLAIN), made, 2)
    assert verify_dataset(tmp_path / "d", depth="pixels", source=source).is_intact
