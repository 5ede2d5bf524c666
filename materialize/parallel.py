"""One function over many items in worker processes or threads, by whatever backend joblib has.

The scan, the build and the audit all run so. What the workers are decides time and nothing else;
a backend that cannot hand over results one by one hands them over at the end.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from materialize.errors import ConfigError
from materialize.orphans import end_with_parent

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def spread(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    workers: int,
    backend: str,
    in_order: bool = False,
) -> Iterator[_Result]:
    """The function of every item.

    Args:
        function: picklable; changes nothing that another call sees.
        items: picklable; taken from the iterable as workers become free.
        workers: how many; 1 runs everything right here, -1 is one per processor.
        backend: joblib's name, ``sequential`` included, which runs everything right here too.
        in_order: give results in the order of the items rather than as they are done.

    Raises:
        ConfigError: joblib has no such backend here.
        BrokenProcessPool: a worker was killed. (What ``function`` raises comes through.)
    """
    if workers == 1 or backend == "sequential":
        yield from map(function, items)
        return
    pool = _pool(workers, backend, "generator" if in_order else "generator_unordered")
    yield from pool(delayed(_called)(function, item) for item in items)


def _pool(workers: int, backend: str, return_as: str) -> Any:
    """The pool; joblib says only by refusing which backends cannot return a generator."""
    try:
        return Parallel(n_jobs=workers, backend=backend, return_as=return_as)
    except (ValueError, ImportError):
        pass
    try:
        return Parallel(n_jobs=workers, backend=backend, return_as="list")
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"backend: expected loky, threading, sequential or another that joblib has here, got "
            f"{backend!r} ({error})",
            {"name": "backend", "expected": "one of joblib's", "found": backend},
        ) from error


def _called(function: Callable[[_Item], _Result], item: _Item) -> _Result:
    end_with_parent()
    return function(item)


__all__ = ["BrokenProcessPool", "spread"]
