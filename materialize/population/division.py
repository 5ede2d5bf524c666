"""Cuts images into training, validation and test, or into folds, without tearing apart what is one.

Images of equal content and images of one group, joined transitively, are a cluster; a cluster lies
in one part, or what is tested on was trained on. Every class is shared out by largest remainder,
and what the rounding of one class takes from a part the next class gives back, so that the parts
of many small classes come out right as well.

Everything here is a pure function of sample ids, labels, groups and digests: never of paths, of the
order of rows or of how classes are numbered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.population.identity import byte_order, equal_rows
from materialize.sources.base import SPLITS, first_few
from pipelines.randomness import MAX_SEED, counters, draw_words, step_keys

UNCUT = -1
"""The part of an image that has none yet."""

_DRAW = "division"
"""What the order of clusters is drawn under, as a step's words are under its key."""
_SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class Division:
    """How images without splits of their own become training, validation and test."""

    weights: tuple[int, int, int]
    """Shares of `SPLITS`, in lowest terms; training has one."""
    seed: int = 0
    """Which division of that kind; in [0, 2**64)."""

    def __post_init__(self) -> None:
        """Checks the shares and brings them to lowest terms.

        Raises:
            ConfigError: a share is negative, training has none, or the seed is out of reach.
        """
        whole = all(type(weight) is int and weight >= 0 for weight in self.weights)
        if len(self.weights) != len(SPLITS) or not whole or not self.weights[0]:
            raise ConfigError(
                f"split: expected shares of {', '.join(SPLITS)} of which the first is not 0, got "
                f"{self.weights}; leave more to training",
                {"name": "split", "expected": "training more than 0", "found": self.weights},
            )
        _check_seed(self.seed)
        common = gcd(*self.weights)
        lowest = tuple(weight // common for weight in self.weights)
        object.__setattr__(self, "weights", lowest)

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "Division":
        """The division that ``0.8/0.1/0.1``, ``0.8/0.2`` or ``80/10/10`` stands for.

        Args:
            text: shares of training, validation and, if there are three, test; each in [0, 1] with
                the sum 1, or each in [0, 100] with the sum 100.
            seed: see `seed`.

        Raises:
            ConfigError: it is nothing of the kind.
        """
        try:
            shares = [Fraction(part.strip()) for part in text.split(_SEPARATOR)]
        except (ValueError, ZeroDivisionError):
            shares = []
        adds_up = 2 <= len(shares) <= len(SPLITS) and sum(shares) in (1, 100) and min(shares) >= 0
        if not adds_up:
            raise ConfigError(
                "split: expected TRAIN/VAL/TEST or TRAIN/VAL as fractions that sum to 1 or "
                f"percentages that sum to 100, such as 0.8/0.1/0.1, got {text!r}",
                {"name": "split", "expected": "0.8/0.1/0.1", "found": text},
            )
        shares += [Fraction(0)] * (len(SPLITS) - len(shares))
        unit = lcm(*(share.denominator for share in shares))
        train, val, test = (int(share * unit) for share in shares)
        return cls((train, val, test), seed)

    def __str__(self) -> str:
        """Such as ``8/1/1``."""
        return _SEPARATOR.join(map(str, self.weights))


def split_codes(
    ids: NDArray[np.uint8],
    labels: NDArray[np.int32],
    groups: Sequence[str],
    digests: NDArray[np.uint8],
    *,
    division: Division,
    standing: NDArray[np.int8] | None = None,
) -> NDArray[np.uint8]:
    """The split of each image: stratified by class, no cluster divided.

    A class of n images gives each split the floor or the ceiling of its share, and training at
    least one: of 1 or 2 images in 8/1/1 all are trained on. Large groups are placed first, where
    they overfill the least; images of their own fill what is left, in the order drawn for them.

    Args:
        ids: (n, 16) sample ids, distinct.
        labels: (n,) class numbers; -1 throughout for unlabelled images, which are one class.
        groups: n names; empty for an image that is in no group.
        digests: (n, 32) of each image's content.
        division: the shares, and the seed that decides who is where.
        standing: (n,) split codes of images that keep the split they have, `UNCUT` for the others;
            an uncut image in a cluster with a standing one joins it (training, if it could join
            several), and the rest is cut as if it were alone.

    Returns:
        (n,) index into `SPLITS`.
    """
    parts = np.full(len(ids), UNCUT, np.int8) if standing is None else standing.astype(np.int8)
    clusters = cluster_numbers(digests, groups)
    if len(ids):
        nobody = len(SPLITS)
        joined = np.full(int(clusters.max()) + 1, nobody, np.int8)
        stands = parts != UNCUT
        np.minimum.at(joined, clusters[stands], parts[stands])
        joins = ~stands & (joined[clusters] < nobody)
        parts[joins] = joined[clusters[joins]]
    rest = np.flatnonzero(parts == UNCUT)
    parts[rest] = _dealt(
        ids[rest],
        labels[rest],
        clusters[rest],
        division.weights,
        division.seed,
        is_first_served=True,
    )
    return parts.astype(np.uint8)


def fold_numbers(
    ids: NDArray[np.uint8],
    labels: NDArray[np.int32],
    groups: Sequence[str],
    digests: NDArray[np.uint8],
    *,
    folds: int,
    seed: int = 0,
) -> NDArray[np.int8]:
    """The fold that validates on each image; the others train on it.

    Stratified and undivided like `split_codes`. A class with fewer images than folds is missing in
    some folds' validation, and every fold but those of its only cluster trains on it. The folds are
    those of these images: others join or leave, and the folds are dealt anew.

    Args:
        ids: (n, 16) sample ids, distinct.
        labels: (n,) class numbers; -1 throughout for unlabelled images.
        groups: n names; empty for an image that is in no group.
        digests: (n, 32) of each image's content.
        folds: how many, in [2, 127] and not more than there are clusters.
        seed: in [0, 2**64); another seed, other folds.

    Returns:
        (n,) in [0, folds).

    Raises:
        ConfigError: the folds are too few, too many, or more than there are clusters.
    """
    most = np.iinfo(np.int8).max
    if type(folds) is not int or not 2 <= folds <= most:
        raise ConfigError(
            f"folds: expected a whole number in [2, {most}], got {folds!r}",
            {"name": "folds", "expected": [2, most], "found": folds},
        )
    _check_seed(seed)
    clusters = cluster_numbers(digests, groups)
    found = len(np.unique(clusters))
    if found < folds:
        raise ConfigError(
            f"folds: expected at most the {found} groups of images that can be told apart, got "
            f"{folds}; ask for fewer, or name another group column",
            {"name": "folds", "expected": found, "found": folds},
        )
    return _dealt(ids, labels, clusters, (1,) * folds, seed, is_first_served=False)


def cluster_numbers(digests: NDArray[np.uint8], groups: Sequence[str]) -> NDArray[np.int64]:
    """The cluster of each image: equal content or equal group, joined transitively.

    Args:
        digests: (n, 32) of each image's content.
        groups: n names; empty for none.

    Returns:
        (n,) from 0, in the order of first rows.
    """
    # 0.1 s to import, for those who divide only.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(digests)
    edges = [np.stack([np.full(len(rows), rows[0]), rows]) for rows in equal_rows(digests)]
    first_of: dict[str, int] = {}
    grouped = [(first_of.setdefault(group, row), row) for row, group in enumerate(groups) if group]
    if grouped:
        edges.append(np.array(grouped, np.int64).T)
    if not edges:
        return np.arange(count)
    start, end = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(start), np.int8), (start, end)), (count, count))
    numbers = connected_components(graph, directed=False)[1]
    return np.asarray(numbers, np.int64)


