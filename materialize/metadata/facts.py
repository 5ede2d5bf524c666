"""What a dataset's own files say of it, gathered once for catalogues and cards."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from materialize.audit.standing import StandingDataset
from materialize.errors import ManifestError
from materialize.manifest import Manifest
from materialize.population import Population
from materialize.receipts import Receipt
from materialize.sources.base import SPLITS
from materialize.whereabouts import SOURCE_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """What is known of a dataset without asking anybody."""

    name: str
    """Of its directory."""
    standing: StandingDataset
    source_name: str
    """The source's kind and name, without the folder it is in."""
    images: Mapping[str, Mapping[str, int]]
    """Accepted images by split and class; by ``""`` where there are no classes."""
    stored: Mapping[str, int]
    """Stored images by split, copies and untouched ones."""
    built_by: tuple[str, ...]
    """Versions of `materialize` that wrote the shards; empty where no receipt is left."""

    @property
    def manifest(self) -> Manifest:
        """The manifest that all of this is about."""
        return self.standing.manifest

    @property
    def num_images(self) -> int:
        """Accepted images."""
        return sum(sum(counts.values()) for counts in self.images.values())

    @property
    def num_stored(self) -> int:
        """Stored images."""
        return sum(self.stored.values())

    @property
    def stores_originals(self) -> bool:
        """Whether untouched images are stored."""
        return any(entry.spec.copy < 0 for entry in self.manifest.shards)

    def summary(self) -> str:
        """One sentence: how many images of what, and how they were made."""
        manifest = self.manifest
        by_split = ", ".join(f"{sum(c.values()):,} {split}" for split, c in self.images.items())
        classes = len(manifest.class_names)
        kinds = f" in {classes:,} class{'' if classes == 1 else 'es'}" if classes else ""
        copies = f"{manifest.copies:,} augmented cop{'y' if manifest.copies == 1 else 'ies'}"
        steps = ", ".join(key.replace("_", " ") for key in self.standing.pipeline.step_keys)
        return (
            f"{self.num_images:,} images ({by_split}){kinds}, with {copies} of each training image "
            f"by {steps or 'no step'} (pipeline {manifest.pipeline_fingerprint[:16]}, seed "
            f"{manifest.seed}).{self._targets()}"
        )

    def _targets(self) -> str:
        """What moves with the pixels, as one more sentence."""
        schema = self.standing.populations[-1].schema
        parts = []
        if schema.mask_names:
            meant = ", ".join(f"{name} {number}" for number, name in schema.mask_labels)
            names = ", ".join(schema.mask_names)
            parts.append(f"masks ({names}: {meant})" if meant else f"masks ({names})")
        if schema.objects is not None:
            kinds = schema.objects
            keypoints = len(kinds.keypoint_names)
            points = f" with {keypoints} keypoints" if keypoints else ""
            parts.append(f"objects of {len(kinds.names)} classes{points}")
        if not parts:
            return ""
        return f" Each image has {' and '.join(parts)}, moved by the draws of its copies."


def gather_facts(directory: Path, *, pinned: str | None = None) -> DatasetFacts:
    """What a dataset says of itself.

    Args:
        directory: the dataset.
        pinned: digest of the manifest instead of the newest.

    Raises:
        ManifestMissingError: there is none.
        ManifestError: the manifest or a population is damaged.
    """
    standing = StandingDataset.open(directory, pinned=pinned)
    stored: dict[str, int] = {}
    for entry in standing.manifest.shards:
        if not entry.spec.is_mask:
            stored[entry.spec.split] = stored.get(entry.spec.split, 0) + entry.spec.num_rows
    return DatasetFacts(
        name=directory.resolve().name,
        standing=standing,
        source_name=_source_name(directory),
        images=_images(standing.populations),
        stored={split: stored[split] for split in SPLITS if split in stored},
        built_by=_versions(directory, (entry.file for entry in standing.manifest.shards)),
    )


def _images(populations: Iterable[Population]) -> dict[str, dict[str, int]]:
    images: dict[str, dict[str, int]] = {}
    for population in populations:
        for split in SPLITS:
            rows = population.split_rows(split)
            if not rows:
                continue
            counts = images.setdefault(split, {})
            labels, numbers = np.unique(
                population.labels[rows.start : rows.stop], return_counts=True
            )
            for label, number in zip(labels.tolist(), numbers.tolist(), strict=True):
                name = population.class_names[label] if label >= 0 else ""
                counts[name] = counts.get(name, 0) + number
    return {split: images[split] for split in SPLITS if split in images}


def _source_name(directory: Path) -> str:
    """Such as ``folder photos``: where it lies is nobody's business."""
    try:
        note: dict[str, Any] = json.loads((directory / SOURCE_FILE).read_bytes())
    except (OSError, ValueError):
        return "unknown"
    kind = str(note.get("kind", "unknown"))
    path = str(note.get("path", note.get("name", "")))
    pure = PureWindowsPath(path) if "\\" in path and "/" not in path else PurePosixPath(path)
    return f"{kind} {pure.name}".strip()


def _versions(directory: Path, files: Iterable[str]) -> tuple[str, ...]:
    found = set()
    for file in files:
        try:
            receipt = Receipt.read(directory, file)
        except ManifestError:
            continue
        if receipt is not None:
            found.add(receipt.environment.packages.get("materialize", ""))
    return tuple(sorted(found - {""}))
