"""Which colour a class or a label has in a picture, and the legend that says so."""

from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, ImageDraw

from materialize.pictures import sheet
from materialize.sources.targets import TargetSchema

PALETTE: tuple[sheet.Color, ...] = (
    (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233),
    (240, 228, 66),
)  # fmt: skip
"""Okabe and Ito's colours, told apart with every kind of colour vision; those first that stand out
on photographs and on white."""
FIRST_SIDE, OTHER_SIDE = (255, 190, 0), (0, 200, 230)
"""Of keypoints."""
FILL, EDGE = 90, 230
"""Opacity in [0, 255] of what is inside and of its edge."""
_SWATCH_PX = 12
_GAP_PX = 18


class Meaning(NamedTuple):
    """What a colour stands for."""

    channel: int
    """Of masks; -1 for a class of objects."""
    number: int
    """Of the class or the label."""


class ColorKey:
    """The colours of one picture: what is drawn gets the next one that is free.

    Classes and labels that are known beforehand have theirs by their order, if there are enough; so
    they have the same in every picture.
    """

    def __init__(self, schema: TargetSchema) -> None:
        """Gives colours to what is known.

        Args:
            schema: what images show.
        """
        self.schema = schema
        classes = () if schema.objects is None else schema.objects.names
        known = [Meaning(-1, number) for number in range(len(classes))]
        known += [
            Meaning(channel, number)
            for channel in range(len(schema.mask_names))
            for number, _ in schema.mask_labels
            if number
        ]
        if len(known) > len(PALETTE):
            known = []
        self._places = {meaning: place for place, meaning in enumerate(known)}
        self._shown: set[Meaning] = set()

    def color_of(self, meaning: Meaning) -> sheet.Color:
        """The colour in which something is to be drawn; the legend has it from then on."""
        self._shown.add(meaning)
        place = self._places.setdefault(meaning, len(self._places))
        return PALETTE[place % len(PALETTE)]

    def name_of(self, meaning: Meaning) -> str:
        """The class, or the label with its channel where there are several."""
        channel, number = meaning
        if channel < 0:
            kinds = self.schema.objects
            return str(number) if kinds is None else kinds.names[number]
        names = self.schema.mask_names
        label = dict(self.schema.mask_labels).get(number, f"label {number}")
        return label if len(names) == 1 else f"{names[channel]}: {label}"

    def shown(self) -> list[tuple[Meaning, sheet.Color]]:
        """What was drawn, classes first, and its colours."""
        return [(meaning, self.color_of(meaning)) for meaning in sorted(self._shown)]

    def legend(self, width: int) -> Image.Image | None:
        """What the colours mean, in lines of at most a width; None where nothing was drawn."""
        lines: list[list[Image.Image]] = []
        room = 0
        for entry in self._entries():
            room -= entry.width + _GAP_PX
            if room < 0:
                lines.append([])
                room = width - entry.width
            lines[-1].append(entry)
        return sheet.stacked([sheet.beside(line, _GAP_PX) for line in lines], 4) if lines else None

    def _entries(self) -> Iterator[Image.Image]:
        shown = self.shown()
        for meaning, color in shown:
            swatch = _swatch(color, is_filled=meaning.channel >= 0)
            yield _entry(swatch, sheet.text(self.name_of(meaning), 12))
        if len(shown) > len(PALETTE):
            said = f"{len(PALETTE)} colours for {len(shown)} names: some share one"
            yield sheet.text(said, 12, ink=sheet.FAINT)
        kinds = self.schema.objects
        if kinds is not None and kinds.keypoint_swaps:
            for color, said in (
                (FIRST_SIDE, "keypoints of one side"), (OTHER_SIDE, "of the other"),
            ):  # fmt: skip
                swatch = sheet.bar(_SWATCH_PX - 2, _SWATCH_PX - 2, color)
                yield _entry(swatch, sheet.text(said, 12, ink=sheet.FAINT))


def _swatch(color: sheet.Color, *, is_filled: bool) -> Image.Image:
    """A box as objects have it, or a piece of a mask."""
    paper = Image.new("RGBA", (_SWATCH_PX, _SWATCH_PX), sheet.PAPER)
    layer = Image.new("RGBA", paper.size)
    corner = _SWATCH_PX - 1
    fill = (*color, FILL) if is_filled else None
    ImageDraw.Draw(layer).rectangle((0, 0, corner, corner), fill, (*color, EDGE), 2)
    paper.alpha_composite(layer)
    return paper.convert("RGB")


def _entry(swatch: Image.Image, said: Image.Image) -> Image.Image:
    return sheet.beside([sheet.padded(swatch, top=3), said], 6)
