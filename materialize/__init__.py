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
    from materialize.pictures.gallery import GalleryOptions
    from materialize.population import ScanOptions
    from materialize.production import BuildOptions, BuildReport
    from materialize.recipe import Recipe
    from materialize.sources import open_source

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
    "open_source": ("sources", "open_source"),
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
    "BuildFailedError", "BuildIncompleteError", "BuildOptions", "BuildReport", "ConfigError",
    "Crew", "GalleryOptions", "ManifestError", "ManifestMissingError", "MaterializeError",
    "PlanConflictError", "QuarantineLimitError", "Recipe", "RecordReadError", "ScanOptions",
    "ShardDamagedError", "ShardError", "ShardMissingError", "ShardUntrustedError",
    "SizeMismatchError", "SourceError", "StorageError", "UndecodableImageError", "__version__",
    "build", "check", "explain", "extend", "finish", "open_source", "preview", "prove", "repair",
    "verify",
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
