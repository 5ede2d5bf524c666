"""The images of an export, one after the other: who they are, what was drawn, and their pixels.

Items of a split lie copy by copy, and within a copy by sample id, as shards do: reading them goes
through each shard once, and nothing of it is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from materialize.loader.feeds import Feed, TargetFeed
from materialize.loader.mixing import Mixing
from materialize.loader.order import ORIGINAL, EpochOrder, OrderOptions, Visits
from materialize.loader.prefetch import ahead
from materialize.loader.samples import Samples
from materialize.loader.turns import Turns
from materialize.sources.records import TextColumn
from materialize.sources.targets import Field
from pipelines import Pipeline
from pipelines.objects import ObjectKinds, Objects
from pipelines.transform import Canvas

_Result = TypeVar("_Result")

_CHUNK_BYTES = 4 * 2**20
"""Pixels that are read at once."""


PARTNER_COLUMNS = {
    "partner_sample_id": "of what the image is mixed with; its own where it is not mixed",
    "partner_class": "the name of that image's class; empty for none",
    "partner_label": "its number; empty for none",
    "label_weight": "share of the image's own class in [0, 1]; its partner's has the rest",
}
"""What is said besides of images that are mixed."""


@dataclass(frozen=True, slots=True)
class ItemPartner:
    """What an image is mixed with."""

    sample_id: str
    """32 hex digits."""
    label: int
    """-1 for none."""
    class_name: str
    """Empty for none."""
    weight: float
    """The share of the image's own label."""

    def values(self) -> tuple[object, ...]:
        """In the order of `PARTNER_COLUMNS`."""
        label = self.label if self.label >= 0 else ""
        return (self.sample_id, self.class_name, label, self.weight)


