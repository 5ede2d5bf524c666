"""What the figures of past epochs decide: which was best, when to stop, how fast to learn.

All of it is computed from the history alone and kept nowhere else, so a resumed training decides
what the uninterrupted one decides.
"""

from collections.abc import Sequence

from materialize.training.result import EpochFigures
from materialize.training.settings import TrainingSettings


def scores(history: Sequence[EpochFigures], monitor: str) -> list[float]:
    """A figure of each epoch, turned so that higher is better.

    Args:
        history: from epoch 0 on.
        monitor: one of `MONITORS`; where there is no validation part, its training twin is taken.
    """
    sign = 1.0 if monitor.endswith("accuracy") else -1.0
    values = [getattr(figures, monitor) for figures in history]
    if None in values:
        values = [getattr(figures, monitor.removeprefix("val_")) for figures in history]
    return [sign * value for value in values]


def best_epoch(history: Sequence[EpochFigures], monitor: str) -> int:
    """The best epoch, the first of equals; -1 if there is none yet."""
    ranked = scores(history, monitor)
    return ranked.index(max(ranked)) if ranked else -1


def has_stalled(history: Sequence[EpochFigures], settings: TrainingSettings) -> bool:
    """Whether ``patience`` epochs have passed since the best one."""
    if settings.patience is None or not history:
        return False
    return len(history) - 1 - best_epoch(history, settings.monitor) >= settings.patience


def is_over(history: Sequence[EpochFigures], settings: TrainingSettings) -> bool:
    """Whether no epoch follows."""
    return len(history) >= settings.epochs or has_stalled(history, settings)


def plateau_rate(history: Sequence[EpochFigures], settings: TrainingSettings) -> float:
    """The learning rate of the next epoch under the schedule ``plateau``.

    It is multiplied by ``schedule_factor`` whenever ``schedule_patience`` epochs in a row are not
    better than the best before them; then counting starts anew, as in Keras' ReduceLROnPlateau.
    """
    rate, best, waited = settings.learning_rate, float("-inf"), 0
    for score in scores(history, settings.monitor):
        if score > best:
            best, waited = score, 0
            continue
        waited += 1
        if waited >= settings.schedule_patience:
            rate, waited = rate * settings.schedule_factor, 0
    return rate
