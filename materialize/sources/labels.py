"""Labels in arrays: numbers, names or one-hot rows, made into class numbers and names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.sources.naming import naturally_sorted


def label_columns(
    labels_by_split: Mapping[str, NDArray[Any] | None], class_names: Sequence[str]
) -> tuple[dict[str, NDArray[np.int32] | None], tuple[str, ...]]:
    """The labels of every split under one numbering.

    Args:
        labels_by_split: (N,) or (N, 1) integers, whole floats or strings, or (N, K) one-hot rows,
            for each split; None for every split of an unlabelled source.
        class_names: names for integer labels 0, 1, …; empty to call them by their numbers.

    Returns:
        The columns by split, and the class names in label order.

    Raises:
        SourceError: labels that are none of these, negative, beyond the names, or only on some
            splits.
    """
    given = {split: labels for split, labels in labels_by_split.items() if labels is not None}
    if not given:
        return dict.fromkeys(labels_by_split), ()
    if len(given) < len(labels_by_split):
        missing = sorted(set(labels_by_split) - set(given))
        raise SourceError(
            f"{', '.join(sorted(given))} has labels, {', '.join(missing)} has none: every split or "
            "none must be labelled",
            {"missing": missing},
        )
    flat = {split: _flat(labels, split) for split, labels in given.items()}
    names_by_split = {split: _named(column, class_names, split) for split, column in flat.items()}
    names = tuple(class_names) or _all_names(given, names_by_split)
    codes = {name: code for code, name in enumerate(names)}
    columns: dict[str, NDArray[np.int32] | None] = {}
    for split, (distinct, inverse) in names_by_split.items():
        translation = np.array([codes[name] for name in distinct], np.int32)
        columns[split] = translation[inverse]
    return columns, names


def _all_names(
    labels_by_split: Mapping[str, NDArray[Any]],
    names_by_split: Mapping[str, tuple[list[str], NDArray[np.int64]]],
) -> tuple[str, ...]:
    """Every name seen, and every column of one-hot labels, seen or not."""
    names = {name for distinct, _ in names_by_split.values() for name in distinct}
    for labels in labels_by_split.values():
        if labels.ndim == 2 and labels.shape[1] > 1:
            names.update(str(column) for column in range(labels.shape[1]))
    return naturally_sorted(names)


def _flat(labels: NDArray[Any], split: str) -> NDArray[Any]:
    """(N,) labels out of (N,), (N, 1) or one-hot (N, K)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 1 and labels.dtype.kind in "iufUS":
        return labels
    if labels.ndim == 2 and labels.dtype.kind in "iufb":
        hot = labels == 1
        if (hot.sum(axis=1) == 1).all() and (hot | (labels == 0)).all():
            columns: NDArray[np.int64] = np.argmax(hot, axis=1)
            return columns
        raise SourceError(
            f"the {split} labels have shape {labels.shape} and are not one-hot: soft labels cannot "
            'name a class; give several labels or values as a field, {"images": …, "fields": '
            '{"tags": …}}',
            {"found": labels.shape, "split": split},
        )
    raise SourceError(
        f"the {split} labels have shape {labels.shape} and dtype {labels.dtype}: expected (N,) or "
        "(N, 1) numbers or strings, or one-hot (N, K)",
        {"found": labels.shape, "split": split},
    )


def _named(
    labels: NDArray[Any], class_names: Sequence[str], split: str
) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct labels by name, and which of them each row has."""
    distinct, inverse = np.unique(labels, return_inverse=True)
    if labels.dtype.kind == "S":
        return [name.decode("utf-8", "backslashreplace") for name in distinct.tolist()], inverse
    if labels.dtype.kind == "U":
        return distinct.tolist(), inverse
    numbers = distinct.astype(np.int64) if np.isfinite(distinct).all() else None
    if numbers is None or (numbers != distinct).any() or (numbers < 0).any():
        raise SourceError(
            f"the {split} labels hold a value that is not a whole number from 0: "
            f"{distinct[0]} to {distinct[-1]}",
            {"split": split},
        )
    if class_names and numbers[-1] >= len(class_names):
        raise SourceError(
            f"the {split} labels go to {numbers[-1]}, but there are {len(class_names)} class names",
            {"expected": len(class_names), "found": int(numbers[-1]) + 1, "split": split},
        )
    if class_names:
        return [class_names[number] for number in numbers], inverse
    return [str(number) for number in numbers], inverse
