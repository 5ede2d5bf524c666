"""The proof that stored copies and augmenting on the fly are the same training.

An arm with K ≥ epochs stored copies, and the prefix arm always, show the bytes that on-the-fly
shows, in its order. So their weights must end equal to the last bit; an arm with fewer copies is
equal for its first K epochs, and so must be its losses.
"""

from collections.abc import Iterable, Iterator, Sequence

from materialize.contrast.results import REFERENCE, Proof, ProofPair, RunResult


def prove_equal(runs: Sequence[RunResult], num_epochs: int) -> Proof:
    """Compares what must be equal.

    Args:
        runs: of all arms; those of an ablation have names of their own and are left alone.
        num_epochs: that the trainings were to have.

    Returns:
        It holds if all pairs ended with equal weights and all epochs that saw the same images have
        equal losses; None if there was no pair of weights to compare.
    """
    reference = {(r.seed, r.fold): r for r in runs if r.name == REFERENCE}
    enough = sorted({r.copies for r in runs if r.copies is not None and r.copies >= num_epochs})
    smallest = enough[0] if enough else None
    pairs = tuple(
        ProofPair(
            name=run.name, seed=run.seed, fold=run.fold, weights=run.weights,
            on_the_fly=twin.weights,
        )
        for run, twin in _twins(runs, reference)
        if run.copies is None or run.copies >= num_epochs
    )  # fmt: skip
    differing = [pair for pair in pairs if pair.weights != pair.on_the_fly]
    compared, unequal = _losses(_twins(runs, reference))
    if differing or unequal:
        return Proof(
            holds=False, copies=smallest, pairs=pairs,
            reason=_difference(differing, len(pairs), unequal),
        )  # fmt: skip
    losses = (
        f" The losses of all {compared} epochs that saw the same images are equal as well."
        if compared
        else ""
    )
    if not pairs:
        why = (
            "on-the-fly was not run" if not reference
            else f"no K reaches the {num_epochs} epochs, and there was no prefix arm"
        )  # fmt: skip
        return Proof(holds=None, reason=f"No weights could be compared: {why}.{losses}")
    names = ", ".join(dict.fromkeys(pair.name for pair in pairs))
    return Proof(
        holds=True, copies=smallest, pairs=pairs,
        reason=f"{names}: {len(pairs)} of {len(pairs)} trainings ended with the weights of "
        f"{REFERENCE}, bit for bit.{losses}",
    )  # fmt: skip


def _twins(
    runs: Iterable[RunResult], reference: dict[tuple[int, int | None], RunResult]
) -> Iterator[tuple[RunResult, RunResult]]:
    """Each offline or prefix run, and the on-the-fly run of its seed and fold."""
    for run in runs:
        twin = reference.get((run.seed, run.fold))
        if run.arm in ("offline", "prefix") and twin is not None:
            yield run, twin


def _losses(twins: Iterable[tuple[RunResult, RunResult]]) -> tuple[int, list[str]]:
    """Number of epochs that saw the same images, and those of them whose losses differ."""
    compared, unequal = 0, []
    for run, twin in twins:
        same = len(run.epochs) if run.copies is None else run.copies
        for mine, other in list(zip(run.epochs, twin.epochs, strict=False))[:same]:
            compared += 1
            if mine.loss != other.loss:
                unequal.append(f"{run.name}, seed {run.seed}, epoch {mine.epoch}")
    return compared, unequal


def _difference(differing: Sequence[ProofPair], total: int, unequal: Sequence[str]) -> str:
    if differing:
        first = differing[0]
        return (
            f"{len(differing)} of {total} trainings ended with other weights than {REFERENCE}, "
            f"such as {first.name}, seed {first.seed}: the training is not deterministic here, or "
            "the arms saw different images."
        )
    return (
        f"{len(unequal)} epochs that saw the same images have other losses than {REFERENCE}, such "
        f"as {unequal[0]}."
    )
