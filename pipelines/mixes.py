"""Whom images are mixed with, drawn without drawing what that does not depend on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.lowering import canvas_after
from pipelines.mixing import Mixes, Mixing, mixes_of
from pipelines.placement import PlacedStep
from pipelines.randomness import Words, counters, draw_words, step_keys
from pipelines.transform import Canvas, Parameters


def draw_mixes(
    placed: Sequence[PlacedStep],
    seed: int,
    sample_ids: NDArray[np.uint8],
    copies: NDArray[np.integer],
    canvas: Canvas,
) -> Mixes | None:
    """The mixes of n addresses; None where no step mixes.

    Args:
        placed: all steps of a pipeline that are drawn.
        seed: in [0, 2**64).
        sample_ids: (n, 16) uint8.
        copies: (n,) in [0, 2**32).
        canvas: the sizes of the n (resized) sources.
    """
    needed = _needed(placed)
    at = counters(sample_ids, copies)
    drawn: list[Parameters] = []
    for place, one in enumerate(placed):
        parameters: Parameters = {}
        if place in needed:
            words: Words = np.empty((len(sample_ids), 0), np.uint32)
            if one.num_words:
                words = draw_words(step_keys(seed, one.key, one.num_words), at)[:, : one.num_words]
            parameters = one.draw(words, canvas, drawn)
        drawn.append(parameters)
        canvas = canvas_after(one.step, canvas)
    return mixes_of([one.step for one in placed], drawn)


def _needed(placed: Sequence[PlacedStep]) -> set[int]:
    """The places of the steps that mix, and of the containers that decide whether they do."""
    places: set[int] = set()
    for place, one in enumerate(placed):
        gate = one.gate
        if isinstance(one.step, Mixing):
            places.add(place)
            while gate is not None:
                places.add(gate.place)
                gate = placed[gate.place].gate
    return places
