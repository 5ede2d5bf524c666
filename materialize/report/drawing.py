"""Charts as inline SVG that takes its colours from the page: matplotlib draws, the page decides.

While drawing, every colour is a stand-in that no chart would use by chance; in the finished SVG
each becomes a CSS variable, so that one drawing serves light, dark and print. Text stays text, in
the page's font. A mark whose id begins with ``value`` carries what follows as ``data-value``. Equal
input gives equal bytes on one release of matplotlib: its settings are its own defaults whatever the
user's are, and ids come from the chart's name.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 720, 358
"""Widths in CSS pixels: of the text column, and of a phone less its margins."""

_NAMES = ("ink", "faint", "rule", "paper", "band", "none", "offline", "fly", "prefix",
          "wait", "compute", "augment", "read", "rest", "pale")  # fmt: skip
COLOR = {name: f"#fe{number:02x}f{number:x}" for number, name in enumerate(_NAMES)}
"""Stand-ins for the page's colours, by name."""

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so text is measured alike everywhere
    "font.size": 12,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.edgecolor": COLOR["rule"],
    "axes.labelcolor": COLOR["faint"],
    "text.color": COLOR["ink"],
    "xtick.color": COLOR["faint"],
    "ytick.color": COLOR["faint"],
    "xtick.labelcolor": COLOR["faint"],
    "ytick.labelcolor": COLOR["faint"],
    "grid.color": COLOR["rule"],
    "hatch.color": COLOR["paper"],
    "hatch.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "lines.solid_capstyle": "butt",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.dpi": 72,  # so that a point of matplotlib is a CSS pixel
}

_CLEANING = [
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        # In a page, a style element inside the SVG would style the whole page.
        (r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", ""),
        (r"xlink:href", "href"),
        (r" font-family: [^;\"]*;", ""),  # the page's font is inherited
        (r' transform="rotate\(-0 [^"]*\)"', ""),
        (r"<g/>", ""),
        (r"\s*\n\s*", "\n"),
        (r"^\n|\n$", ""),
    )
]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in two widths; the page shows the one that fits."""

    name: str
    wide: str
    narrow: str
    description: str
    """What the chart shows, for whoever cannot see it."""
    caption: str


@dataclass(frozen=True, slots=True)
class Canvas:
    """A figure measured in pixels from its top left corner."""

    figure: "Figure"
    width: int
    height: int

    @property
    def is_narrow(self) -> bool:
        """Whether this is for a phone."""
        return self.width == NARROW

    def axes(self, left: float, top: float, right: float, bottom: float) -> "Axes":
        """Axes inside these margins."""
        return self.figure.add_axes(
            (
                left / self.width,
                bottom / self.height,
                (self.width - left - right) / self.width,
                (self.height - top - bottom) / self.height,
            )
        )

    def labels(self, names: Sequence[str]) -> tuple[list[str], float]:
        """Names for the left side, cut where they would take more than half, and their margin."""
        most = int(self.width / 2 / text_px(["m"]))
        cut = [name if len(name) <= most else f"{name[: most - 1]}…" for name in names]
        return cut, text_px(cut) + 10

    def overlay(self) -> "Axes":
        """Axes over everything whose unit is the pixel, from the top left."""
        axes = self.axes(0, 0, 0, 0)
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        axes.axis("off")
        return axes

    def text(self, x: float, y: float, text: str, *, color: str = "faint") -> None:
        """Words that begin at a place, which is on their baseline."""
        self.figure.text(x / self.width, 1 - y / self.height, text, color=COLOR[color])


def draw(
    name: str, height: Callable[[bool], int], paint: Callable[[Canvas], None]
) -> tuple[str, str]:
    """Paints a chart in both widths.

    Args:
        name: letters and hyphens, of one chart on the page.
        height: in pixels; whether it is the narrow one → height.
        paint: draws into a canvas.

    Returns:
        The SVG elements, wide and narrow.
    """
    wide = _svg(f"{name}-wide", WIDE, height(False), paint)
    return wide, _svg(f"{name}-narrow", NARROW, height(True), paint)


def text_px(texts: Sequence[str], size: float = 12) -> float:
    """About how wide the widest of some texts is; fonts differ, so it is on the generous side."""
    return max(map(len, texts), default=0) * size * 0.59


def _svg(name: str, width: int, height: int, paint: Callable[[Canvas], None]) -> str:
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with _own_settings(name):
        figure = Figure(figsize=(width / 72, height / 72))
        paint(Canvas(figure, width, height))
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(
            ("Date", "Creator", "Format", "Type")))  # fmt: skip
    return _themed(buffer.getvalue(), name)


@contextmanager
def _own_settings(salt: str) -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # The page draws the text in its own fonts, whatever the measuring font has.
        warnings.filterwarnings("ignore", "Glyph ", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS | {"svg.hashsalt": salt})
        yield


def _themed(svg: str, name: str) -> str:
    """What matplotlib wrote, as an element of the page."""
    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', body)
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    for pattern, replacement in _CLEANING:
        body = pattern.sub(replacement, body)
    # Coordinates have two places; a value that a mark carries keeps all.
    body = re.sub(r' id="value ([^"]*)"', r' data-value="\1"', body)
    body = re.sub(r"<(?!g data-value)[^>]+>", _with_two_places, body)
    body = _without_idle_ids(body, name)
    for color, stand_in in COLOR.items():
        body = body.replace(f'fill="{stand_in}"', f'style="fill: {stand_in}"')
        body = body.replace(stand_in, f"var(--{color})")
    view = box.group(1) if box else f"0 0 {WIDE} {WIDE}"
    return f'<svg viewBox="{view}" aria-hidden="true" focusable="false">\n{body}\n</svg>'


def _with_two_places(tag: re.Match[str]) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", tag.group())


def _without_idle_ids(body: str, name: str) -> str:
    """Keeps the ids that something refers to, under names that no other chart has."""
    used = set(re.findall(r"#([\w-]+)(?=[\"\)])", body))

    def renamed(found: re.Match[str]) -> str:
        return f' id="{name}-{found.group(1)}"' if found.group(1) in used else ""

    body = re.sub(r' id="([^"]*)"', renamed, body)
    return re.sub(r"(href=\"#|url\(#)([\w-]+)", rf"\g<1>{name}-\g<2>", body)