def check_undivided(splits: NDArray[np.uint8], locators: Sequence[str]) -> None:
    """Refuses to divide a source that says itself what is in which split.

    Args:
        splits: (n,) index into `SPLITS`.
        locators: where each image was found.

    Raises:
        ConfigError: not all images are in training.
    """
    elsewhere = np.flatnonzero(splits)
    if len(elsewhere):
        named = first_few(f"{locators[int(r)]} ({SPLITS[splits[r]]})" for r in elsewhere.tolist())
        raise ConfigError(
            f"split: expected a source without splits of its own, found {len(elsewhere)} of "
            f"{len(splits)} images in val or test: {named}; drop the option split, or name a "
            "source of training images alone",
            {"name": "split", "expected": "training images alone", "found": len(elsewhere)},
        )


def _check_seed(seed: int) -> None:
    if type(seed) is not int or not 0 <= seed < MAX_SEED:
        raise ConfigError(
            f"split-seed: expected a whole number in [0, 2**64), got {seed!r}",
            {"name": "split-seed", "expected": "[0, 2**64)", "found": seed},
        )


def _dealt(
    ids: NDArray[np.uint8],
    labels: NDArray[np.int32],
    clusters: NDArray[np.int64],
    weights: Sequence[int],
    seed: int,
    *,
    is_first_served: bool,
) -> NDArray[np.int8]:
    """(n,) part of each row, in shares of ``weights``."""
    parts = np.zeros(len(ids), np.int8)
    if not len(ids):
        return parts
    by_id = byte_order(ids)
    strata = _by_smallest_id(labels, by_id)
    drawn = _in_drawn_order(ids, clusters, by_id, seed)
    left = _quotas(np.bincount(strata), weights, is_first_served=is_first_served)
    sizes = np.bincount(drawn)
    rows = np.argsort(drawn, kind="stable")
    bounds = np.cumsum(sizes)
    large = np.flatnonzero(sizes > 1)
    for cluster in large[np.argsort(-sizes[large], kind="stable")].tolist():
        members = rows[bounds[cluster] - sizes[cluster] : bounds[cluster]]
        needed = np.bincount(strata[members], minlength=len(left))
        part = _roomiest(left, needed, weights)
        left[:, part] -= needed
        parts[members] = part
    alone = rows[sizes[drawn[rows]] == 1]
    alone = alone[np.argsort(strata[alone], kind="stable")]
    parts[alone] = _filling(left, np.bincount(strata[alone], minlength=len(left)))
    return parts


