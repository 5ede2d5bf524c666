"""Finds the one sample that a person means."""

import re
from collections.abc import Sequence

import numpy as np

from materialize.errors import ConfigError
from materialize.population.table import Population
from materialize.sources.base import first_few

_HEX = re.compile(r"[0-9a-f]{1,32}")

Place = tuple[int, int]
"""Generation, from 1, and row of its population."""


def find_sample(populations: Sequence[Population], sample: str) -> Place:
    """The sample that a locator, a path or the beginning of a sample id names.

    A locator is looked for first: a file may be called ``deadbeef``.

    Args:
        populations: by generation.
        sample: a locator, a path that ends in one, or hex digits.

    Raises:
        ConfigError: none is meant, or several are.
    """
    for find in (_by_locator, _by_path_end, _by_id):
        found = find(populations, sample)
        if len(found) == 1:
            return found[0]
        if found:
            named = (_described(populations, place) for place in found)
            raise ConfigError(
                f"sample {sample!r}: expected the name of one sample, got {len(found)}: "
                f"{first_few(named)}; give its sample id, or more of it",
                {"name": "sample", "found": sample, "matches": len(found)},
            )
    total = sum(map(len, populations))
    locators = (population.locators[0] for population in populations if len(population))
    raise ConfigError(
        f"sample {sample!r}: expected the beginning of a sample id or a locator, got neither: none "
        f"of {total} samples matches. Locators look like {next(locators, '')!r}",
        {"name": "sample", "found": sample},
    )


def find_samples(
    populations: Sequence[Population], samples: Sequence[str], removed: Sequence[str] = ()
) -> list[Place]:
    """The samples that several names mean, each once, in order.

    Args:
        populations: by generation.
        samples: as `find_sample` takes them.
        removed: ids, in hex, of samples that were there once.

    Raises:
        ConfigError: some of the names mean none or several; all of these are in the message.
    """
    places, problems = set(), []
    for sample in samples:
        try:
            places.add(find_sample(populations, sample))
        except ConfigError as error:
            problems.append(_problem(sample, error, removed))
    if problems:
        raise ConfigError(
            f"expected names of samples, got {len(problems)} of {len(samples)} that are not: "
            f"{'; '.join(problems)}. Nothing was changed",
            {"name": "sample", "found": problems},
        )
    return sorted(places)


def _problem(sample: str, error: ConfigError, removed: Sequence[str]) -> str:
    """Why a name means no sample, where some were removed: of these only the ids are known."""
    if sample and any(known.startswith(sample.lower()) for known in removed):
        return f"sample {sample!r}: removed already"
    is_unknown = sample and removed and "matches" not in error.facts
    return f"{error}; or it was removed already" if is_unknown else str(error)


def _by_locator(populations: Sequence[Population], sample: str) -> list[Place]:
    return [
        (generation, row)
        for generation, population in enumerate(populations, start=1)
        for row, locator in enumerate(population.locators)
        if locator == sample
    ]


def _by_path_end(populations: Sequence[Population], sample: str) -> list[Place]:
    """Samples whose locator ends the path: the longest such locator is the one that is meant."""
    tail = "/" + sample.replace("\\", "/")
    found = [
        (len(locator), (generation, row))
        for generation, population in enumerate(populations, start=1)
        for row, locator in enumerate(population.locators)
        if tail.endswith("/" + locator)
    ]
    longest = max((length for length, _ in found), default=0)
    return [place for length, place in found if length == longest]


def _by_id(populations: Sequence[Population], sample: str) -> list[Place]:
    digits = sample.lower()
    if not _HEX.fullmatch(digits):
        return []
    whole = np.frombuffer(bytes.fromhex(digits[: len(digits) // 2 * 2]), np.uint8)
    places = []
    for generation, population in enumerate(populations, start=1):
        match = (population.ids[:, : len(whole)] == whole).all(axis=1)
        if len(digits) % 2:
            match &= population.ids[:, len(whole)] >> 4 == int(digits[-1], 16)
        places += [(generation, row) for row in np.flatnonzero(match).tolist()]
    return places


def _described(populations: Sequence[Population], place: Place) -> str:
    population, row = populations[place[0] - 1], place[1]
    return f"{population.ids[row].tobytes().hex()} ({population.locators[row]})"
