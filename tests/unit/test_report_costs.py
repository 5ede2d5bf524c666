"""Costs in the page of a contrast: lines, curves, and what may not be compared."""

import re
from decimal import Decimal

import pytest

from materialize.accounting.money import added
from materialize.contrast.cost import cost_of
from materialize.contrast.terms import CostTerms
from materialize.report import cost_charts, cost_tables
from materialize.report.contrast_page import render_contrast
from tests.report_cases import full_result, minimal_result


@pytest.fixture(scope="module")
def cost():
    """Of a contrast with arms that are equivalent and arms that are not."""
    return cost_of(full_result(), terms=CostTerms(gpu_price_per_hour=Decimal(3)))


def test_the_parts_of_a_line_add_up_to_its_total(cost):
    """No charge is forgotten."""
    for arm in cost.arms:
        parts = added(arm.invoice.cost_of(*names) for _, names, _ in cost_charts.PARTS)
        assert parts == arm.invoice.total


def test_only_arms_of_equal_accuracy_have_a_break_even(cost):
    """Cheaper and worse is no saving."""
    rows = {row[0].text: row for row in cost_tables.comparison_table(cost).rows}
    assert rows["offline K=8"][1].text
    for name in ("none", "offline K=1", "offline K=2"):
        assert not rows[name][1].text
        assert rows[name][2].text.startswith("not at equal accuracy")


def test_the_break_even_is_marked_where_the_lines_meet(cost):
    """At the epochs that were computed, on both lines."""
    arm = cost_tables.best_compared(cost)
    found = arm.break_even
    x, y = cost_charts.crossing_of(found.curve, found.epochs)
    assert x == found.epochs
    fixed, epoch = float(found.offline_fixed), float(found.offline_epoch)
    assert y == pytest.approx(fixed + x * found.training_runs * epoch)
    assert y == pytest.approx(x * found.training_runs * float(found.online_epoch))
    assert f'data-value="{x!r}"' in cost_charts.epochs_chart(arm, found).wide


def test_a_break_even_off_the_curve_is_not_marked(cost):
    """Nor one that does not exist."""
    curve = cost_tables.best_compared(cost).break_even.curve
    assert cost_charts.crossing_of(curve, None) is None
    assert cost_charts.crossing_of(curve, 10 * curve[-1][0]) is None


def test_a_stall_without_a_price_is_said_to_have_none():
    """It is in no sum."""
    cost = cost_of(full_result())
    table = cost_tables.money_table(cost)
    place = [column.title for column in table.columns].index("GPU stall")
    assert "unpriced" in {row[place].text for row in table.rows}
    assert "+ unpriced" in cost_charts.money_chart(cost).description


def test_sensitivity_has_a_line_for_each_change(cost):
    """Prices and stalls."""
    labels = [row[0].text for row in cost_tables.sensitivity_table(cost).rows]
    assert labels == [label for label, _ in cost_tables.best_compared(cost).break_even.sensitivity]
    assert any("stalls 30 %" in label for label in labels)


def test_a_contrast_that_compares_nothing_has_lines_and_no_curves():
    """The page says that no arm is as accurate."""
    page = render_contrast(minimal_result(), cost=cost_of(minimal_result())).decode()
    assert "no costs are compared" in page
    drawn = set(re.findall(r'data-chart="(\w+)"', page))
    assert "money" in drawn
    assert not drawn & {"epochs", "runs"}
