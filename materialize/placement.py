"""Which split the images of an extension go to, where their source does not say.

A dataset does not remember how it was cut, but it knows where each of its images is. These stay;
a new image that shares its content or its group with some of them goes where they are, whatever
became of them since; and the others are cut as the user says anew.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SourceError
from materialize.planning import take_rows
from materialize.population import Division, Population, ScanOptions
from materialize.population.division import UNCUT, check_undivided, cluster_numbers, split_codes
from materialize.population.identity import byte_order
from materialize.sources.base import first_few


def names_splits(found: Population, old: Sequence[Population]) -> bool:
    """Whether a source's splits are to be believed: it has several, or the dataset has one.

    Args:
        found: the scan of the source, not divided.
        old: the generations of the dataset.
    """
    return bool(found.splits.any()) or not any(population.splits.any() for population in old)


def placed(found: Population, old: Sequence[Population], options: ScanOptions) -> Population:
    """The scan of a source that names no splits, with every image in its split.

    Args:
        found: the scan, not divided, with the ids that its images have in the dataset.
        old: the generations of the dataset.
        options: how new images are cut; without a division they stay in training.

    Raises:
        ConfigError: the source has splits of its own and is to be divided all the same.
        SourceError: a new image belongs to several splits.
    """
    check_undivided(found.splits, found.locators)
    known = {identity.tobytes() for population in old for identity in population.ids}
    is_new = [identity.tobytes() not in known for identity in found.ids]
    new = take_rows(found, np.flatnonzero(is_new))
    everybody = (*old, new)
    ids, labels, digests = (
        np.concatenate([getattr(population, name) for population in everybody])
        for name in ("ids", "labels", "digests")
    )
    groups = [group for population in everybody for group in population.groups]
    standing = [population.splits.astype(np.int8) for population in old]
    codes = split_codes(
        ids, labels, groups, digests, division=options.division or Division((1, 0, 0)),
        standing=np.concatenate([*standing, np.full(len(new), UNCUT, np.int8)]),
    )  # fmt: skip
    if len(new) and not options.allow_split_leaks:
        _check_one_split(new, codes, cluster_numbers(digests, groups))
    code_by_id = dict(zip((identity.tobytes() for identity in ids), codes.tolist(), strict=True))
    splits = np.array([code_by_id[identity.tobytes()] for identity in found.ids], np.uint8)
    order = byte_order(found.ids, splits)
    return take_rows(replace(found, splits=splits), order, found.quarantined)


def check_told(
    directory: Path, added: Population, *, has_splits: bool, division: Division | None
) -> None:
    """Refuses to put new images into training only because nobody says otherwise.

    Args:
        directory: the dataset, for the message.
        added: the new images.
        has_splits: what `names_splits` said.
        division: how they are cut.

    Raises:
        ConfigError: nobody says which split they belong to.
    """
    if not has_splits and division is None:
        raise ConfigError(
            f"split: {directory} has validation or test images and the source names no splits; "
            f"expected to be told how its {len(added)} new images are to be cut, found nothing; "
            "give the option split, such as 0.8/0.1/0.1, or 1/0/0 for training alone",
            {"name": "split", "expected": "TRAIN/VAL/TEST", "found": None},
        )


def _check_one_split(
    new: Population, codes: NDArray[np.uint8], clusters: NDArray[np.int64]
) -> None:
    """Refuses new images, which come last, that tie images of different splits together."""
    smallest, largest = (np.full(int(clusters.max()) + 1, code, np.uint8) for code in (255, 0))
    np.minimum.at(smallest, clusters, codes)
    np.maximum.at(largest, clusters, codes)
    mine = clusters[len(clusters) - len(new) :]
    torn = np.flatnonzero(smallest[mine] != largest[mine]).tolist()
    if torn:
        named = [new.locators[row] for row in torn]
        raise SourceError(
            f"{len(torn)} new images belong to several splits by their content or group: "
            f"{first_few(named)}; exclude them, or accept it with the option allow-split-leaks",
            {"found": named[:100]},
        )
