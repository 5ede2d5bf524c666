"""A dataset as one HTML file that opens from disk: no network, no script, nothing beside it.

It says in a sentence what the dataset is, takes and costs, and then shows why. Every number is one
of the facts that the page carries as JSON.
"""

from typing import Any

from materialize.report import dataset_charts as charts
from materialize.report import dataset_sentences as sentences
from materialize.report import dataset_tables as tables
from materialize.report.cells import Cell
from materialize.report.columns import Table
from materialize.report.dataset_facts import DatasetFacts
from materialize.report.dataset_figures import key_figures
from materialize.report.drawing import Chart
from materialize.report.pages import flat_lines, page_template

_TEMPLATE = "dataset.html.jinja"


def render_dataset(facts: DatasetFacts) -> bytes:
    """The report of a dataset.

    Args:
        facts: what `gather_facts` found.

    Returns:
        HTML in UTF-8.

    Raises:
        ConfigError: a library that draws the page is not installed.
    """
    page = page_template(_TEMPLATE).render(
        facts=facts,
        embedded=dataset_json(facts),
        sentences=sentences,
        figures=key_figures(facts),
        sections=_sections(facts),
        charts=_charts(facts),
        tables=_tables(facts),
        source=tuple(flat_lines(dict(sentences.source_note(facts)))),
        environment=_environment(facts),
    )
    return page.encode("utf-8", "replace")  # file names need not be UTF-8


def dataset_json(facts: DatasetFacts) -> dict[str, Any]:
    """Every number of the page as JSON values, the derived ones under ``figures``."""
    derived = {
        figure.name: {
            "value": _values(figure.value),
            "inputs": {name: _values(cell) for name, cell in figure.derivation.inputs},
        }
        for figure in key_figures(facts)
    }
    return facts.to_json() | {"figures": derived}


def _values(cell: Cell) -> list[float]:
    return [part.value for part in cell.parts if part.value is not None]


def _sections(facts: DatasetFacts) -> tuple[tuple[str, str], ...]:
    """Anchor and heading of each part that there is, in order."""
    has_inputs = bool(facts.account.conversions or facts.account.quarantined)
    parts = (
        ("images", "Originals and their copies", bool(facts.copies.rows)),
        ("pipeline", "What happens to an image", True),
        ("bytes", "Where every byte is", True),
        ("sizes", "Bytes per image", True),
        ("cost", "What it costs", True),
        ("time", "Where the build's time went", facts.build is not None),
        ("estimate", "Estimate against actual", bool(tables.predictions(facts.account))),
        ("inputs", "Inputs that were changed or left out", has_inputs),
        ("files", "Files and digests", True),
        ("verify", "How to verify", True),
        ("reproduce", "How to reproduce", True),
    )
    return tuple((anchor, heading) for anchor, heading, is_there in parts if is_there)


def _charts(facts: DatasetFacts) -> dict[str, list[Chart]]:
    """The charts of each section."""
    account = facts.account
    found = {
        "bytes": [charts.kinds_chart(account)],
        "cost": [charts.cost_chart(facts)],
    }
    if account.by_class:
        found["bytes"].append(charts.classes_chart(account))
    if len(account.by_copy) > 1:
        found["bytes"].append(charts.copies_chart(account))
    if facts.source_sizes is not None:
        found["sizes"] = [charts.sizes_chart(facts.source_sizes)]
    if facts.build is not None:
        found["time"] = [charts.time_chart(facts.build)]
    if any(each.actual for _, each in tables.predictions(account)):
        found["estimate"] = [charts.foresight_chart(account)]
    return found


def _tables(facts: DatasetFacts) -> dict[str, list[Table]]:
    """The tables of each section; long ones are shown on demand by the template."""
    account = facts.account
    bytes_tables = [tables.kinds_table(facts), tables.ratio_table(facts)]
    for caption, parts in (
        ("Bytes in the shards by class", account.by_class),
        ("Bytes in the shards by split", account.by_split),
        ("Bytes in the shards by copy",
         {charts.copy_name(copy): size for copy, size in account.by_copy.items()}),
        ("Bytes in the shards by target", account.by_target),
        ("Bytes in the shards by codec", account.codecs),
    ):  # fmt: skip
        if parts:
            bytes_tables.append(tables.parts_table(caption, parts))
    found = {
        "bytes": bytes_tables,
        "sizes": [tables.sizes_table(facts.account)],
        "estimate": [tables.foresight_table(account)],
        "cost": [tables.bill_table(facts), tables.charges_table(facts)],
        "files": [tables.shards_table(facts)],
        "inputs": [],
    }
    if facts.build is not None:
        found["time"] = [tables.time_table(facts.build)]
    if account.balance:
        found["sizes"].append(tables.balance_table(account))
    if facts.account.conversions:
        found["inputs"].append(tables.conversions_table(facts))
    if account.quarantined:
        found["inputs"].append(tables.quarantine_table(facts))
    return found


def _environment(facts: DatasetFacts) -> tuple[Any, ...]:
    """Of the newest receipt, without the list of the processor's features."""
    if facts.build is None:
        return ()
    found = facts.build.environment
    return tuple(flat_lines({
        "python": found.python, "platform": found.platform, "processor": found.cpu_model,
        "packages": found.packages,
    }))  # fmt: skip
