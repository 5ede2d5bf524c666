"""What is known of some images, and the form of what is said against a step for them."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "question"]
Complaint = tuple[Severity, str, str]
"""Severity, message and advice."""

HALF_LEVEL = 0.5
"""Changes below this are lost when levels are rounded."""
_FEWEST_DIGITS = 8
_FEWEST_LETTERS = 10
"""Fewer classes are more likely numbered or lettered than pictures of digits or letters."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the images when they reach a step."""

    sizes: tuple[tuple[int, int], ...] = ()
    """Their distinct (height, width); empty where nothing is known."""
    class_names: tuple[str, ...] = ()
    channels: int | None = None
    dtype: str = "uint8"
    for_some: bool = False
    """True in a container that not every image gets, or not every step of."""

    @property
    def smallest(self) -> tuple[int, int] | None:
        """The smallest height and the smallest width."""
        return (
            (min(h for h, _ in self.sizes), min(w for _, w in self.sizes)) if self.sizes else None
        )

    @property
    def characters(self) -> list[str]:
        """The class names if they are digits or letters; two named 0 and 1 are no digits."""
        names = list(self.class_names)
        if any(len(name) != 1 for name in names):
            return []
        are_digits = all(map(str.isdigit, names)) and len(names) >= _FEWEST_DIGITS
        are_letters = all(map(str.isalpha, names)) and len(names) >= _FEWEST_LETTERS
        return names if are_digits or are_letters else []


def idle(option: str, value: object, why: str) -> Complaint:
    """An option that makes its step do nothing."""
    return "warning", f"{option} = {value} changes nothing: {why}", "widen it, or remove the step"
