"""Whether users' code gives the same pixels again: what it must not depend on is varied.

One after the other: the same call again, the images before, Python's and NumPy's global generators.
Another process is for whoever may start one.
"""

import random  # noqa: TID251  # whose global generator is varied, and put back
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.lowering import taken
from pipelines.transform import Parameters
from pipelines.user_code import UserCode

_DRAW = "take every draw from the rng or seed that it is given"


@dataclass(frozen=True, slots=True)
class Irregularity:
    """One thing that the pixels depend on, and must not."""

    row: int
    """Of the first image that showed it."""
    message: str
    advice: str


def irregularity(
    step: UserCode, images: NDArray[Any], parameters: Parameters
) -> Irregularity | None:
    """The first thing found that the pixels of a step depend on beside image and address.

    Args:
        step: whose code is called, several times for each image.
        images: (n, H, W, C) as they reach the step; not modified.
        parameters: drawn for these images.

    Raises:
        UserCodeError: the code broke its contract.
    """
    order = np.arange(len(images))
    first = outcomes(step, images, parameters, order)
    doubled = outcomes(step, images, parameters, np.repeat(order, 2))
    trials = (
        ("two calls with the same image and the same draws", doubled[1::2] != doubled[::2],
         f"{_DRAW}, and keep nothing from call to call: no clock, no generator of its own"),
        ("it remembers images that came before",
         outcomes(step, images, parameters, order[::-1])[::-1] != first,
         "keep nothing from call to call: what an image becomes depends on it and its draws alone"),
        ("it draws from Python's global random", _others(step, images, parameters, (2, 1)) != first,
         f"{_DRAW}: random.Random(seed) instead of random"),
        ("it draws from NumPy's global generator",
         _others(step, images, parameters, (1, 2)) != first,
         f"{_DRAW}: rng.normal(…) instead of np.random.normal(…)"),
    )  # fmt: skip
    for message, differs, advice in trials:
        rows = np.flatnonzero(differs.any(axis=tuple(range(1, differs.ndim))))
        if len(rows):
            return Irregularity(int(rows[0]), message, advice)
    return None


def outcomes(
    step: UserCode, images: NDArray[Any], parameters: Parameters, order: NDArray[np.int64]
) -> NDArray[Any]:
    """(m, H, W, C) what becomes of some images, called one by one.

    Args:
        step: whose code is called.
        images: (n, H, W, C); not modified.
        parameters: drawn for these images.
        order: (m,) which images, in which order.
    """
    return _others(step, images, parameters, (1, 1), order)


def _others(
    step: UserCode,
    images: NDArray[Any],
    parameters: Parameters,
    seeds: tuple[int, int],
    order: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """`outcomes` with the global generators of Python and NumPy seeded otherwise."""
    rows = np.arange(len(images)) if order is None else order
    made = images[rows].copy()
    for place, row in enumerate(rows.tolist()):
        only = taken([parameters], np.array([row]))[0]
        with _seeded_globally(seeds):
            step.run(made[place : place + 1], only, plain=False)
    return made


@contextmanager
def _seeded_globally(seeds: Sequence[int]) -> Iterator[None]:
    """Inside the block the global generators begin anew; behind it they go on as before."""
    before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seeds[0])
    np.random.seed(seeds[1])  # noqa: NPY002, TID251
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)  # noqa: NPY002