@dataclass(frozen=True, slots=True)
class Item:
    """One image of an export, but for its pixels."""

    split: str
    sample_id: str
    """32 hex digits."""
    copy: int
    """-1 for the untouched image."""
    label: int
    """-1 for none."""
    class_name: str
    """Empty for none."""
    locator: str
    """Where the image it is made from was in the source."""
    parameters: tuple[float, ...]
    """What was drawn, in the order of `Part.parameter_names`; empty for an untouched image."""
    fields: Mapping[str, Any]
    """JSON-ready, by name: the number of a weight, the name of a label, numbers by name of several
    labels or values."""
    partner: ItemPartner | None = None
    """None in a part that is not mixed; the image itself where it alone is not."""

    @property
    def name(self) -> str:
        """Such as ``<sample id>-c00002``, or ``<sample id>-original``: no other item has it."""
        which = "original" if self.copy == ORIGINAL else f"c{self.copy:05d}"
        return f"{self.sample_id}-{which}"


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What some items show besides their class."""

    masks: NDArray[np.uint8] | None
    """(m, H, W, channels); None where there are none."""
    objects: Objects | None
    """Of m images; None where there are none."""

    def of(self, place: int) -> "Shown":
        """That of one of the items."""
        masks = None if self.masks is None else self.masks[place : place + 1]
        objects = None if self.objects is None else self.objects.take(np.array([place]))
        return Shown(masks, objects)


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one split that are exported: some copies of each of its samples.

    Where classes are balanced, what so many epochs show of each.
    """

    samples: Samples
    copies: tuple[int, ...]
    """Ascending; -1 for the untouched images."""
    feed: Feed
    locators: TextColumn
    """(n,) of the samples."""
    canvas: Canvas
    """(n,) sizes of the samples when the first random step sees them."""
    pipeline: Pipeline
    seed: int
    mixing: Mixing | None = None
    """None where no step mixes."""
    targets: TargetFeed | None = None
    """None where nothing moves with the pixels."""

    def __len__(self) -> int:
        return len(self.order)

    @property
    def split(self) -> str:
        """The split's name."""
        return self.samples.split

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return self.feed.image_shape

    @property
    def image_dtype(self) -> np.dtype[Any]:
        """uint8 or float32."""
        return self.feed.image_dtype

    @property
    def row_bytes(self) -> int:
        """Of one image."""
        return int(np.prod(self.image_shape)) * self.image_dtype.itemsize

    @cached_property
    def order(self) -> EpochOrder:
        """Item → row and copy."""
        visits = Visits(self.copies, "all")
        rates = self.samples.rates
        turns = None if rates is None else Turns.of(rates, stand_in=False)
        return EpochOrder.of(
            len(self.samples), self.samples.digest, visits, OrderOptions(shuffle="none"), 0, turns
        )

    def items(self, start: int, stop: int) -> list[Item]:
        """The items [start, stop) without their pixels."""
        rows, copies = self.order.at(start, stop)
        drawn, partners = self._drawn(rows, copies), self._partners(rows, copies)
        names = self.samples.class_names
        return [
            Item(
                split=self.split,
                sample_id=self.samples.ids[row].tobytes().hex(),
                copy=copy,
                label=(label := int(self.samples.labels[row])),
                class_name=names[label] if label >= 0 else "",
                locator=self.locators[row],
                parameters=() if copy == ORIGINAL else tuple(drawn[place].tolist()),
                fields=field_facts(self.samples.schema.fields, self.samples.fields, row),
                partner=partners[place] if partners else None,
            )
            for place, (row, copy) in enumerate(zip(rows.tolist(), copies.tolist(), strict=True))
        ]

    def _partners(
        self, rows: NDArray[np.int64], copies: NDArray[np.int64]
    ) -> list[ItemPartner] | None:
        """What some items are mixed with, themselves where they are not."""
        if self.mixing is None:
            return None
        mixed, names = self.mixing.of(rows, copies), self.samples.class_names
        partners = np.where(mixed.partners < 0, rows, mixed.partners)
        return [
            ItemPartner(bytes(sample_id).hex(), label, names[label] if label >= 0 else "", weight)
            for sample_id, label, weight in zip(
                self.samples.ids[partners], mixed.labels.tolist(), mixed.weights.tolist(),
                strict=True,
            )
        ]  # fmt: skip

    def _drawn(self, rows: NDArray[np.int64], copies: NDArray[np.int64]) -> NDArray[np.float64]:
        """(m, names) drawn parameters; what stands in the rows of untouched images means nothing.

        The words are drawn for copy 0 there, because every row needs some.
        """
        words = self.pipeline.draw(self.seed, self.samples.ids[rows], np.maximum(copies, 0))
        canvas = Canvas(self.canvas.heights[rows], self.canvas.widths[rows])
        drawn = self.pipeline.parameters(words, canvas)
        columns = [values for step in drawn for values in step.values()]
        return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))

    def pixels(self, start: int, stop: int) -> NDArray[Any]:
        """(m, H, W, C) of the items [start, stop).

        Raises:
            ShardError: they cannot be read.
        """
        rows, copies = self.order.at(start, stop)
        images = np.empty((len(rows), *self.image_shape), self.image_dtype)
        self.feed.fetch(rows, copies, images)
        return images

    @property
    def mask_names(self) -> tuple[str, ...]:
        """Of the channels of masks; empty where there are none."""
        has_masks = self.targets is not None and self.targets.mask_shape is not None
        return self.samples.schema.mask_names if has_masks else ()

    @property
    def kinds(self) -> ObjectKinds | None:
        """What the objects are; None where there are none."""
        return None if self.targets is None else self.targets.kinds

    def shown(self, start: int, stop: int) -> Shown:
        """The masks and objects of the items [start, stop).

        Raises:
            ShardError: they cannot be read.
        """
        if self.targets is None:
            return Shown(None, None)
        rows, copies = self.order.at(start, stop)
        shape, masks = self.targets.mask_shape, None
        if shape is not None:
            masks = np.empty((len(rows), *shape), np.uint8)
        return Shown(masks, self.targets.fetch(rows, copies, masks))

    @contextmanager
    def in_order(
        self, work: Callable[[int, int], _Result], start: int, stop: int, *, workers: int
    ) -> Iterator[Iterator[tuple[int, _Result]]]:
        """What is made of the items [start, stop), some at a time, in their order.

        Args:
            work: makes something of the items [first, last); called ahead, in threads.
            start: first item.
            stop: behind the last.
            workers: how many threads; 1 works when asked.

        Yields:
            Pairs: behind which item one piece ends, and what was made of it.
        """
        step = max(_CHUNK_BYTES // self.row_bytes, 1)
        pieces = [(first, min(first + step, stop)) for first in range(start, stop, step)]
        calls = (partial(work, *piece) for piece in pieces)
        threads = workers if workers > 1 else 0
        with closing(ahead(calls, threads=threads, ahead=2 * workers)) as results:  # type: ignore[type-var]
            yield zip((last for _, last in pieces), results, strict=True)


def field_facts(
    fields: Sequence[Field], columns: Mapping[str, NDArray[Any]], row: int
) -> dict[str, Any]:
    """What the fields of one row are; see `Item.fields`.

    Args:
        fields: what there is.
        columns: (n, …) their numbers, by name.
        row: in [0, n).
    """
    facts: dict[str, Any] = {}
    for field in fields:
        values = columns[field.name][row].tolist()
        if field.kind == "label":
            facts[field.name] = field.names[values]
        else:
            several = field.shape != ()
            facts[field.name] = dict(zip(field.names, values, strict=True)) if several else values
    return facts


def field_columns(fields: Sequence[Field]) -> dict[str, str]:
    """The columns of a table for fields, such as ``field.values.age``, and what each is."""
    columns: dict[str, str] = {}
    for field in fields:
        if field.shape:
            what = "whether it is" if field.kind == "labels" else "the value of"
            columns |= {f"field.{field.name}.{name}": f"{what} {name}" for name in field.names}
        else:
            what = "the label's name" if field.kind == "label" else "the weight of the sample"
            columns[f"field.{field.name}"] = what
    return columns


def field_cells(facts: Mapping[str, Any]) -> list[object]:
    """The cells of one row under `field_columns`, of what `field_facts` gave."""
    several = (v.values() if isinstance(v, dict) else (v,) for v in facts.values())
    return [cell for cells in several for cell in cells]


def parameter_columns(pipeline: Pipeline) -> dict[str, str]:
    """The names of drawn parameters, such as ``zoom.zoom_x``, and what each is.

    Args:
        pipeline: what draws.
    """
    words = np.zeros((1, len(pipeline.word_names)), np.uint32)
    canvas = Canvas(np.ones(1, np.int64), np.ones(1, np.int64))
    drawn = pipeline.parameters(words, canvas)
    steps = zip(pipeline.step_keys, pipeline.moving_steps, drawn, strict=True)
    return {
        f"{key}.{name}": f"drawn for the step {key}: {step.summary}"
        for key, step, parameters in steps
        for name in parameters
    }
