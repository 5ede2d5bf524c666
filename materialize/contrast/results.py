"""What a contrast found, as plain values: what is stored, printed as JSON, and drawn as a report.

Nothing here computes or trains: whoever reads a result needs no TensorFlow, and a result that was
stored reads back equal. Accuracies are fractions in [0, 1]; differences are fractions too, so the
margin of one point is 0.01.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import msgspec

from materialize.errors import ConfigError
from materialize.training.result import EpochFigures

FORMAT_NAME = "materialize-contrast"
FORMAT_VERSION = 1

ARMS = ("none", "offline", "on-the-fly", "prefix")
"""The arms there are, in the order of reports."""
REFERENCE = "on-the-fly"
"""The arm that all others are compared with."""
VERDICTS = ("equivalent", "worse", "inconclusive")
"""Of a K: as good within the margin; surely not; or the seeds cannot tell."""
EFFECTS = ("helps", "hurts", "no clear effect")
"""Of a transform."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One training: an arm with a seed, and a fold where there are folds."""

    name: str
    """Of its arm, such as ``offline K=4``; joins it with its `ArmSummary`."""
    arm: str
    """One of `ARMS`."""
    copies: int | None = None
    """K; None but for the offline arm."""
    seed: int
    """Of the training: initial weights, dropout, order. Equal seeds of two arms are a pair."""
    fold: int | None = None
    epochs: tuple[EpochFigures, ...] = ()
    test_accuracy: float
    test_loss: float
    train_accuracy: float
    """Of the last epoch, on the training batches."""
    val_accuracy: float | None = None
    """Of the last epoch; None without a validation part."""
    initial_weights: str
    """Digest of the weights before the first step, 64 hex digits: equal for all arms of a seed."""
    weights: str
    """Digest of the weights after the last step, 64 hex digits."""
    num_steps: int
    wall_s: float
    cpu_s: float
    """Of the whole process while it trained: augmenting, reading and computing."""
    augment_s: float
    """CPU seconds of augmenting while training; what was spent once, building, is in the arm."""
    read_s: float
    """CPU seconds of reading and gathering."""
    wait_s: float
    """Seconds in which the model waited for its input."""
    compute_s: float
    """Seconds in which the model computed, without ``compile_s``."""
    compile_s: float = 0.0
    """The first step, which compiles the model."""
    warmup_s: float = 0.0
    """Before the first batch: the loader loads compiled code; no part of any other figure."""
    images_per_s: float
    stall_fraction: float
    """wait / (wait + compute), in [0, 1]."""
    stopped_early: bool = False
    extra_scores: dict[str, float] = field(default_factory=dict)
    """Accuracies on further test sets, such as ``easy`` and ``difficult``."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Row: true class, column: predicted class, on the test part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleResult:
    """The folds' models of one seed together: their predictions on the test part averaged."""

    name: str
    """Of the arm."""
    seed: int
    num_models: int
    test_accuracy: float
    test_loss: float
    num_correct: int
    num_images: int
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """An arm over its seeds. Times are means over the runs; intervals are of 95 %."""

    name: str
    arm: str
    copies: int | None = None
    num_seeds: int
    accuracy: float
    """Mean over seeds of the test accuracy; with folds, of the averaged models'."""
    accuracy_low: float | None = None
    """None with one seed."""
    accuracy_high: float | None = None
    difference: float | None = None
    """This arm minus on-the-fly, seed by seed; None for on-the-fly itself or where it was left
    out."""
    difference_low: float | None = None
    difference_high: float | None = None
    train_accuracy: float
    val_accuracy: float | None = None
    gap: float | None = None
    """Training accuracy of the last epoch minus that on ``gap_to``. The training accuracy is
    measured on augmented images, so an augmenting arm's gap may be negative."""
    gap_to: str = "validation"
    """``validation``, or ``test`` where there is no validation part."""
    extra_scores: dict[str, float] = field(default_factory=dict)
    """Means over seeds."""
    wall_s: float
    cpu_s: float
    augment_s: float
    read_s: float
    wait_s: float
    compute_s: float
    images_per_s: float
    stall_fraction: float
    warmup_s: float = 0.0
    """What a training does once and no other figure counts: the loader starts."""
    compile_s: float = 0.0
    """The same of the model: it is compiled."""
    stored_bytes: int
    """What this arm needs on disk beside the source, for its training images."""
    build_s: float = 0.0
    """Seconds that workers took once to write them, by the receipts; for all seeds and epochs."""
    num_shards: int | None = None
    """The files that hold ``stored_bytes``; None in results of earlier releases."""
    generation_s: float | None = None
    """Like ``build_s``, but with the decoding that these shards would need if they were written
    alone: what is decoded for the untouched images serves the copies too. None in results of
    earlier releases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KVerdict:
    """Whether K stored copies do as well as a new copy in each epoch."""

    copies: int
    verdict: str
    """One of `VERDICTS`."""
    difference: float
    """Offline minus on-the-fly, mean over seeds."""
    low: float | None = None
    """Of the 90 % interval, which lies inside the margin exactly when the two one-sided tests at
    5 % both reject."""
    high: float | None = None
    p_value: float | None = None
    """The larger of the two one-sided tests'; None with one seed."""
    needed_seeds: int | None = None
    """How many would decide in 80 of 100 contrasts, if difference and spread are what they seem;
    None unless inconclusive, or if it cannot be told."""
    remark: str = ""
    """What the verdict does not say by itself."""
    is_tested: bool = True
    """False where a larger K already failed: the sequence stops there, and this is description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPair:
    """Two trainings that should end the same."""

    name: str
    """The arm that is compared with on-the-fly."""
    seed: int
    fold: int | None = None
    weights: str
    """Of that arm, 64 hex digits."""
    on_the_fly: str
    """Of the on-the-fly arm, 64 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether arms that see the same bytes in the same order ended with the same weights."""

    holds: bool | None
    """None: nothing in this contrast could be compared; ``reason`` says why."""
    copies: int | None = None
    """The smallest K ≥ epochs among the offline arms, if there is one."""
    pairs: tuple[ProofPair, ...] = ()
    reason: str
    """One sentence for the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """The on-the-fly arm with one transform left out, or with that transform alone."""

    label: str
    """``without rotation``, ``rotation alone``."""
    transform: str
    """Key of the step."""
    kind: str
    """``without`` or ``alone``."""
    num_seeds: int
    accuracy: float
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    reference: str
    """What it is compared with: ``on-the-fly`` for ``without``, ``none`` for ``alone``."""
    difference: float | None = None
    """This row minus its reference, seed by seed."""
    difference_low: float | None = None
    difference_high: float | None = None
    verdict: str
    """One of `EFFECTS`, of the transform itself: leaving a helpful one out lowers accuracy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """A figure of the tutorial that an experiment follows, beside ours."""

    measure: str
    """Such as ``test accuracy`` or ``easy``."""
    setting: str
    """The tutorial's words for what was trained."""
    value: float
    arm: str | None = None
    """Name of the arm of ours it belongs beside."""
    ours: float | None = None
    """That arm's mean; None if it was not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastResult:
    """A whole contrast."""

    format: str = FORMAT_NAME
    version: int = FORMAT_VERSION
    title: str
    experiment: str | None = None
    """Name of the experiment file; None for a job of the user's own."""
    form: str
    """``quick`` or ``full``."""
    variant: str | None = None
    """Of the experiment or job file; None for the file as it stands."""
    command: str
    """What makes this result again."""
    job: dict[str, Any]
    """Every option, JSON-ready."""
    dataset: dict[str, Any]
    """``name``, ``counts`` by split, ``image_shape``, ``class_names``, ``manifest`` and
    ``population`` digests, ``pipeline`` and its ``fingerprint``, ``augmentation_seed``."""
    environment: dict[str, Any]
    """``python``, ``cpu_model``, ``num_cpus``, ``packages``, ``backend``, ``device``."""
    runs: tuple[RunResult, ...]
    ensembles: tuple[EnsembleResult, ...] = ()
    arms: tuple[ArmSummary, ...]
    verdicts: tuple[KVerdict, ...] = ()
    """From the largest K downward."""
    smallest_sufficient: int | None = None
    """The smallest K that the sequence of tests found equivalent; None if none was."""
    margin: float = 0.01
    """Of equivalence, as a fraction: 0.01 is one point."""
    proof: Proof
    ablation: tuple[AblationRow, ...] = ()
    published: tuple[PublishedFigure, ...] = ()
    notes: tuple[str, ...] = ()
    """Traps of the tutorial, differences explained, and what the intervals mean."""
    date: str
    """UTC, ISO 8601."""

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        converted: dict[str, Any] = msgspec.to_builtins(self)
        return converted

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """The result that `to_json` gave.

        Raises:
            ConfigError: these are not the facts of a contrast, or of another version.
        """
        found = (facts.get("format"), facts.get("version"))
        if found != (FORMAT_NAME, FORMAT_VERSION):
            raise ConfigError(
                f"expected {FORMAT_NAME!r} of version {FORMAT_VERSION}, found {found[0]!r} of "
                f"version {found[1]!r}; give the contrast.json that `materialize contrast` wrote",
                {"expected": (FORMAT_NAME, FORMAT_VERSION), "found": found},
            )
        return converted(facts, cls, "the contrast")


def converted(facts: Any, kind: type[_T], name: str) -> _T:
    """A dataclass of this module from JSON values.

    Raises:
        ConfigError: a field is missing or of another type.
    """
    try:
        return msgspec.convert(facts, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{name} cannot be read: {error}; delete its file, and it is made again",
            {"name": name, "reason": str(error)},
        ) from error
