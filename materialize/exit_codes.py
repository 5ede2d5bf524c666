"""What the exit status of every command means, in one table for scripts, schedulers and people."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit statuses there are."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BAD_IMAGES = 3
    DAMAGE = 4
    PLAN_CONFLICT = 5
    # sysexits.h calls 75 EX_TEMPFAIL, "try again later"; batch systems can requeue on it.
    AGAIN = 75
    # As a shell reports a process that a signal ended: 128 + its number.
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed; the message says why",
    ExitCode.USAGE: "wrong option, job file or pipeline",
    ExitCode.BAD_IMAGES: "more bad images than --max-bad accepts",
    ExitCode.DAMAGE: "damage was found, or bytes that differ",
    ExitCode.PLAN_CONFLICT: "the output belongs to another plan",
    ExitCode.AGAIN: "time ran out or parts are missing: run the same command again",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C; the same command goes on",
    ExitCode.TERMINATED: "stopped by SIGTERM; the same command goes on",
}


def exit_code_of(error: BaseException) -> ExitCode:
    """The status that an expected error ends a command with."""
    # The errors come with numba behind them, which `materialize --help` should not wait for.
    from materialize import errors
    from pipelines.errors import PipelineError

    if isinstance(error, errors.BuildIncompleteError):
        return ExitCode.AGAIN
    if isinstance(error, errors.QuarantineLimitError):
        return ExitCode.BAD_IMAGES
    if isinstance(error, errors.PlanConflictError):
        return ExitCode.PLAN_CONFLICT
    if isinstance(error, errors.ShardError | errors.ManifestError) and not isinstance(
        error, errors.ManifestMissingError
    ):
        return ExitCode.DAMAGE
    if isinstance(error, errors.ConfigError | PipelineError):
        return ExitCode.USAGE
    return ExitCode.FAILED