def _in_drawn_order(
    ids: NDArray[np.uint8], clusters: NDArray[np.int64], by_id: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """(n,) clusters numbered in the order that the seed draws for the smallest id of each."""
    _, first, numbers = np.unique(clusters[by_id], return_index=True, return_inverse=True)
    words = draw_words(step_keys(seed, _DRAW, 2), counters(ids[by_id[first]], 0))
    order = np.empty(len(first), np.int64)
    order[np.lexsort((first, words[:, 1], words[:, 0]))] = np.arange(len(first))
    drawn = np.empty(len(ids), np.int64)
    drawn[by_id] = order[numbers]
    return drawn


def _filling(left: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The part of images of their own, stratum by stratum, which fill what is left.

    Args:
        left: (strata, parts) how many are still to come; less than 0 where groups overfilled.
        counts: (strata,) how many images there are.
    """
    rooms = np.maximum(left, 0).tolist()
    taken = [
        _quotas([size], room, is_first_served=False)[0]
        for size, room in zip(counts.tolist(), rooms, strict=True)
    ]
    return np.repeat(np.tile(np.arange(left.shape[1]), len(left)), np.concatenate(taken))


def _by_smallest_id(labels: NDArray[np.int32], by_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) labels numbered by the smallest sample id of each, not by how classes are numbered."""
    _, first, numbers = np.unique(labels[by_id], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    strata = np.empty(len(labels), np.int64)
    strata[by_id] = rank[numbers]
    return strata


def _quotas(
    sizes: Sequence[int] | NDArray[np.int64], weights: Sequence[int], *, is_first_served: bool
) -> NDArray[np.int64]:
    """(strata, parts) how many of each stratum every part should get, in whole numbers throughout.

    Largest remainder, where the remainders of earlier strata count: a part that was rounded down
    comes first the next time. Never less than the floor of a share, nor more than its ceiling,
    but for the one image that the first part is served.
    """
    total = sum(weights)
    shares = np.array(weights, np.int64)
    owed = np.zeros(len(weights), np.int64)
    quotas = np.zeros((len(sizes), len(weights)), np.int64)
    for row, size in enumerate(int(size) for size in sizes):
        if not size:
            continue
        quota, remainder = np.divmod(size * shares, total)
        wanting = np.flatnonzero(remainder)
        # A stable sort: of equals, training first.
        urgent = wanting[np.argsort(-(remainder + owed)[wanting], kind="stable")]
        quota[urgent[: size - int(quota.sum())]] += 1
        if is_first_served and not quota[0]:
            quota[int(quota.argmax())] -= 1
            quota[0] = 1
        owed += size * shares - total * quota
        quotas[row] = quota
    return quotas


def _roomiest(left: NDArray[np.int64], needed: NDArray[np.int64], weights: Sequence[int]) -> int:
    """The part that a cluster overfills the least; of equals the emptiest, measured by its share.

    Args:
        left: (strata, parts) how many are still to come.
        needed: (strata,) what the cluster has of each.
        weights: the shares; a part without one gets nothing.
    """
    concerned = np.flatnonzero(needed)
    room = left[concerned]
    overfull = np.maximum(needed[concerned, None] - np.maximum(room, 0), 0).sum(axis=0)
    share = room.sum(axis=0)
    parts = [part for part, weight in enumerate(weights) if weight]
    return min(parts, key=lambda p: (overfull[p], Fraction(-int(share[p]), weights[p]), p))
