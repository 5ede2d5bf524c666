"""Steps that hold steps: some of them happen to an image, some do not.

A container draws which; every step in it draws its own parameters at its own address whether it
happens or not, so that what one image gets decides nothing for another, and a step that is moved
into a container with an ``id`` of its own keeps its draws.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import Words, uniform
from pipelines.transform import (
    Canvas,
    Container,
    Parameters,
    finite_number,
    register,
    require,
)


@register
@dataclass(frozen=True, kw_only=True)
class Sequence(Container):
    """All of its steps, in order: one thing to be chosen, or to happen with a probability."""

    name = "sequence"
    summary = "several steps as one, to be chosen or left out together"
    num_words = 0

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Nothing."""
        return {}

    def shows(self, number: int, parameters: Parameters) -> NDArray[np.bool_] | None:
        """None: all images get all steps."""
        return None


@register
@dataclass(frozen=True, kw_only=True)
class OneOf(Container):
    """One of its steps, drawn for each image."""

    name = "one_of"
    summary = "one of several steps, drawn for each image, by weight"
    num_words = 1

    weights: tuple[float, ...] | None = None
    """How often each step is drawn, up to a common factor; equally often unless given."""

    def check(self) -> None:
        """Checks steps and weights."""
        super().check()
        given = self.weights
        good = given is None or (
            len(given) == len(self.steps)
            and all(finite_number(weight) and weight >= 0 for weight in given)
            and sum(given) > 0
        )
        expected = f"{len(self.steps)} numbers that are not negative, one for each step"
        require(good, self, "weights", expected, given)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``chosen``: the number of the step, from 0."""
        weights = np.asarray(self.weights or (1.0,) * len(self.steps), dtype=np.float64)
        # Added one by one: NumPy's sums are ordered by the processor's vector length.
        ends = np.array([sum(weights.tolist()[: i + 1]) for i in range(len(weights))])
        drawn = uniform(words[:, 0], 0.0, float(ends[-1]))
        chosen = np.searchsorted(ends, drawn, side="right")
        last = int(np.flatnonzero(weights)[-1])  # where rounding reaches the end
        return {"chosen": np.minimum(chosen, last).astype(np.float64)}

    def shows(self, number: int, parameters: Parameters) -> NDArray[np.bool_]:
        """The images for which the step was chosen."""
        shown: NDArray[np.bool_] = parameters["chosen"] == number
        return shown
