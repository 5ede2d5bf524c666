"""The arms of a contrast: what is the same for all of them, and the one thing that is not.

Order, batches, labels, initial weights and number of steps come from the same code with the same
seed. An arm decides only where the pixels of a batch come from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from materialize.contrast.ablation import Variant, variants, with_steps
from materialize.contrast.foundation import Foundation
from materialize.contrast.jobs import ContrastJob
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.loader import Loader
from materialize.loader.opening import LoaderOptions
from materialize.loader.samples import Samples
from materialize.loader.stream import StreamingLoader
from pipelines import fingerprint

_IN_ORDER = LoaderOptions(shuffle="none")
_UNTOUCHED = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to feed a training."""

    kind: str
    """One of `materialize.contrast.results.ARMS`."""
    copies: int | None = None
    """K of the offline arm."""
    is_warm: bool = False
    """Starts from where the arm ``none`` of the same seed ended."""
    variant: Variant | None = None
    """The pipeline of an ablation, on the fly."""

    @property
    def name(self) -> str:
        """Such as ``offline K=4``, ``on-the-fly, warm`` or ``without zoom``."""
        if self.variant is not None:
            return self.variant.label
        if self.copies is not None:
            return f"{self.kind} K={self.copies}"
        return f"{self.kind}, warm" if self.is_warm else self.kind

    def identity(self, foundation: Foundation) -> dict[str, Any]:
        """JSON-ready: what of this arm decides the weights; equal for variants that are equal."""
        pipeline = foundation.pipeline
        used = with_steps(pipeline, pipeline.step_keys)
        if self.variant is not None:
            used = self.variant.pipeline
        is_augmenting = self.kind != "none"
        return {
            "kind": self.kind,
            "copies": self.copies,
            "is_warm": self.is_warm,
            "pipeline": fingerprint(used) if is_augmenting else None,
        }


def arms_of(job: ContrastJob, foundation: Foundation) -> Iterator[Arm]:
    """The arms that a job asks for, in the order in which a seed trains them."""
    for kind in job.arms:
        if kind == "offline":
            yield from (Arm(kind=kind, copies=count) for count in job.copies)
        else:
            yield Arm(kind=kind)
    if job.warm:
        yield Arm(kind="on-the-fly", is_warm=True)
    if job.ablation:
        for variant in variants(foundation.pipeline, job.ablation):
            yield Arm(kind="on-the-fly", variant=variant)


def training_loader(
    arm: Arm, foundation: Foundation, job: ContrastJob, seed: int, samples: Samples
) -> Loader:
    """The training batches of an arm.

    Args:
        arm: where the pixels come from.
        foundation: the dataset and its source.
        job: its batch size.
        seed: of the order.
        samples: the training part, or what a fold trains on.
    """
    size = job.training.batch_size
    if arm.kind == "on-the-fly":
        manifest = foundation.opened.standing.manifest
        pipeline = foundation.pipeline if arm.variant is None else arm.variant.pipeline
        return AugmentingLoader(
            foundation.source, pipeline, batch_size=size, seed=seed, samples=samples,
            augmentation_seed=manifest.seed, population=foundation.population,
            value_range=manifest.value_range, pools=foundation.opened.standing.pools,
        )  # fmt: skip
    if arm.kind == "prefix":
        return PrefixLoader(foundation.directory, batch_size=size, seed=seed, samples=samples)
    copies = _UNTOUCHED if arm.copies is None else tuple(range(arm.copies))
    return StreamingLoader(
        foundation.directory, batch_size=size, seed=seed, copies=copies, samples=samples
    )


def evaluation_loader(foundation: Foundation, samples: Samples, batch_size: int) -> Loader:
    """The untouched images of a part, in the order of their ids."""
    return StreamingLoader(
        foundation.directory, batch_size=batch_size, split=samples.split, copies=_UNTOUCHED,
        samples=samples.each_once(), options=_IN_ORDER,
    )  # fmt: skip
