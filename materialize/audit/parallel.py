"""One function over many items by a crew, results as they come; errors of the crew in our words."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from materialize.errors import MaterializeError
from materialize.executor import Crew
from materialize.parallel import BrokenProcessPool, spread

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def unordered(
    function: Callable[[_Item], _Result], items: Iterable[_Item], crew: Crew
) -> Iterator[_Result]:
    """The function of every item, in the order of completion.

    Args:
        function: picklable; changes nothing that another call sees.
        items: picklable.
        crew: the workers.

    Raises:
        ConfigError: joblib has no such backend here.
        MaterializeError: a worker was killed. (What ``function`` raises comes through.)
    """
    try:
        yield from spread(function, items, workers=crew.workers, backend=crew.backend)
    except BrokenProcessPool as error:
        raise MaterializeError(
            f"one of {crew.workers} worker processes was killed, by the system for want of memory "
            "or by a crash in a decoder; nothing was changed. Run again with fewer workers, or "
            "with one to see which image it is",
            {"workers": crew.workers},
        ) from error
