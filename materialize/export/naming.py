"""Names for folders of classes that every file system takes, and that no two classes share."""

import unicodedata
from collections.abc import Sequence

_KEPT = "-_.+()' "
"""Beside letters, digits and marks; whatever else a name has becomes ``_``."""
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "clock$"}
    | {f"{device}{number}" for device in ("com", "lpt") for number in range(10)}
)
"""What Windows takes for a device, whatever follows a point."""
_MAX_BYTES = 120
"""File systems take 255; paths of some systems end at 260 characters."""


def folder_names(names: Sequence[str]) -> tuple[str, ...]:
    """A folder's name for each class, in order; distinct, also where case is not told apart.

    Names that are fine stay as they are. Of several that would fall together the first keeps the
    name, and the others get ``~2``, ``~3`` …: a sign that `_plain` gives to none.

    Args:
        names: distinct names of classes.
    """
    taken: dict[str, int] = {}
    folders = []
    for name in names:
        plain = _plain(name)
        key = unicodedata.normalize("NFKC", plain).casefold()
        taken[key] = taken.get(key, 0) + 1
        folders.append(plain if taken[key] == 1 else f"{plain}~{taken[key]}")
    return tuple(folders)


def _plain(name: str) -> str:
    """One name by itself."""
    # Composed, because some file systems do so by themselves.
    composed = unicodedata.normalize("NFC", name)
    kept = "".join(
        c if c in _KEPT or unicodedata.category(c)[0] in "LMN" else "_" for c in composed
    )
    shortened = kept.encode()[:_MAX_BYTES].decode("utf-8", "ignore")
    # A leading point hides a folder; Windows drops trailing points and blanks.
    stripped = shortened.strip(" ").rstrip(". ")
    if stripped.startswith("."):
        stripped = f"_{stripped[1:]}"
    if not stripped or stripped.split(".")[0].casefold() in _RESERVED:
        return f"_{stripped}"
    return stripped
