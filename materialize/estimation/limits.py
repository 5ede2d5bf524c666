"""What a build must not exceed, asked before its first byte, and the note it leaves of that."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from materialize.estimation.assembly import Inquiry, free_bytes
from materialize.estimation.choices import check_budget
from materialize.estimation.estimates import Estimate
from materialize.estimation.money import StorageTerms
from materialize.estimation.planner import estimate_build
from materialize.executor import Crew
from materialize.population import Population
from materialize.progress import Progress
from materialize.recipe import Recipe
from materialize.sources import Source
from pipelines import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a build may take; without budgets, the free disk is the limit."""

    budget_bytes: int | None = None
    """For everything under ``shards``."""
    budget_money: Decimal | None = None
    """For storing it one month, in the currency of the terms' price book."""
    terms: StorageTerms | None = None
    """Where it is stored and at which prices; needed for a budget of money."""

    def estimate(
        self,
        output: Path,
        source: Source,
        population: Population,
        pipeline: Pipeline,
        recipe: Recipe,
        *,
        crew: Crew,
        progress: Progress | None = None,
    ) -> Estimate:
        """What a build is about to take, from the end of its scan on, if it is within the limits.

        Args:
            output: where it will be.
            source: that was scanned.
            population: what the scan gave.
            pipeline: of the build.
            recipe: of the build.
            crew: of the build.
            progress: called as images are drawn.

        Raises:
            BudgetError: it may take more than the budget, or has no price.
            StorageError: it may take more than the disk has room for.
        """
        inquiry = Inquiry(crew=crew, output=output, terms=self.terms)
        found = estimate_build(source, population, pipeline, recipe, inquiry, progress=progress)
        check_budget(
            found, budget_bytes=self.budget_bytes, budget_money=self.budget_money,
            free_bytes=free_bytes(output),
        )  # fmt: skip
        return found
