"""One function over many items by a crew, results as they come; errors of the crew in our words."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from materialize.errors import MaterializeError
from materialize.executor import Crew
from materialize.orphans import end_with_parent

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_STREAMING_BACKENDS = ("loky", "threading")
"""joblib's backends whose results can be taken while later ones are still being made."""


def unordered(
    function: Callable[[_Item], _Result], items: Iterable[_Item], crew: Crew
) -> Iterator[_Result]:
    """The function of every item, in the order of completion.

    Args:
        function: picklable; changes nothing that another call sees.
        items: picklable.
        crew: the workers.

    Raises:
        MaterializeError: a worker was killed. (What ``function`` raises comes through.)
    """
    if crew.workers == 1 or crew.backend == "sequential":
        yield from map(function, items)
        return
    return_as = "generator_unordered" if crew.backend in _STREAMING_BACKENDS else "list"
    pool = Parallel(n_jobs=crew.workers, backend=crew.backend, return_as=return_as)
    try:
        yield from pool(delayed(_called)(function, item) for item in items)
    except BrokenProcessPool as error:
        raise MaterializeError(
            f"one of {crew.workers} worker processes was killed, by the system for want of memory "
            "or by a crash in a decoder; nothing was changed. Run again with fewer workers, or "
            "with one to see which image it is",
            {"workers": crew.workers},
        ) from error


def _called(function: Callable[[_Item], _Result], item: _Item) -> _Result:
    end_with_parent()
    return function(item)
