"""Gives each class of a generation the number of draws that an epoch shall show of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.population.rates import NO_RANK, Rates
from materialize.population.table import Population

Balance = str | int | Mapping[str, int] | tuple[tuple[str, int], ...]
"""``max``: as many of each class as the largest has; a number; or a number for each class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRate:
    """How often an epoch shows a class of a generation, and what stands behind it."""

    class_name: str
    generation: int
    num_images: int
    """Originals in training, as they are now."""
    draws_per_epoch: int
    """N."""
    wanted: int
    """N as it was asked for, without a cap."""
    originals_per_epoch: int
    """Different images that an epoch shows."""
    originals_per_run: int
    """And that as many epochs show as there are copies."""

    @property
    def draws_per_image(self) -> float:
        """On average, in an epoch; 0 where nothing is left."""
        return self.draws_per_epoch / self.num_images if self.num_images else 0.0

    @property
    def is_capped(self) -> bool:
        """Whether it falls short of what was asked for."""
        return self.draws_per_epoch < self.wanted


def class_rates(
    populations: Sequence[Population], balance: Balance | None, copies: int
) -> tuple[ClassRate, ...]:
    """How often epochs show each class of each generation; empty where nothing is balanced.

    Args:
        populations: by generation, from the first.
        balance: what was asked for.
        copies: of the dataset, which are as many epochs.
    """
    if balance is None:
        return ()
    found = []
    for generation, population in enumerate(populations, start=1):
        rates, names = population.rates, population.class_names
        if rates is None:
            continue
        wanted = wanted_draws(balance, names, rates.periods)
        trained = population.split_rows("train")
        rows = slice(trained.start, trained.stop)
        images, once, ever = (
            np.bincount(population.labels[rows][is_shown], minlength=len(names)).tolist()
            for is_shown in (
                np.ones(len(trained), bool),
                rates.num_draws(1)[rows] > 0,
                rates.num_draws(copies)[rows] > 0,
            )
        )
        found += [
            ClassRate(
                class_name=name, generation=generation, num_images=images[label],
                draws_per_epoch=int(rates.draws[label]), wanted=int(wanted[label]),
                originals_per_epoch=once[label], originals_per_run=ever[label],
            )
            for label, name in enumerate(names)
            if rates.periods[label]
        ]  # fmt: skip
    return tuple(found)


def balanced(population: Population, balance: Balance | None, cap: int | None) -> Population:
    """The population with the rates of its training classes.

    Args:
        population: one generation, whole.
        balance: what to reach; None leaves the population as it is.
        cap: most draws of an image in an epoch, on average over its class; None for no limit.

    Raises:
        ConfigError: the images have no classes, or a class is named that they do not have.
    """
    if balance is None:
        return population
    here = population.split_rows("train")
    rows = slice(here.start, here.stop)
    labels = population.labels[rows]
    names = population.class_names
    periods = np.bincount(np.maximum(labels, 0), minlength=len(names)).astype(np.int64)
    draws = wanted_draws(balance, names, periods)
    if cap is not None:
        draws = np.minimum(draws, cap * periods)
    ranks = np.full(len(population), NO_RANK, np.int32)
    order = np.argsort(labels, kind="stable")
    first = np.cumsum(periods) - periods
    ranks[rows][order] = np.arange(len(labels)) - first[labels[order]]
    return replace(population, rates=Rates(ranks, population.labels, periods, draws))


def wanted_draws(
    balance: Balance, class_names: tuple[str, ...], periods: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(classes,) how many of each class an epoch is asked to show; 0 of a class without images.

    Args:
        balance: what to reach; a class that it does not name is shown as it is.
        class_names: in label order.
        periods: (classes,) training images of each.

    Raises:
        ConfigError: there are no classes, or one is named that is not there.
    """
    if not class_names:
        raise ConfigError(
            "balance: expected images with classes, found none; give the source labels, or leave "
            "the option out",
            {"name": "balance", "expected": "classes", "found": 0},
        )
    if isinstance(balance, str):  # max
        wanted = np.full_like(periods, periods.max(initial=0))
    elif isinstance(balance, int):
        wanted = np.full_like(periods, balance)
    else:
        targets = dict(balance)
        unknown = sorted(set(targets) - set(class_names))
        if unknown:
            raise ConfigError(
                f"balance: expected classes of the source, such as {class_names[0]!r}, got "
                f"{', '.join(map(repr, unknown[:5]))}; correct the names",
                {"name": "balance", "expected": class_names, "found": tuple(unknown)},
            )
        own = zip(class_names, periods.tolist(), strict=True)
        wanted = np.array([targets.get(name, count) for name, count in own], np.int64)
    return np.where(periods > 0, wanted, 0)
