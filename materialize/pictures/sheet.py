"""Pictures put together from pictures: text, images, rows, stacks and grids on white paper.

Every function returns a new picture, so a page is one expression. Nothing here knows what is shown.
"""

import io
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

PAPER: Color = (255, 255, 255)
INK: Color = (28, 32, 40)
FAINT: Color = (108, 116, 130)
RULE: Color = (224, 228, 234)
ACCENT: Color = (58, 110, 220)

SMALLEST_PX = 128
"""Side that small images are enlarged to at least: 8 pixels square are no picture."""
LARGEST_PX = 224
"""Side that large images are reduced to."""
_LINE_HEIGHT = 1.35
_MARGIN_PX = 32
_BEYOND_ASCII = "°·±…"
"""The signs beyond ASCII that the font inside Pillow has."""
_SUBSTITUTES = str.maketrans({"×": "x", "−": "-", "–": "-", "—": "-", "“": '"', "”": '"'})


def text(
    string: str,
    size: int = 13,
    *,
    ink: Color = INK,
    paper: Color = PAPER,
    width: int | None = None,
    bold: bool = False,
) -> Image.Image:
    """A line of text, or several where it is wrapped.

    Args:
        string: line breaks are kept.
        size: of the font, in pixels.
        ink: its colour.
        paper: that of what it is written on.
        width: wrap words to this width and give the picture exactly it; None for one long line.
        bold: draw with a fine stroke: the font that comes with Pillow has one weight.
    """
    written = _in_font(string).split("\n")
    lines = [part for line in written for part in _wrapped(line, size, width)]
    advance = round(size * _LINE_HEIGHT)
    widest = max(round(_font(size).getlength(line)) + 2 for line in lines)
    picture = Image.new("RGB", (width or widest, advance * len(lines)), paper)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        place = (0, number * advance)
        draw.text(place, line, ink, _font(size), stroke_width=0.4 if bold else 0)
    return picture


def side_for(longest: int) -> int:
    """The side in pixels of the square that images are shown in.

    Args:
        longest: side of the largest of them. Small images get a whole multiple of it.
    """
    if longest < SMALLEST_PX:
        return longest * -(-SMALLEST_PX // longest)
    return min(longest, LARGEST_PX)


def shown(pixels: NDArray[Any], side: int) -> Image.Image:
    """An image scaled until its longer side has a length.

    Args:
        pixels: (H, W, 1 or 3) uint8, or float32 in [0, 1] or [0, 255].
        side: the length, in pixels; a whole multiple shows the pixels as they are, as squares.
    """
    picture = Image.fromarray(_levels(pixels)).convert("RGB")
    longest = max(picture.size)
    if longest == side:
        return picture
    width, height = (max(round(length * side / longest), 1) for length in picture.size)
    is_whole = side % longest == 0
    how = Image.Resampling.NEAREST if is_whole else Image.Resampling.LANCZOS
    return picture.resize((width, height), how)


def framed(picture: Image.Image) -> Image.Image:
    """A picture with a hairline around it, so that white images end somewhere."""
    frame = Image.new("RGB", (picture.width + 2, picture.height + 2), RULE)
    frame.paste(picture, (1, 1))
    return frame


def beside(pictures: Sequence[Image.Image], gap: int = 12) -> Image.Image:
    """Pictures from left to right, aligned at the top."""
    width = sum(p.width for p in pictures) + gap * (len(pictures) - 1)
    row = _blank(width, max(p.height for p in pictures))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + gap
    return row


def stacked(pictures: Sequence[Image.Image], gap: int = 12) -> Image.Image:
    """Pictures from top to bottom, aligned at the left."""
    height = sum(p.height for p in pictures) + gap * (len(pictures) - 1)
    column = _blank(max(p.width for p in pictures), height)
    top = 0
    for picture in pictures:
        column.paste(picture, (0, top))
        top += picture.height + gap
    return column


def grid(pictures: Sequence[Image.Image], columns: int, gap: int = 12) -> Image.Image:
    """Pictures in rows, every column as wide as the widest picture of all."""
    width = max(p.width for p in pictures)
    cells = [padded(p, right=width - p.width) for p in pictures]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return stacked([beside(row, gap) for row in rows], gap)


def padded(
    picture: Image.Image, *, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0
) -> Image.Image:
    """A picture with room around it."""
    paper = _blank(picture.width + left + right, picture.height + top + bottom)
    paper.paste(picture, (left, top))
    return paper


def bar(length: int, height: int, ink: Color = ACCENT) -> Image.Image:
    """A filled bar of a chart."""
    return Image.new("RGB", (max(length, 1), height), ink)


def page(title: str, subtitle: str, content: Image.Image) -> Image.Image:
    """The finished sheet: a title, a line about it, the content, and a margin around all."""
    width = max(content.width, 480)
    head = stacked(
        [text(title, 24, bold=True, width=width), text(subtitle, 13, ink=FAINT, width=width)], 4
    )
    whole = stacked([head, bar(width, 1, RULE), content], 16)
    m = _MARGIN_PX
    return padded(whole, left=m, top=m - 6, right=m, bottom=m)


def png_bytes(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _levels(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) uint8."""
    if pixels.dtype != np.uint8:
        scale = 255.0 if float(pixels.max(initial=0)) <= 1 else 1.0
        pixels = np.clip(np.rint(pixels * scale), 0, 255).astype(np.uint8)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _in_font(string: str) -> str:
    """The text in the characters that the font has: accents dropped, others as question marks."""
    known = string.translate(_SUBSTITUTES)
    return "".join(c if c.isascii() or c in _BEYOND_ASCII else _plain(c) for c in known)


def _plain(character: str) -> str:
    """A letter without its accent; a question mark if that is not ASCII either."""
    base = unicodedata.normalize("NFKD", character)[0]
    return base if base.isascii() else "?"


def _wrapped(line: str, size: int, width: int | None) -> list[str]:
    """A line as lines that fit; a word that is too wide alone ends with an ellipsis."""
    if width is None:
        return [line]
    lines = [""]
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if _font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_shortened(word, size, width))
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def _shortened(word: str, size: int, width: int) -> str:
    if _font(size).getlength(word) <= width:
        return word
    # The ends of a path tell it from others: the middle goes.
    kept = len(word)
    while kept:
        kept -= 1
        ends = f"{word[: kept // 2]}…{word[len(word) - (kept - kept // 2) :]}"
        if _font(size).getlength(ends) <= width:
            return ends
    return "…"


def _blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (max(width, 1), max(height, 1)), PAPER)


@cache
def _font(size: int) -> Any:
    """The scalable font inside Pillow: the same text everywhere, with nothing to install."""
    return ImageFont.load_default(size)
