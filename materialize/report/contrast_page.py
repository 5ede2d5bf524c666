"""A contrast as one HTML file that opens from disk: no network, no script, nothing beside it.

The page's policy forbids everything that is not in it. It says first what came out, then shows why;
parts that a result does not have are left out. Equal input gives equal bytes on one release of
matplotlib.
"""

import json
from dataclasses import asdict
from typing import Any

from materialize.accounting.focus import focus_rows
from materialize.contrast.cost import ContrastCost
from materialize.contrast.results import ContrastResult
from materialize.report import charts, confusion, cost_charts, cost_tables, sentences, tables
from materialize.report.columns import Table
from materialize.report.drawing import Chart
from materialize.report.pages import embedded_picture, flat_lines, page_template
from materialize.summary import ByteAccount

_TEMPLATE = "contrast.html.jinja"


def render_contrast(
    result: ContrastResult,
    *,
    gallery: bytes | None = None,
    account: ByteAccount | None = None,
    cost: ContrastCost | None = None,
) -> bytes:
    """The report of a contrast.

    Args:
        result: what was found.
        gallery: a PNG of originals beside their copies.
        account: where the bytes of the dataset behind the arms are.
        cost: what the arms cost, as `contrast.cost.cost_of` says.

    Returns:
        HTML in UTF-8.

    Raises:
        ConfigError: the gallery is not a PNG, or a library that draws the page is not installed.
    """
    page = page_template(_TEMPLATE).render(
        result=result,
        sentences=sentences,
        tables=tables,
        sections=_sections(result, gallery is not None, cost is not None),
        charts=_charts(result, cost),
        cost=cost,
        cost_tables=() if cost is None else _cost_tables(cost),
        best=None if cost is None else cost_tables.best_compared(cost),
        embedded=contrast_facts(result, cost=cost, account=account),
        account=account,
        gallery=None if gallery is None else embedded_picture(gallery),
        confusion=confusion.best_confusion(result),
        dataset=tuple(flat_lines(result.dataset)),
        environment=tuple(flat_lines(result.environment)),
        job=json.dumps(result.job, indent=2, ensure_ascii=False, sort_keys=True),
    )
    return page.encode("utf-8", "replace")  # file names need not be UTF-8


def contrast_facts(
    result: ContrastResult,
    *,
    cost: ContrastCost | None = None,
    account: ByteAccount | None = None,
) -> dict[str, Any]:
    """Every number of the page, as JSON values; see `render_contrast`."""
    bytes_of = None if account is None else asdict(account) | {"stored_bytes": account.stored_bytes}
    return {
        "format": "materialize-contrast-report",
        "version": 1,
        "result": result.to_json(),
        "cost": None if cost is None else cost.to_json(),
        "account": bytes_of,
    }


def contrast_focus(cost: ContrastCost) -> list[dict[str, str]]:
    """Every charge of every arm as a row under FOCUS' column names."""
    return [
        row
        for arm in cost.arms
        for row in focus_rows(
            arm.invoice,
            resource_id=f"{cost.title}: {arm.name}",
            tags={"accuracy": arm.accuracy_remark, "arm": arm.name},
        )
    ]


def _sections(
    result: ContrastResult, has_gallery: bool, has_cost: bool
) -> tuple[tuple[str, str], ...]:
    """Anchor and heading of each part that there is, in order."""
    parts = (
        ("accuracy", "Accuracy", True),
        ("copies", "How many copies", bool(result.verdicts)),
        ("curves", "Learning curves", any(run.epochs for run in result.runs)),
        ("time", "Where the time goes", True),
        ("storage", "What it takes on disk", True),
        ("cost", "What it costs", has_cost),
        ("ablation", "What each transform does", bool(result.ablation)),
        ("published", "Published figures", bool(result.published)),
        ("confusion", "Confusions", confusion.best_confusion(result) is not None),
        ("images", "Images", has_gallery),
        ("notes", "Notes", bool(result.notes)),
        ("reproduce", "How to reproduce", True),
    )
    return tuple((anchor, heading) for anchor, heading, is_there in parts if is_there)


def _charts(result: ContrastResult, cost: ContrastCost | None) -> dict[str, Chart]:
    """Every chart that the result has figures for, by section."""
    found = {
        "accuracy": charts.accuracy_chart(result),
        "time": charts.time_chart(result),
        "storage": charts.storage_chart(result),
    }
    if cost is not None:
        found["cost"] = cost_charts.money_chart(cost)
        best = cost_tables.best_compared(cost)
        if best is not None and best.break_even is not None:
            found["epochs"] = cost_charts.epochs_chart(best, best.break_even)
            found["runs"] = cost_charts.runs_chart(best, best.break_even)
    if result.verdicts:
        found["copies"] = charts.copies_chart(result)
    if any(run.epochs for run in result.runs):
        found["curves"] = charts.curves_chart(result)
    if any(row.difference is not None for row in result.ablation):
        found["ablation"] = charts.ablation_chart(result)
    return found


def _cost_tables(cost: ContrastCost) -> tuple[Table, ...]:
    found = (
        cost_tables.money_table(cost),
        cost_tables.comparison_table(cost),
        cost_tables.sensitivity_table(cost),
        cost_tables.charges_table(cost),
    )
    return tuple(table for table in found if table is not None)
