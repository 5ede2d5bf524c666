"""What is known of one stored image, in words and as a picture (`audit.explanation` finds it)."""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from materialize.pictures import sheet
from materialize.pictures.captions import captions
from materialize.pictures.color_key import ColorKey
from materialize.pictures.overlay import Marked, drawn
from materialize.sources.base import Pixels
from materialize.sources.targets import NO_TARGETS, TargetSchema

_AMPLIFIED = 8
"""A difference of one level in 255 cannot be seen."""


@dataclass(frozen=True, slots=True)
class StepDraw:
    """What chance gave one step of the pipeline for this image."""

    key: str
    words: tuple[int, ...]
    """The random words, each in [0, 2**32)."""
    parameters: dict[str, float]
    """What they mean."""

    def __str__(self) -> str:
        """Such as ``rotation −7.3°``; a flip that did not happen says so."""
        drawn = {name: np.array([value]) for name, value in self.parameters.items()}
        said = captions((self.key,), (drawn,), 0)
        return said[0] if said else f"no {self.key.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class PartnerFacts:
    """Whom an image is mixed with."""

    sample_id: str
    """32 hex digits."""
    locator: str
    """Where the scan saw its source."""
    class_name: str | None
    weight: float
    """The share of the image's own label."""

    def __str__(self) -> str:
        """Such as ``0.340 itself, 0.660 dogs of dogs/3.png``."""
        named = "" if self.class_name is None else f"{self.class_name} of "
        return f"{self.weight:.3f} itself, {1 - self.weight:.3f} {named}{self.locator}"


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """One stored image, where it comes from and what was done to it."""

    sample_id: str
    """32 hex digits."""
    locator: str
    """Where the scan saw the source."""
    content_sha256: str
    """Of the source's identity bytes."""
    class_name: str | None
    split: str
    copy: int
    """−1 for the original."""
    shard: str | None
    """None where the dataset does not store this image."""
    row: int | None
    """In the shard."""
    steps: tuple[StepDraw, ...]
    program: tuple[str, ...]
    """What was done to the pixels, one line for each thing, in the order it happens."""
    original: Pixels | None
    """(H, W, C) the source as decoded; None if it is lost."""
    stored: Pixels | None
    """(H', W', C); None if it is not stored, or the shard is damaged there."""
    recomputed: Pixels | None
    """(H', W', C) made again from the source; None if that is lost."""
    are_draws_equal: bool | None
    """Whether the stored draws or parameters are the redrawn ones; None if none are stored."""
    problems: tuple[str, ...]
    """Why one of the images is None."""
    partner: PartnerFacts | None = None
    """None where the image is not mixed."""
    schema: TargetSchema = NO_TARGETS
    """What objects and labels of masks are."""
    targets: dict[str, Marked] = field(default_factory=dict)
    """What ``original``, ``stored`` and ``recomputed`` show, where something moves with them."""

    @property
    def is_equal(self) -> bool | None:
        """Whether stored and recomputed pixels are the same; None if one of them is not there."""
        if self.stored is None or self.recomputed is None:
            return None
        one, other = self.targets.get("stored"), self.targets.get("recomputed")
        if one is not None and other is not None and not _are_same(one, other):
            return False
        return bool(np.array_equal(self.stored, self.recomputed))

    @property
    def is_damaged(self) -> bool:
        """Whether what is stored cannot be read, or is not what is made again."""
        is_lost = self.shard is not None and self.stored is None
        return is_lost or self.is_equal is False or self.are_draws_equal is False

    def lines(self) -> list[str]:
        """The explanation in words."""
        named = "unlabelled" if self.class_name is None else f"class {self.class_name}"
        which = "original" if self.copy < 0 else f"copy {self.copy}"
        verdict = {True: "equal, byte for byte", False: "DIFFERENT", None: "not comparable"}
        where = f"{self.shard} · row {self.row}"
        if self.shard is None:
            where, verdict[None] = "nowhere: it is made at reading", "made, with nothing to compare"
        if self.recomputed is None:
            verdict[None] = "not made again"
        return [
            f"sample   {self.sample_id} · {which} · {self.split} · {named}",
            f"source   {self.locator} · SHA-256 {self.content_sha256}",
            f"stored   {where}",
            *(f"drawn    {step} · words {_hexadecimal(step.words)}" for step in self.steps),
            *([f"partner  {self.partner.sample_id} · {self.partner}"] if self.partner else []),
            *(f"program  {line}" for line in self.program),
            *self._target_lines(),
            f"redone   {verdict[self.is_equal]}",
            *(["problem  the stored draws are not these"] if self.are_draws_equal is False else []),
            *(f"problem  {problem}" for problem in self.problems),
        ]

    def _target_lines(self) -> list[str]:
        """Which objects and labels the copy shows, or would show."""
        marked = self.targets.get("stored") or self.targets.get("recomputed")
        if marked is None:
            return []
        lines, before = [], self.targets.get("original")
        kinds = self.schema.objects
        if marked.objects is not None and kinds is not None:
            there = marked.objects.num_objects
            of = ""
            if before is not None and before.objects is not None:
                of = f" of {before.objects.num_objects} in the source"
            lines.append(f"objects  {there}{of}")
            for number, label in enumerate(marked.objects.labels.tolist()):
                left, top, right, bottom = marked.objects.boxes[number].tolist()
                lines.append(
                    f"object   {marked.objects.numbers[number]} {kinds.names[label]} · x "
                    f"{left:.1f} to {right:.1f}, y {top:.1f} to {bottom:.1f}"
                )
        if marked.mask is not None:
            labels, counts = np.unique(marked.mask, return_counts=True)
            pairs = zip(labels.tolist(), (100 * counts / counts.sum()).tolist(), strict=True)
            names = {number: f"{number} {name}" for number, name in self.schema.mask_labels}
            shares = ", ".join(f"{names.get(label, label)} {share:.1f} %" for label, share in pairs)
            lines.append(f"mask     labels {shares}")
        return lines

    def gallery(self) -> bytes:
        """A PNG: original | stored | recomputed | their difference, eight times as strong."""
        difference = None
        if self.stored is not None and self.recomputed is not None:
            gap = np.abs(self.stored.astype(np.float64) - self.recomputed.astype(np.float64))
            difference = np.minimum(gap * _AMPLIFIED, 255).astype(np.uint8)
        # The font that comes with Pillow has few signs beyond ASCII.
        shown = {
            "original": self.original,
            "stored": self.stored,
            "recomputed": self.recomputed,
            f"difference x {_AMPLIFIED}": difference,
        }
        there = [pixels for pixels in shown.values() if pixels is not None]
        side = sheet.side_for(max((max(pixels.shape[:2]) for pixels in there), default=1))
        blank = np.full((1, 1, 1), 128, np.uint8)
        key = ColorKey(self.schema)
        panels = [
            sheet.stacked(
                [
                    sheet.text(name if pixels is not None else f"{name}: not there"),
                    sheet.framed(self._drawn(name, blank if pixels is None else pixels, side, key)),
                ],
                gap=4,
            )
            for name, pixels in shown.items()
        ]
        subtitle = ", ".join(map(str, self.steps)) or "no step draws anything"
        if self.partner is not None:
            subtitle += f"; {self.partner}"
        which = "original" if self.copy < 0 else f"copy {self.copy}"
        panel = sheet.beside(panels)
        said = key.legend(panel.width)
        content = panel if said is None else sheet.stacked([said, panel])
        page = sheet.page(f"{self.locator}, {which}", subtitle, content)
        buffer = io.BytesIO()
        page.save(buffer, "PNG")
        return buffer.getvalue()

    def _drawn(self, name: str, pixels: Pixels, side: int, key: ColorKey) -> Image.Image:
        """A panel, with what moved with its pixels drawn over it."""
        marked = self.targets.get(name)
        return sheet.shown(pixels, side) if marked is None else drawn(marked, side, key)


def _are_same(one: Marked, other: Marked) -> bool:
    """Whether two images of one sample show the same."""
    if one.mask is not None and other.mask is not None and (one.mask != other.mask).any():
        return False
    if one.objects is None or other.objects is None:
        return True
    return not len(one.objects.differing(other.objects))


def _hexadecimal(words: tuple[int, ...]) -> str:
    return " ".join(f"{word:08x}" for word in words) or "none"
