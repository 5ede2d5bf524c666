"""A pipeline's steps as one list: containers are followed by what they hold.

Each step has a key for its draws and, inside a container, a gate: which container decides whether
an image gets it. Lowering and drawing then need no recursion.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import Words, happens
from pipelines.transform import ACTIVE, Canvas, Container, Parameters, Transform, active

Mask = NDArray[np.bool_] | None
"""(n,) which images; None for all of them."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What decides whether an image gets a step."""

    container: Container
    place: int
    """The container's place in the list."""
    number: int
    """Of the step in the container, from 0."""

    def mask(self, drawn: Sequence[Parameters]) -> Mask:
        """The images that get the step, by the parameters of the steps before it."""
        parameters = drawn[self.place]
        return both(active(parameters), self.container.shows(self.number, parameters))


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """One step of the list."""

    key: str
    """Its ``id``, or its name numbered among equals (``zoom#2``), behind its container's key."""
    step: Transform
    gate: Gate | None

    @property
    def num_words(self) -> int:
        """Words of one address: the step's own, and one that decides whether it happens."""
        return self.step.words_needed() + self.step.is_optional

    def draw(self, words: Words, canvas: Canvas, before: Sequence[Parameters]) -> Parameters:
        """The parameters of n images, with ``active`` where some images are spared.

        Args:
            words: (n, num_words) uint32.
            canvas: the images' sizes when they reach the step.
            before: the parameters of the steps before it.
        """
        own = self.step.words_needed()
        drawn = self.step.draw(words[:, :own], canvas)
        mask = None if self.gate is None else self.gate.mask(before)
        if self.step.is_optional:
            mask = both(mask, happens(words[:, own], self.step.probability))
        return drawn if mask is None else drawn | {ACTIVE: mask.astype(np.float64)}


def place_steps(steps: Sequence[Transform]) -> tuple[PlacedStep, ...]:
    """The list of all steps, in the order they are applied."""
    placed: list[PlacedStep] = []
    _place(steps, "", None, placed)
    return tuple(placed)


def both(one: Mask, other: Mask) -> Mask:
    """The images that are meant by both."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _place(
    steps: Sequence[Transform],
    prefix: str,
    parent: tuple[Container, int] | None,
    placed: list[PlacedStep],
) -> None:
    """Appends some steps and what they hold."""
    seen: Counter[str] = Counter()
    for number, step in enumerate(steps):
        seen[step.name] += 1
        numbered = step.name if seen[step.name] == 1 else f"{step.name}#{seen[step.name]}"
        key = step.id or prefix + numbered
        placed.append(PlacedStep(key, step, Gate(*parent, number) if parent else None))
        if isinstance(step, Container):
            _place(step.steps, f"{key}.", (step, len(placed) - 1), placed)
