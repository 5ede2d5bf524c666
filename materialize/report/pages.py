"""What every page is made with: templates, embedded pictures and facts, nested facts as lines.

A page carries all that it needs and forbids the rest, so that it opens from disk and from a mail.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from materialize.errors import ConfigError
from materialize.report import cells
from materialize.report.cells import Cell, code, words

if TYPE_CHECKING:
    from jinja2 import Template

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def page_template(name: str) -> "Template":
    """A template of this package.

    Raises:
        ConfigError: a library that draws the page is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: F401  # asked for by the charts; missed before any work
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ConfigError(
            f"report: expected the library {error.name}, found none; `pip install "
            "materialize[report]`",
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
    environment.filters["embedded"] = embedded_json
    return environment.get_template(name)


def embedded_json(facts: Any) -> str:
    """JSON for a script element: no tag can begin or end in it, and it parses to the same facts."""
    text = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def embedded_picture(png: bytes) -> dict[str, Any]:
    """A PNG as an image of the page, with its size so that nothing moves while it loads.

    Raises:
        ConfigError: it is not a PNG.
    """
    if png[:8] != _PNG_HEAD or len(png) < 24:
        raise ConfigError(
            f"gallery: expected the bytes of a PNG, got {png[:8]!r} and so on; draw it with "
            "`materialize preview`",
            {"name": "gallery", "expected": "PNG", "found": png[:8]},
        )
    width, height = struct.unpack(">II", png[16:24])
    return {"url": data_url(png, "image/png"), "width": width, "height": height}


def data_url(content: bytes, media_type: str) -> str:
    """Bytes as an address that carries them."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def flat_lines(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Nested facts as lines; digests as something to be copied."""
    for key, value in facts.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from flat_lines(value, f"{name}, ")
        elif isinstance(value, list | tuple):
            yield name, words(", ".join(map(str, value)))
        elif isinstance(value, str) and len(value) >= 32 and " " not in value:
            yield name, code(value)
        elif value is not None:
            yield name, words(str(value))
