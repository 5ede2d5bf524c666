"""Who is in a part of a dataset: one split, or the folds of it, whatever generations it grew in.

Rows are ordered by sample id, so a dataset that was extended has the rows, and with them the
epochs, of one that was built in one go.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SourceError
from materialize.population.division import fold_numbers
from materialize.population.identity import byte_order
from materialize.population.rates import Rates
from materialize.population.table import Population
from materialize.sources.base import SPLITS
from materialize.sources.records import TextColumn
from materialize.sources.targets import NO_TARGETS, TargetSchema


@dataclass(frozen=True, eq=False)
class Samples:
    """Some images of one split, sorted by sample id."""

    split: str
    ids: NDArray[np.uint8]
    """(n, 16)"""
    labels: NDArray[np.int32]
    """(n,) index into ``class_names``; -1 throughout an unlabelled part."""
    class_names: tuple[str, ...]
    places: NDArray[np.int64]
    """(n,) each one's number among the split's rows of all generations, one after another."""
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """(n, …) numbers that no augmentation changes, by name."""
    schema: TargetSchema = NO_TARGETS
    """What the samples have besides their class."""
    rates: Rates | None = None
    """How often epochs show each of them; None shows each once."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the ids, in hex; of a whole training part, `Population.digest`."""
        hashed = hashlib.sha256(b"materialize population 1\0")
        hashed.update(np.ascontiguousarray(self.ids).data)
        return hashed.hexdigest()

    def taken(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Samples":
        """Some of the samples.

        Args:
            rows: ascending numbers, or a mask of (n,).
        """
        return replace(
            self, ids=self.ids[rows], labels=self.labels[rows], places=self.places[rows],
            fields={name: values[rows] for name, values in self.fields.items()},
            rates=None if self.rates is None else self.rates.taken(rows),
        )  # fmt: skip

    @property
    def num_shown(self) -> int:
        """How many images an epoch shows."""
        if self.rates is None:
            return len(self)
        return int(self.rates.draws[np.unique(self.rates.cells)].sum())

    def each_once(self) -> "Samples":
        """The same samples with every one in every epoch once: to be scored or looked at."""
        return replace(self, rates=None)


def split_samples(populations: Sequence[Population], split: str) -> Samples:
    """The images of a split.

    Args:
        populations: by generation, from the first.
        split: one of `SPLITS`.

    Raises:
        ConfigError: there is no such split.
        SourceError: nothing is in it.
    """
    if split not in SPLITS:
        raise ConfigError(
            f"split: expected one of {', '.join(SPLITS)}, got {split!r}",
            {"name": "split", "expected": SPLITS, "found": split},
        )
    rows = [population.split_rows(split) for population in populations]
    total = sum(map(len, rows))
    if not total:
        there = [name for name in SPLITS if any(p.split_rows(name) for p in populations)]
        raise SourceError(
            f"split {split!r}: expected images in it, found none; there are images in "
            f"{', '.join(there)}. Give the source a {split} part, or cut one off when building, "
            "with split 0.8/0.1/0.1",
            {"expected": split, "found": there},
        )
    pairs = list(zip(populations, rows, strict=True))
    ids = np.concatenate([population.ids[r.start : r.stop] for population, r in pairs])
    labels = np.concatenate([population.labels[r.start : r.stop] for population, r in pairs])
    order = np.arange(total) if len(pairs) == 1 else byte_order(ids)
    fields = {
        f.name: np.concatenate(
            [
                population.targets.fields[f.name][r.start : r.stop]
                for population, r in pairs
                if population.targets is not None
            ]
        )[order]
        for f in populations[-1].schema.fields
    }
    # Names are only ever appended, so the last generation knows all of them.
    last = populations[-1]
    rates = [p.rates.taken(np.arange(r.start, r.stop)) for p, r in pairs if p.rates is not None]
    return Samples(
        split, ids[order], labels[order], last.class_names, order, fields, last.schema,
        Rates.joined(rates).taken(order) if rates and split == "train" else None,
    )  # fmt: skip


def fold_samples(
    populations: Sequence[Population],
    fold: int,
    *,
    folds: int,
    seed: int = 0,
    is_dealt: bool = False,
) -> tuple[Samples, Samples]:
    """One fold of the training part: what is trained on, and what is held out.

    Args:
        populations: by generation, from the first.
        fold: in [0, folds).
        folds: how many there are, at least 2.
        seed: which assignment.
        is_dealt: whether the populations know these folds already, and keep to them.

    Raises:
        ConfigError: there is no such fold.
        SourceError: nothing is left on one of the two sides.
    """
    if not 0 <= fold < folds:
        raise ConfigError(
            f"fold: expected a number in [0, {folds}), got {fold}",
            {"name": "fold", "expected": [0, folds], "found": fold},
        )
    samples = split_samples(populations, "train")
    numbers = _dealt(populations, samples) if is_dealt else _deal(populations, samples, folds, seed)
    held_out: NDArray[np.bool_] = numbers == fold
    if held_out.all() or not held_out.any():
        raise SourceError(
            f"fold {fold} of {folds}: expected images on both sides, found "
            f"{int(held_out.sum())} of {len(held_out)} held out; ask for fewer folds",
            {"fold": fold, "found": int(held_out.sum())},
        )
    return samples.taken(~held_out), samples.taken(held_out).each_once()


def _dealt(populations: Sequence[Population], samples: Samples) -> NDArray[np.int8]:
    """(n,) the folds that the populations know."""
    known = [p.folds[: len(p.split_rows("train"))] for p in populations if p.folds is not None]
    numbers: NDArray[np.int8] = np.concatenate(known)[samples.places]
    return numbers


def _deal(
    populations: Sequence[Population], samples: Samples, folds: int, seed: int
) -> NDArray[np.int8]:
    """(n,) the folds of these images."""
    rows = [population.split_rows("train") for population in populations]
    pairs = list(zip(populations, rows, strict=True))
    groups = TextColumn.joined([p.groups.taken(np.arange(r.start, r.stop)) for p, r in pairs])
    digests = np.concatenate([p.digests[r.start : r.stop] for p, r in pairs])
    return fold_numbers(
        samples.ids, samples.labels, groups.taken(samples.places), digests[samples.places],
        folds=folds, seed=seed,
    )  # fmt: skip
