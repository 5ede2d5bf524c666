"""Writes reproducible augmented copies of image datasets into HDF5 shards.

    import materialize

    report = materialize.build("photos", "photos-augmented", pipeline="photos224", copies=5, seed=7)
    print(report.manifest.digest())

Everything here is imported when it is first used, so that ``import materialize`` costs nothing.
"""

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from materialize.api import build, check, preview
    from materialize.audit.explanation import explain_sample as explain
    from materialize.audit.proof import prove
    from materialize.audit.restoration import repair_dataset as repair
    from materialize.audit.verification import verify_dataset as verify
    from materialize.builder import finish_dataset as finish
    from materialize.contrast.job_files import read_contrast, read_experiment
    from materialize.contrast.running import run_contrast
    from materialize.errors import (
        BuildFailedError,
        BuildIncompleteError,
        ConfigError,
        ManifestError,
        ManifestMissingError,
        MaterializeError,
        PlanConflictError,
        QuarantineLimitError,
        RecordReadError,
        ShardDamagedError,
        ShardError,
        ShardMissingError,
        ShardUntrustedError,
        SizeMismatchError,
        SourceError,
        StorageError,
        UndecodableImageError,
    )
    from materialize.executor import Crew
    from materialize.extension import extend_dataset as extend
    from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
    from materialize.loader.opening import LoaderOptions, OpenDataset
    from materialize.loader.stream import StreamingLoader
    from materialize.pictures.gallery import GalleryOptions
    from materialize.population import ScanOptions
    from materialize.production import BuildOptions, BuildReport
    from materialize.recipe import Recipe
    from materialize.sources import open_source
    from materialize.training.selection import Selection
    from materialize.training.settings import TrainingSettings
    from materialize.training.trainer import train_dataset as train

    __version__: str

_ERRORS = (
    "BuildFailedError", "BuildIncompleteError", "ConfigError", "ManifestError",
    "ManifestMissingError", "MaterializeError", "PlanConflictError", "QuarantineLimitError",
    "RecordReadError", "ShardDamagedError", "ShardError", "ShardMissingError",
    "ShardUntrustedError", "SizeMismatchError", "SourceError", "StorageError",
    "UndecodableImageError",
)  # fmt: skip

_HOMES = {
    "build": ("api", "build"),
    "check": ("api", "check"),
    "preview": ("api", "preview"),
    "extend": ("extension", "extend_dataset"),
    "finish": ("builder", "finish_dataset"),
    "verify": ("audit.verification", "verify_dataset"),
    "repair": ("audit.restoration", "repair_dataset"),
    "explain": ("audit.explanation", "explain_sample"),
    "prove": ("audit.proof", "prove"),
    "train": ("training.trainer", "train_dataset"),
    "run_contrast": ("contrast.running", "run_contrast"),
    "read_contrast": ("contrast.job_files", "read_contrast"),
    "read_experiment": ("contrast.job_files", "read_experiment"),
    "open_source": ("sources", "open_source"),
    "AugmentingLoader": ("loader.augmenting", "AugmentingLoader"),
    "LoaderOptions": ("loader.opening", "LoaderOptions"),
    "OpenDataset": ("loader.opening", "OpenDataset"),
    "PrefixLoader": ("loader.augmenting", "PrefixLoader"),
    "Selection": ("training.selection", "Selection"),
    "StreamingLoader": ("loader.stream", "StreamingLoader"),
    "TrainingSettings": ("training.settings", "TrainingSettings"),
    "BuildOptions": ("production", "BuildOptions"),
    "BuildReport": ("production", "BuildReport"),
    "Crew": ("executor", "Crew"),
    "GalleryOptions": ("pictures.gallery", "GalleryOptions"),
    "Recipe": ("recipe", "Recipe"),
    "ScanOptions": ("population", "ScanOptions"),
    **{name: ("errors", name) for name in _ERRORS},
}
"""Public name → module and name there."""

__all__ = [
    "AugmentingLoader", "BuildFailedError", "BuildIncompleteError", "BuildOptions", "BuildReport",
    "ConfigError", "Crew", "GalleryOptions", "LoaderOptions", "ManifestError",
    "ManifestMissingError", "MaterializeError", "OpenDataset", "PlanConflictError", "PrefixLoader",
    "QuarantineLimitError", "Recipe", "RecordReadError", "ScanOptions", "Selection",
    "ShardDamagedError", "ShardError", "ShardMissingError", "ShardUntrustedError",
    "SizeMismatchError", "SourceError", "StorageError", "StreamingLoader", "TrainingSettings",
    "UndecodableImageError", "__version__", "build", "check", "explain", "extend", "finish",
    "open_source", "preview", "prove", "read_contrast", "read_experiment", "repair", "run_contrast",
    "train", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use."""
    if name == "__version__":
        value: Any = metadata.version("materialize")
    elif name in _HOMES:
        module, attribute = _HOMES[name]
        value = getattr(importlib.import_module(f"materialize.{module}"), attribute)
    else:
        raise AttributeError(f"module 'materialize' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
