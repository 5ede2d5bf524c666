"""What masks and objects will take: raw masks to the byte, the others from some that are there."""

from dataclasses import dataclass, replace

import numpy as np

from materialize.estimation.census import Census, ShardGroup, SplitLayout
from materialize.estimation.intervals import Interval
from materialize.estimation.pools import Pool
from materialize.estimation.structure import columns_bytes, container_bytes, pixel_bytes
from materialize.shards.codecs import encode_block, find_codec, mask_codec
from materialize.shards.columns import bytes_of_objects
from materialize.shards.container import PIXEL_ALIGNMENT
from materialize.shards.layout import ShardSpec
from materialize.sources.base import SPLITS
from materialize.targets import prepare_targets
from pipelines import Pipeline

_ROWS = 64
"""Images whose annotations are looked at."""
_SPREAD = 0.3
"""Half the interval, as a share: copies lose objects at the sides, and bend masks."""


@dataclass(frozen=True, slots=True)
class TargetSizes:
    """What annotations take on average."""

    object_bytes: float = 0.0
    """Of the objects of one image, in columns."""
    objects_per_image: float = 0.0
    mask_share: float = 1.0
    """Encoded bytes of masks for each of their pixels, beside images that are not raw."""


def measure_targets(pool: Pool | None, census: Census, pipeline: Pipeline) -> TargetSizes:
    """Looks at the annotations of some images.

    Args:
        pool: where images come from; None where there is no source.
        census: who would be in the dataset.
        pipeline: its resize is applied.

    Raises:
        RecordReadError: an annotation could not be read.
    """
    if pool is None or not census.example.schema.moves:
        return TargetSizes()
    split = next(name for name in SPLITS if pool.num_rows(name))
    drawn = pool.take(split, 0, min(_ROWS, pool.num_rows(split)))
    targets = prepare_targets(drawn.source, pipeline, drawn.rows)
    objects, each, share = 0.0, 0.0, 1.0
    if targets.objects is not None:
        objects = float(bytes_of_objects(targets.objects).mean())
        each = targets.objects.num_objects / len(drawn.rows)
    if targets.masks is not None:
        codec = find_codec(mask_codec("zstd"))
        masks = [np.asarray(targets.masks.image(row)) for row in range(len(drawn.rows))]
        if len({mask.shape for mask in masks}) == 1:
            masks = [np.stack(masks)]
        else:
            masks = [mask[None] for mask in masks]
        encoded = sum(len(encode_block(codec, mask)) for mask in masks)
        share = encoded / sum(mask.nbytes for mask in masks)
    return TargetSizes(objects, each, share)


def target_bytes(
    layout: SplitLayout, codec: str, class_names: tuple[str, ...], sizes: TargetSizes
) -> Interval:
    """Masks, and the objects beside images, of all shards of a layout.

    Args:
        layout: the shards of the images.
        codec: of the images.
        class_names: in label order.
        sizes: what annotations take.
    """
    found = Interval.exact(0)
    if layout.template.objects is not None:
        size = layout.num_rows * layout.num_copies * sizes.object_bytes
        # Where they end decides where the next aligned byte is.
        room = PIXEL_ALIGNMENT * layout.num_runs * layout.num_copies
        found += Interval.around(size, _SPREAD * size + room)
    if layout.mask is not None:
        masks = _of_masks(layout, layout.mask)
        name = mask_codec(codec)
        beside = columns_bytes(masks) + container_bytes(masks, name, class_names)
        found += Interval.exact(beside)
        size = pixel_bytes(masks)
        if find_codec(name).is_raw:
            found += Interval.exact(size)
        else:
            found += Interval.around(size * sizes.mask_share, _SPREAD * size * sizes.mask_share)
    return found


def _of_masks(layout: SplitLayout, mask: ShardSpec) -> SplitLayout:
    """The shards of masks beside those of images."""
    shards = tuple(
        ShardGroup(
            replace(
                mask, run=group.spec.run, first_row=group.spec.first_row,
                num_rows=group.spec.num_rows, copy=group.spec.copy,
            ),
            group.count,
        )
        for group in layout.shards
    )  # fmt: skip
    return replace(layout, template=mask, mask=None, shards=shards)
