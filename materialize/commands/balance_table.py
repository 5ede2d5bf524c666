"""How often each class is shown, as a table on a terminal."""

from collections.abc import Sequence

from materialize.commands.grids import print_grid
from materialize.population import ClassRate

_RATES_SHOWN = 40


def print_balance(rates: Sequence[ClassRate], copies: int) -> None:
    """Prints how often epochs show each class, and how many originals stand behind it."""
    ranked = sorted(rates, key=lambda rate: (not rate.is_capped, -rate.draws_per_image))
    rows = [
        (
            rate.class_name, f"{rate.num_images:,}", f"{rate.draws_per_epoch:,}",
            f"{rate.draws_per_image:.2f}", f"{rate.originals_per_epoch:,}",
            f"{rate.originals_per_run:,}",
            f"capped: {rate.wanted:,} were asked for" if rate.is_capped else "",
        )
        for rate in ranked[:_RATES_SHOWN]
    ]  # fmt: skip
    left = len(ranked) - len(rows)
    if left:
        rows.append((f"… {left} more classes", "", "", "", "", "", ""))
    head = ("class", "originals", "draws/epoch", "per original", "distinct/epoch",
            f"in {copies} epochs", "")  # fmt: skip
    print_grid("Balance", head, rows, has_remark=True)
