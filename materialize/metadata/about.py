"""What only people know of a dataset: what it is called, whose it is, what may be done with it.

# about.toml
name = "flowers, augmented"
licence = "CC-BY-4.0"            # an SPDX identifier, or a URL
creator = ["Botanical Garden"]
creator-kind = "organization"    # or person
date = "2026-03-01"              # of publication
url = "https://example.org/flowers"
citation = "@misc{…}"
description = "…"
tasks = ["image-classification"]
"""

import datetime
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import msgspec

from materialize.errors import ConfigError

REQUIRED = ("licence", "creator", "date")
"""Without these no Croissant file is written: nobody may guess them."""
CREATOR_KINDS = ("person", "organization")

_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_SPDX_URL = "https://spdx.org/licenses/"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What people say of a dataset; empty where they said nothing.

    Raises:
        ConfigError: a value is none that catalogues understand.
    """

    name: str = ""
    """The directory's name unless given."""
    description: str = ""
    """A sentence made of the dataset's figures unless given."""
    licence: str = ""
    creator: tuple[str, ...] = ()
    creator_kind: str = "person"
    date: str = ""
    """Of publication, ISO 8601: ``2026-03-01``."""
    url: str = ""
    """Of the dataset's page."""
    citation: str = ""
    """BibTeX, or a line."""
    tasks: tuple[str, ...] = ()
    """What it is for, in the words of dataset catalogues, such as ``image-classification``."""

    def __post_init__(self) -> None:
        """Checks what has a form."""
        if self.creator_kind not in CREATOR_KINDS:
            _refuse("creator-kind", " or ".join(CREATOR_KINDS), self.creator_kind)
        if self.date:
            _check_date(self.date)
        if self.url and not _is_url(self.url):
            _refuse("url", "an address with http:// or https://", self.url)

    @property
    def missing(self) -> tuple[str, ...]:
        """What Croissant needs and nobody said."""
        return tuple(name for name in REQUIRED if not "".join(getattr(self, name)).strip())

    @property
    def licence_url(self) -> str:
        """The licence as a URL where it is one, or an SPDX identifier; else as it was given."""
        if _is_url(self.licence) or not _SPDX.fullmatch(self.licence):
            return self.licence
        return f"{_SPDX_URL}{self.licence}"


def read_about(path: str | Path) -> About:
    """What a TOML file says.

    Raises:
        ConfigError: it cannot be read, has an unknown key, or a value of the wrong type.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path}: expected what is known of the dataset in TOML, got: {reason}",
            {"path": str(path)},
        ) from error
    known = [field.name.replace("_", "-") for field in fields(About)]
    for key in data:
        if key not in known:
            close = difflib.get_close_matches(key.replace("_", "-"), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise ConfigError(
                f"{path}: unknown key {key!r}; {hint}", {"expected": known, "found": key}
            )
    creator = data.get("creator")
    values: dict[str, Any] = {key.replace("-", "_"): value for key, value in data.items()}
    if isinstance(creator, str):
        values["creator"] = [creator]
    if isinstance(data.get("date"), datetime.date):  # TOML has dates of its own
        values["date"] = data["date"].isoformat()
    try:
        return msgspec.convert(values, About)
    except msgspec.ValidationError as error:
        message = str(error).replace("`", "")
        raise ConfigError(
            f"{path}: {message[:1].lower()}{message[1:]}", {"path": str(path)}
        ) from error


def told(about: About, given: Mapping[str, Any]) -> About:
    """What a file says with options put over it.

    Args:
        about: from a file, or nothing.
        given: fields by name; None, "" and () mean "not given".
    """
    return replace(about, **{name: value for name, value in given.items() if value})


def _check_date(date: str) -> None:
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        _refuse("date", "a date such as 2026-03-01", date)


def _is_url(text: str) -> bool:
    parts = urlparse(text)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _refuse(name: str, expected: str, found: str) -> None:
    raise ConfigError(
        f"{name}: expected {expected}, got {found!r}",
        {"name": name, "expected": expected, "found": found},
    )
