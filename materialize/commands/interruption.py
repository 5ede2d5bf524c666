"""An orderly end: when a signal stops a command, its workers end and their leftovers go."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from materialize.atomic import sweep_temporaries
from materialize.manifest import SHARDS_DIRECTORY
from materialize.receipts import RECEIPTS_DIRECTORY


@contextmanager
def orderly_end(directory: str | Path) -> Iterator[None]:
    """Ends the workers and sweeps a dataset's directory if a signal stops the block.

    Args:
        directory: where the block writes; it need not exist yet.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end_workers()
        for name in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY):
            sweep_temporaries(Path(directory) / name)
        raise


@contextmanager
def interruption_noted(kept: Callable[[], str]) -> Iterator[None]:
    """Says what is true of the work when a signal stops the block.

    Args:
        kept: gives what is there to go on from; it is shown behind ``stopped by Ctrl-C;``.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(kept())
        raise


def _end_workers() -> None:
    """Kills joblib's processes and waits for them: a dead writer's temporaries can be told."""
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    if executor is not None:
        executor.shutdown(wait=True, kill_workers=True)
