"""A contrast as one HTML file that opens from disk: no network, no script, nothing beside it.

The page's policy forbids everything that is not in it. It says first what came out, then shows why;
parts that a result does not have are left out. Equal input gives equal bytes on one release of
matplotlib.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from materialize.contrast.results import ContrastResult
from materialize.errors import ConfigError
from materialize.report import cells, charts, confusion, sentences, tables
from materialize.report.cells import Cell, code, words
from materialize.report.drawing import Chart
from materialize.summary import ByteAccount

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATE = "contrast.html.jinja"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def render_contrast(
    result: ContrastResult, *, gallery: bytes | None = None, account: ByteAccount | None = None
) -> bytes:
    """The report of a contrast.

    Args:
        result: what was found.
        gallery: a PNG of originals beside their copies.
        account: where the bytes of the dataset behind the arms are.

    Returns:
        HTML in UTF-8.

    Raises:
        ConfigError: the gallery is not a PNG, or a library that draws the page is not installed.
    """
    page = _template().render(
        result=result,
        sentences=sentences,
        tables=tables,
        sections=_sections(result, gallery is not None),
        charts=_charts(result),
        account=account,
        gallery=None if gallery is None else _picture(gallery),
        confusion=confusion.best_confusion(result),
        dataset=tuple(_flat(result.dataset)),
        environment=tuple(_flat(result.environment)),
        job=json.dumps(result.job, indent=2, ensure_ascii=False, sort_keys=True),
    )
    return page.encode()


def _template() -> "Template":
    try:
        import matplotlib as mpl  # noqa: F401  # asked for by the charts; missed before any work
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ConfigError(
            f"report: expected the library {error.name}, found none; `pip install "
            "materialize[train]`",
            {"name": "report", "expected": error.name, "found": None},
        ) from error
    environment = Environment(
        loader=PackageLoader("materialize.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tied"] = cells.tied
    return environment.get_template(_TEMPLATE)


def _sections(result: ContrastResult, has_gallery: bool) -> tuple[tuple[str, str], ...]:
    """Anchor and heading of each part that there is, in order."""
    parts = (
        ("accuracy", "Accuracy", True),
        ("copies", "How many copies", bool(result.verdicts)),
        ("curves", "Learning curves", any(run.epochs for run in result.runs)),
        ("time", "Where the time goes", True),
        ("storage", "What it takes on disk", True),
        ("ablation", "What each transform does", bool(result.ablation)),
        ("published", "Published figures", bool(result.published)),
        ("confusion", "Confusions", confusion.best_confusion(result) is not None),
        ("images", "Images", has_gallery),
        ("notes", "Notes", bool(result.notes)),
        ("reproduce", "How to reproduce", True),
    )
    return tuple((anchor, heading) for anchor, heading, is_there in parts if is_there)


def _charts(result: ContrastResult) -> dict[str, Chart]:
    """Every chart that the result has figures for, by section."""
    found = {
        "accuracy": charts.accuracy_chart(result),
        "time": charts.time_chart(result),
        "storage": charts.storage_chart(result),
    }
    if result.verdicts:
        found["copies"] = charts.copies_chart(result)
    if any(run.epochs for run in result.runs):
        found["curves"] = charts.curves_chart(result)
    if any(row.difference is not None for row in result.ablation):
        found["ablation"] = charts.ablation_chart(result)
    return found


def _picture(png: bytes) -> dict[str, Any]:
    """A PNG as an image of the page, with its size so that nothing moves while it loads."""
    if png[:8] != _PNG_HEAD or len(png) < 24:
        raise ConfigError(
            f"gallery: expected the bytes of a PNG, got {png[:8]!r} and so on; draw it with "
            "`materialize preview`",
            {"name": "gallery", "expected": "PNG", "found": png[:8]},
        )
    width, height = struct.unpack(">II", png[16:24])
    encoded = base64.b64encode(png).decode()
    return {"url": f"data:image/png;base64,{encoded}", "width": width, "height": height}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Nested facts as lines; digests as something to be copied."""
    for key, value in facts.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}, ")
        elif isinstance(value, list | tuple):
            yield name, words(", ".join(map(str, value)))
        elif isinstance(value, str) and len(value) >= 32 and " " not in value:
            yield name, code(value)
        elif value is not None:
            yield name, words(str(value))
