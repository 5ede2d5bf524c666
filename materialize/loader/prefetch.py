"""Work done ahead in threads, handed out in order, and never more of it than was asked for.

Threads, not processes: copying, hashing, decoding and rendering all run without the interpreter
lock, and pixels that were made in another process would have to be copied back.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def ahead(work: Iterable[Callable[[], _T]], *, threads: int, ahead: int) -> Iterator[_T]:
    """The results of some calls, in their order.

    An error of a call is raised where its result would have come. When the iterator is closed, by a
    break, an error or Ctrl-C at the receiver, calls that did not begin are dropped, and the others
    are waited for.

    Args:
        work: the calls; drawn from as they are needed.
        threads: that make them; 0 makes each when its result is asked for.
        ahead: results, finished or under way, beyond the one that was handed out.
    """
    if threads == 0:
        for call in work:
            yield call()
        return
    pending: deque[Future[_T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="materialize-loader") as pool:
        try:
            for call in work:
                pending.append(pool.submit(call))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
