"""Some of a source's records, chosen by what they are: for quick forms, and for tutorials that did.

Within a class, records are taken in the order of the SHA-256 of their identity bytes. So the choice
depends on the images alone, a larger one contains a smaller one, and no seed is needed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from materialize.canonical import sha256
from materialize.errors import ConfigError, SourceError
from materialize.sources.base import DecodedImage, Measurement, Record, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Which records to take; everything unless given."""

    classes: tuple[str, ...] = ()
    """Keep these classes only."""
    train_per_class: int | None = None
    """At most so many training images of each class."""
    test_per_class: int | None = None
    """At most so many test images of each class. Where the source has none, so many training images
    become test images first."""
    val_per_class: int | None = None
    """The same for validation images, which are taken after the test images."""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ConfigError: one is below 1.
        """
        for name in ("train_per_class", "test_per_class", "val_per_class"):
            value = getattr(self, name)
            if value is not None and value < 1:
                key = name.replace("_", "-")
                raise ConfigError(
                    f"excerpt: {key}: expected at least 1, got {value}",
                    {"name": key, "expected": "≥ 1", "found": value},
                )

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out or moved."""
        return self == Excerpt()


class ExcerptSource:
    """Some records of a source, some of them moved from training to validation or test.

    Args:
        source: the whole.
        excerpt: what to take.

    Raises:
        SourceError: a class is not there, or nothing is left.
    """

    def __init__(self, source: Source, excerpt: Excerpt) -> None:
        """Choose the records: reads the identity bytes of those in question."""
        self._source = source
        self._excerpt = excerpt
        names = source.class_names()
        missing = [name for name in excerpt.classes if name not in names]
        if missing:
            raise SourceError(
                f"excerpt: classes: the source has no class {missing[0]!r}, only "
                f"{', '.join(names) or 'unlabelled images'}; correct the name",
                {"expected": names, "found": missing},
            )
        chosen = sorted(_chosen(source, excerpt))
        if not chosen:
            raise SourceError(
                f"excerpt: expected some of the {len(source)} images, found none; take more",
                {"found": 0},
            )
        self._indices = [index for index, _ in chosen]
        self._splits = [split for _, split in chosen]

    def __len__(self) -> int:
        return len(self._indices)

    def record(self, index: int) -> Record:
        """The description of record ``index`` of the excerpt, in the split it was given."""
        return replace(self._source.record(self._indices[index]), split=self._splits[index])

    def identity_bytes(self, index: int) -> bytes:
        """As the whole source has them."""
        return self._source.identity_bytes(self._indices[index])

    def source_bytes(self, content: bytes) -> int:
        """As the whole source counts them."""
        return self._source.source_bytes(content)

    def decode(self, content: bytes, index: int) -> DecodedImage:
        """As the whole source decodes it."""
        return self._source.decode(content, self._indices[index])

    def measure(self, content: bytes, index: int) -> Measurement:
        """As the whole source measures it."""
        return self._source.measure(content, self._indices[index])

    def class_names(self) -> tuple[str, ...]:
        """The classes that were kept, in the source's order."""
        kept = self._excerpt.classes
        return tuple(name for name in self._source.class_names() if not kept or name in kept)

    def describe(self) -> dict[str, Any]:
        """The whole source: whoever looks for an image later finds it there by its content."""
        return self._source.describe()


def excerpt_of(source: Source, excerpt: Excerpt) -> Source:
    """The source itself where nothing is left out, else the excerpt of it."""
    return source if excerpt.is_everything else ExcerptSource(source, excerpt)


def _chosen(source: Source, excerpt: Excerpt) -> Iterator[tuple[int, str]]:
    """(record, split), in no particular order."""
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in range(len(source)):
        record = source.record(index)
        if not excerpt.classes or record.label in excerpt.classes:
            members[record.split, record.label or ""].append(index)
    there = {split for split, _ in members}
    limits = {
        "test": excerpt.test_per_class,
        "val": excerpt.val_per_class,
        "train": excerpt.train_per_class,
    }
    for (split, _), indices in members.items():
        # Training images also become those of the parts that the source does not have.
        targets = [name for name in limits if name == split or name not in there]
        targets = [split] if split != "train" else targets
        if all(limits[name] is None for name in targets):
            yield from ((index, split) for index in indices)
            continue
        ranked = _by_content(source, indices)
        for name in targets:
            limit = limits[name]
            if limit is None and name != split:
                continue
            yield from ((index, name) for index in ranked[:limit])
            ranked = [] if limit is None else ranked[limit:]


def _by_content(source: Source, indices: Sequence[int]) -> list[int]:
    return sorted(indices, key=lambda index: (sha256(source.identity_bytes(index)), index))
