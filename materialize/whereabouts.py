"""Where a dataset's source was last seen: a convenience outside every digest."""

import json
from pathlib import Path

from materialize.atomic import write_file
from materialize.canonical import canonical_json
from materialize.errors import SourceError
from materialize.sources import Source, open_source, source_from_description

SOURCE_FILE = "source.json"


def note_source(directory: Path, source: Source) -> None:
    """Writes down where the source is.

    Raises:
        StorageError: the file system refused.
    """
    write_file(directory / SOURCE_FILE, canonical_json(source.describe()))


def find_source(directory: Path, given: object | None = None) -> Source:
    """The source the user names, or the one that was noted.

    Raises:
        SourceError: neither can be opened.
    """
    if given is not None:
        return given if hasattr(given, "identity_bytes") else open_source(given)  # type: ignore[return-value]
    path = directory / SOURCE_FILE
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path}: expected a note of where the source is, found none that can be read; name "
            "the source with --source",
            {"path": str(path)},
        ) from error
    return source_from_description(description)
