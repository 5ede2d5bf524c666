"""What a framework is given beside the images."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from materialize.errors import ConfigError
from materialize.loader.batches import Batch, Labelled, Labels, soft_labels
from materialize.loader.loader import Loader
from materialize.recipe import whole_number
from materialize.sources.targets import Field
from pipelines.objects import Objects, padded


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Which targets a framework is given, and as what."""

    one_hot: bool
    """Whether labels are (n, classes) float32 rather than (n,) class numbers."""
    targets: str | tuple[str, ...] | None = None
    """One name for an array, several for a dict; None for the label alone, or for a dict of all
    there is where images have masks, objects or fields. ``label``; ``mask`` (n, H, W, channels)
    uint8; padded to ``max_objects`` M, ``object_labels`` (n, M) int32, −1 for padding, ``boxes``
    (n, M, 4) float32 and ``keypoints`` (n, M, K, 3) float32; and fields by their names: several
    labels and values (n, K) float32, a further label as the label is. Weights are no targets: they
    always come third, behind the images and their targets."""
    max_objects: int | None = None
    """M, at least 1: needed for objects. What an image has beyond it is left out."""
    is_ragged: bool = False
    """Whether objects are handed on as `Ragged`, all of them, instead of padded."""


class Ragged(NamedTuple):
    """What m objects of n images have, one image after another."""

    values: NDArray[Any]
    """(m, …)"""
    row_splits: NDArray[np.int64]
    """(n + 1,) image i has the values from row_splits[i] to row_splits[i + 1]."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What goes beside the images. Smoothing is left to the losses: all frameworks' have it."""

    num_classes: int
    """0 where nothing is labelled."""
    one_hot: bool
    """Whether targets are (n, classes) float32; always, where images are mixed."""
    names: tuple[str, ...] = ()
    """What is handed on; nothing where images go alone."""
    is_dict: bool = False
    max_objects: int = 0
    """0 where objects are not padded."""
    fields: tuple[Field, ...] = ()
    """Those that are handed on."""
    weight: str | None = None
    """The field that holds the weights of samples."""

    @classmethod
    def of(cls, loader: Loader, form: Form) -> "Targets":
        """The targets of a loader.

        Raises:
            ConfigError: some of its images are labelled and some are not, it has no such targets,
                or it is not said how many objects an image may have.
        """
        unlabelled = int(np.count_nonzero(loader.samples.labels < 0))
        if 0 < unlabelled < len(loader.samples):
            raise ConfigError(
                f"labels: expected all of the {len(loader.samples)} images of split "
                f"{loader.samples.split!r} to have one, or none, found {unlabelled} without; take "
                "the labelled ones with samples=",
                {"name": "labels", "expected": [0, len(loader.samples)], "found": unlabelled},
            )
        num_classes = 0 if unlabelled else len(loader.class_names)
        there = _there(loader, has_label=num_classes > 0)
        chosen = form.targets
        if chosen is None and not set(there) - {"label"}:
            chosen = "label" if num_classes else ()
        names = there if chosen is None else (chosen,) if isinstance(chosen, str) else tuple(chosen)
        _check_names(names, there)
        has_objects = any(name in OF_OBJECTS for name in names)
        if has_objects and form.max_objects is None and not form.is_ragged:
            raise ConfigError(
                "max_objects: expected how many objects an image may have, since models want "
                "arrays of one shape, got nothing; give a number, or leave objects out with "
                "targets=",
                {"name": "max_objects", "expected": "a number", "found": None},
            )
        if form.is_ragged and (form.max_objects is not None or not has_objects):
            raise ConfigError(
                "ragged: expected objects among the targets and no max_objects beside it, got "
                f"{', '.join(names) or 'none'} and max_objects {form.max_objects}; leave one out",
                {"name": "ragged", "expected": "objects", "found": names},
            )
        most = (
            0
            if form.max_objects is None
            else whole_number("max_objects", form.max_objects, 1, 2**31)
        )
        is_dict = bool(names) and not isinstance(chosen, str)
        schema = loader.samples.schema
        fields = tuple(field for field in schema.fields if field.name in names)
        return cls(
            num_classes, form.one_hot or loader.is_mixing, names, is_dict, most, fields,
            schema.weight,
        )  # fmt: skip

    def beside(self, batch: Batch, dtype: DTypeLike = np.int32) -> Any:
        """What goes beside the images of a batch: an array, several by name, or None.

        Args:
            batch: of the loader; of its images all have a label or none.
            dtype: of class numbers.
        """
        if not self.names:
            return None
        arrays: dict[str, NDArray[Any] | Ragged] = {}
        if "label" in self.names and (made := self.of_batch(batch, dtype)) is not None:
            arrays["label"] = made
        if batch.masks is not None:
            arrays["mask"] = batch.masks
        if batch.objects is not None and any(name in OF_OBJECTS for name in self.names):
            arrays |= self._of_objects(batch.objects)
        for field in self.fields:
            values = batch.fields[field.name]
            if field.kind != "label":
                arrays[field.name] = values.astype(np.float32, copy=False)
            else:
                arrays[field.name] = self._of_classes(Labels(values), len(field.names), dtype)
        handed = {name: arrays[name] for name in self.names}
        return handed if self.is_dict else handed[self.names[0]]

    def _of_objects(self, objects: Objects) -> dict[str, NDArray[Any] | Ragged]:
        """Labels, boxes and keypoints, padded or ragged."""
        if self.max_objects:
            padding = padded(objects, self.max_objects)
            return {
                "object_labels": padding.labels, "boxes": padding.boxes,
                "keypoints": padding.keypoints,
            }  # fmt: skip
        columns = {
            "object_labels": objects.labels, "boxes": objects.boxes,
            "keypoints": objects.keypoints,
        }  # fmt: skip
        return {name: Ragged(values, objects.offsets) for name, values in columns.items()}

    def of_batch(self, batch: Labelled, dtype: DTypeLike = np.int32) -> NDArray[Any] | None:
        """The targets of a batch.

        Args:
            batch: n images with a label each, or none with one.
            dtype: of class numbers.

        Returns:
            (n,) class numbers, (n, num_classes) float32 with the share of each class, or None where
            nothing is labelled.
        """
        return self._of_classes(batch, self.num_classes, dtype) if self.num_classes else None

    def _of_classes(self, found: Labelled, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Class numbers in the form that was asked for."""
        if not self.one_hot:
            return found.labels.astype(dtype, copy=False)
        return soft_labels(found, count)

    def element(self, images: Any, beside: Any, weights: Any) -> Any:
        """What a framework is given: images, with their targets, with their weights.

        Args:
            images: of n samples.
            beside: what `beside` gave, or tensors of it; None for nothing.
            weights: what `weights` gave, or a tensor of it.
        """
        if beside is None:
            return images
        return (images, beside) if self.weight is None else (images, beside, weights)

    def weights(self, batch: Batch) -> NDArray[np.float32] | None:
        """(n,) of the samples of a batch; None where they have none."""
        return None if self.weight is None else batch.fields[self.weight]


OF_OBJECTS = ("object_labels", "boxes", "keypoints")


def _there(loader: Loader, *, has_label: bool) -> tuple[str, ...]:
    """Every target that a loader has, by name."""
    kinds = loader.object_kinds
    has = {
        "label": has_label,
        "mask": loader.mask_shape is not None,
        "object_labels": kinds is not None,
        "boxes": kinds is not None,
        "keypoints": kinds is not None and bool(kinds.keypoint_names),
    }
    has |= {field.name: field.kind != "weight" for field in loader.samples.schema.fields}
    return tuple(name for name, is_there in has.items() if is_there)


def _check_names(names: tuple[str, ...], there: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in there]
    if unknown:
        raise ConfigError(
            f"targets: expected some of {', '.join(there) or 'none'}, which these images have, got "
            f"{unknown[0]!r}",
            {"name": "targets", "expected": there, "found": unknown},
        )


def as_names(targets: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    """The names of targets as `Form` keeps them."""
    return targets if targets is None or isinstance(targets, str) else tuple(targets)


def run_of(loader: Loader, epochs: range) -> Iterator[Batch]:
    """The batches of some epochs, one after another; closing it stops the loader's threads."""
    for epoch in epochs:
        with closing(loader.epoch(epoch)) as batches:  # type: ignore[type-var]
            yield from batches


def batch_of(loader: Loader, epoch: int, index: int) -> Batch:
    """One batch by itself, whatever was asked for before.

    Raises:
        IndexError: the epoch has no such batch.
    """
    return loader.batch(epoch, index)
