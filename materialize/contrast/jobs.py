"""What decides a contrast: data, pipeline, arms, training. `job_files` reads it from TOML."""

import difflib
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import msgspec

from materialize.config import Job
from materialize.contrast.ablation import KINDS
from materialize.contrast.excerpt import Excerpt
from materialize.contrast.results import ARMS, REFERENCE
from materialize.contrast.terms import CostTerms
from materialize.errors import ConfigError
from materialize.recipe import whole_number
from materialize.training.settings import TrainingSettings

LEAST_SEEDS = 3
"""With fewer there is no interval, or one that holds everything."""
FOLDS = ("stratified", "plain")
"""How folds are cut: every class alike, or shuffled as they come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A figure of the tutorial, as its experiment file gives it."""

    measure: str
    setting: str
    value: float
    arm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastJob:
    """Everything that decides a contrast."""

    title: str
    images: Job
    """Which images, how they are split, which pipeline: the options of a build."""
    training: TrainingSettings
    """Its seed is the first of the contrast's."""
    experiment: str | None = None
    form: str = "full"
    """``quick`` or ``full``."""
    variant: str | None = None
    """Which of the file's variants this is; None for the file as it stands."""
    prepare: str | None = None
    """A preparation of `materialize.contrast.preparations` that turns the source into a table."""
    excerpt: Excerpt = field(default_factory=Excerpt)
    arms: tuple[str, ...] = ARMS
    copies: tuple[int, ...] = (1, 2, 4)
    """The K's of the offline arm, ascending."""
    seeds: int = 3
    """How many trainings of each arm; three are the fewest that say anything about equivalence."""
    augmentation_seed: int = 7
    """Of the draws, the same in all trainings."""
    margin: float = 0.01
    """Of equivalence: one point."""
    warm: bool = False
    """Also train on the fly from where the arm ``none`` ended, as tutorial T0 does."""
    ablation: tuple[str, ...] = ()
    """``without``, ``alone``."""
    folds: int | None = None
    """Cross-validate the training part; the folds' models are averaged."""
    fold_kind: str = "stratified"
    base: str | None = None
    """A pretrained base instead of the model: NAME, NAME=FILE or a file of SqueezeNet's weights."""
    train_from: str | None = None
    """With a base: this layer and all after it are trained; the head alone unless given."""
    cost: CostTerms | None = None
    """What the money lines are computed for; nothing that is trained depends on it."""
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            ConfigError: one is outside its set or interval.
        """
        for name, values, choices in (
            ("arms", self.arms, ARMS), ("ablation", self.ablation, KINDS),
            ("fold-kind", (self.fold_kind,), FOLDS),
        ):  # fmt: skip
            for value in values:
                if value not in choices:
                    close = difflib.get_close_matches(value, choices, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"not {value!r}"
                    _refuse(
                        f"{name}: expected {', '.join(choices)}, {hint}", name=name, found=value
                    )
        for name, low, high in (("seeds", 1, 1000), ("augmentation_seed", 0, 2**64 - 1)):
            whole_number(name, getattr(self, name), low, high)
        if self.folds is not None:
            whole_number("folds", self.folds, 2, 1000)
        for count in self.copies:
            whole_number("copies", count, 1, 2**20)
        if not 0 < self.margin < 1:
            _refuse(f"margin: expected a fraction in (0, 1), got {self.margin}", name="margin")
        if (self.ablation or self.warm) and REFERENCE not in self.arms:
            _refuse(f"arms: expected {REFERENCE} among them for ablation and warm, got "
                    f"{', '.join(self.arms)}", name="arms", found=self.arms)  # fmt: skip
        object.__setattr__(self, "copies", tuple(sorted(set(self.copies))))
        object.__setattr__(self, "arms", tuple(arm for arm in ARMS if arm in self.arms))

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """The seeds of the trainings."""
        first = self.training.seed
        return tuple(range(first, first + self.seeds))

    @property
    def caveats(self) -> tuple[str, ...]:
        """What to know before the trainings begin; the conclusions say it again."""
        if self.seeds >= LEAST_SEEDS:
            return ()
        shown = "1 seed has no interval at all"
        if self.seeds == 2:
            shown = "with 2 seeds Student's quantile is 12.7, where it is 4.3 with 3, 2.8 with 5"
        caveat = f"{shown}: intervals and verdicts say next to nothing; run at least {LEAST_SEEDS}"
        return (f"{caveat}, seeds = {LEAST_SEEDS} or --seeds {LEAST_SEEDS}",)

    @property
    def num_stored_copies(self) -> int:
        """The largest K, or 1: a dataset has at least one copy."""
        return max(self.copies, default=1) if "offline" in self.arms else 1

    def to_json(self) -> dict[str, Any]:
        """Every option, JSON-ready."""
        facts: dict[str, Any] = msgspec.to_builtins(asdict(self))
        defaults = asdict(Job())
        facts["images"] = {k: v for k, v in facts["images"].items() if v != defaults[k]}
        return facts


def _refuse(message: str, **facts: Any) -> NoReturn:
    raise ConfigError(message, facts) from None
