"""Whether the columns of a DataFrame can be what they are named for, in Keras' sentences."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np


def check_columns(
    rows: Any,
    class_mode: str | None,
    x_col: str,
    y_col: Any,
    weight_col: str | None,
    classes: Sequence[str] | None,
) -> None:
    """Checks paths, targets and weights.

    Raises:
        TypeError: a value is of another type than its role asks for.
        ValueError: ``binary`` without exactly two classes.
    """
    if class_mode == "multi_output" and not isinstance(y_col, list):
        raise TypeError(
            f'If class_mode="{class_mode}", y_col must be a list. Received {type(y_col).__name__}.'
        )
    if not _all_are(rows[x_col], str):
        raise TypeError(f"All values in column x_col={x_col} must be strings.")
    if class_mode in {"binary", "sparse"} and not _all_are(rows[y_col], str):
        raise TypeError(
            f'If class_mode="{class_mode}", y_col="{y_col}" column values must be strings.'
        )
    if class_mode == "binary":
        _check_two(rows, y_col, classes)
    if class_mode == "categorical" and not _all_are(rows[y_col], (str, list, tuple)):
        raise TypeError(
            f'If class_mode="{class_mode}", y_col="{y_col}" column values must be type string, '
            "list or tuple."
        )
    if classes and class_mode in {"input", "multi_output", "raw", None}:
        warnings.warn(
            f'`classes` will be ignored given the class_mode="{class_mode}"', stacklevel=5
        )
    if weight_col and not _is_numeric(rows[weight_col]):
        raise TypeError(f"Column weight_col={weight_col} must be numeric.")


def kept_classes(rows: Any, y_col: str, classes: Sequence[str] | None) -> tuple[Any, list[str]]:
    """The rows that have one of the classes, and the classes in the order of their numbers.

    Args:
        rows: a DataFrame; not modified.
        y_col: the column of class names, or of lists of them.
        classes: those to keep; None: all, sorted.
    """
    if classes:
        names = list(dict.fromkeys(classes))
        known = set(names)
        kept = [_kept(label, known) for label in rows[y_col]]
        rows = rows.assign(**{y_col: kept})
        return rows[np.array([label is not None for label in kept], dtype=bool)], names
    found: set[str] = set()
    for label in rows[y_col]:
        found.update(label if isinstance(label, list | tuple) else [label])
    return rows.dropna(subset=[y_col]), sorted(found)


def _kept(label: Any, known: set[str]) -> Any:
    if isinstance(label, list | tuple):
        return [name for name in label if name in known] or None
    return label if label in known else None


def _check_two(rows: Any, y_col: str, classes: Sequence[str] | None) -> None:
    if classes:
        if len(set(classes)) != 2:
            raise ValueError(
                'If class_mode="binary" there must be 2 classes. '
                f"{len(set(classes))} class/es were given."
            )
    elif rows[y_col].nunique() != 2:
        found = rows[y_col].nunique()
        raise ValueError(f'If class_mode="binary" there must be 2 classes. Found {found} classes.')


def _all_are(values: Any, kinds: type | tuple[type, ...]) -> bool:
    # Several columns where one is meant: iterating over them would give their names.
    return values.ndim == 1 and all(isinstance(value, kinds) for value in values)


def _is_numeric(values: Any) -> bool:
    kind = getattr(values.dtype, "type", object)
    return isinstance(kind, type) and issubclass(kind, np.number)
