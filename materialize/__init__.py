"""Writes reproducible augmented copies of image datasets into HDF5 shards.

    import materialize

    report = materialize.build("photos", "photos-augmented", pipeline="photos224", copies=5, seed=7)
    print(report.manifest.digest())

Everything here is imported when it is first used, so that ``import materialize`` costs nothing.
"""

import importlib
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from materialize.accounting.account import StorageAccount, account_dataset
    from materialize.accounting.bills import bill_dataset
    from materialize.accounting.breakeven import EpochUse, Generation, break_even
    from materialize.accounting.comparison import compare_accounts
    from materialize.accounting.focus import focus_csv, focus_rows
    from materialize.accounting.invoices import Usage, invoice
    from materialize.accounting.prices import PriceBook, read_prices
    from materialize.api import build, check, preview
    from materialize.audit.explanation import explain_sample as explain
    from materialize.audit.proof import prove
    from materialize.audit.restoration import repair_dataset as repair
    from materialize.audit.verification import verify_dataset as verify
    from materialize.builder import finish_dataset as finish
    from materialize.collection import collect_garbage
    from materialize.contrast.cost import cost_of
    from materialize.contrast.job_files import read_contrast, read_experiment
    from materialize.contrast.running import run_contrast
    from materialize.contrast.terms import CostTerms
    from materialize.errors import (
        AccountError,
        BudgetError,
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
    from materialize.estimation.assembly import Inquiry
    from materialize.estimation.choices import Wishes, check_budget
    from materialize.estimation.money import StorageTerms
    from materialize.estimation.planner import PlanExtent
    from materialize.estimation.planner import plan_dataset as plan
    from materialize.executor import Crew
    from materialize.export.exporter import export_dataset
    from materialize.extension import extend_dataset as extend
    from materialize.inventory import take_inventory
    from materialize.loader.adapters.keras_dataset import keras_dataset as as_keras_dataset
    from materialize.loader.adapters.tf_dataset import tf_dataset as as_tf_dataset
    from materialize.loader.adapters.torch_dataset import torch_batches as as_torch_dataset
    from materialize.loader.adapters.torch_dataset import torch_samples as as_torch_samples
    from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
    from materialize.loader.opening import LoaderOptions, OpenDataset
    from materialize.loader.stream import StreamingLoader
    from materialize.metadata.about import About
    from materialize.metadata.card import write_card
    from materialize.metadata.croissant import write_metadata
    from materialize.pictures.gallery import GalleryOptions
    from materialize.population import ScanOptions
    from materialize.production import BuildOptions, BuildReport
    from materialize.recipe import Recipe
    from materialize.removal import remove_samples as remove
    from materialize.report.contrast_page import render_contrast
    from materialize.report.dataset_facts import gather_facts
    from materialize.report.dataset_page import render_dataset
    from materialize.sources import open_source
    from materialize.training.selection import Selection
    from materialize.training.settings import TrainingSettings
    from materialize.training.trainer import train_dataset as train
    from materialize.transcoding import transcode_dataset as transcode

    __version__: str

_ERRORS = (
    "AccountError", "BudgetError", "BuildFailedError", "BuildIncompleteError", "ConfigError",
    "ManifestError", "ManifestMissingError", "MaterializeError", "PlanConflictError",
    "QuarantineLimitError", "RecordReadError", "ShardDamagedError", "ShardError",
    "ShardMissingError", "ShardUntrustedError", "SizeMismatchError", "SourceError", "StorageError",
    "UndecodableImageError",
)  # fmt: skip

_HOMES = {
    "account_dataset": ("accounting.account", "account_dataset"),
    "StorageAccount": ("accounting.account", "StorageAccount"),
    "compare_accounts": ("accounting.comparison", "compare_accounts"),
    "take_inventory": ("inventory", "take_inventory"),
    "build": ("api", "build"),
    "check": ("api", "check"),
    "preview": ("api", "preview"),
    "plan": ("estimation.planner", "plan_dataset"),
    "check_budget": ("estimation.choices", "check_budget"),
    "Inquiry": ("estimation.assembly", "Inquiry"),
    "PlanExtent": ("estimation.planner", "PlanExtent"),
    "StorageTerms": ("estimation.money", "StorageTerms"),
    "Wishes": ("estimation.choices", "Wishes"),
    "extend": ("extension", "extend_dataset"),
    "finish": ("builder", "finish_dataset"),
    "collect_garbage": ("collection", "collect_garbage"),
    "remove": ("removal", "remove_samples"),
    "transcode": ("transcoding", "transcode_dataset"),
    "verify": ("audit.verification", "verify_dataset"),
    "repair": ("audit.restoration", "repair_dataset"),
    "explain": ("audit.explanation", "explain_sample"),
    "prove": ("audit.proof", "prove"),
    "train": ("training.trainer", "train_dataset"),
    "bill_dataset": ("accounting.bills", "bill_dataset"),
    "break_even": ("accounting.breakeven", "break_even"),
    "cost_of": ("contrast.cost", "cost_of"),
    "focus_csv": ("accounting.focus", "focus_csv"),
    "focus_rows": ("accounting.focus", "focus_rows"),
    "invoice": ("accounting.invoices", "invoice"),
    "read_prices": ("accounting.prices", "read_prices"),
    "CostTerms": ("contrast.terms", "CostTerms"),
    "EpochUse": ("accounting.breakeven", "EpochUse"),
    "Generation": ("accounting.breakeven", "Generation"),
    "PriceBook": ("accounting.prices", "PriceBook"),
    "Usage": ("accounting.invoices", "Usage"),
    "run_contrast": ("contrast.running", "run_contrast"),
    "read_contrast": ("contrast.job_files", "read_contrast"),
    "read_experiment": ("contrast.job_files", "read_experiment"),
    "gather_facts": ("report.dataset_facts", "gather_facts"),
    "render_contrast": ("report.contrast_page", "render_contrast"),
    "render_dataset": ("report.dataset_page", "render_dataset"),
    "open_source": ("sources", "open_source"),
    "About": ("metadata.about", "About"),
    "export_dataset": ("export.exporter", "export_dataset"),
    "write_card": ("metadata.card", "write_card"),
    "write_metadata": ("metadata.croissant", "write_metadata"),
    "as_keras_dataset": ("loader.adapters", "as_keras_dataset"),
    "as_tf_dataset": ("loader.adapters", "as_tf_dataset"),
    "as_torch_dataset": ("loader.adapters", "as_torch_dataset"),
    "as_torch_samples": ("loader.adapters", "as_torch_samples"),
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
    "About", "AccountError", "AugmentingLoader", "BudgetError", "BuildFailedError",
    "BuildIncompleteError", "BuildOptions", "BuildReport", "ConfigError", "CostTerms", "Crew",
    "EpochUse", "GalleryOptions", "Generation", "Inquiry", "LoaderOptions", "ManifestError",
    "ManifestMissingError", "MaterializeError", "OpenDataset", "PlanConflictError", "PlanExtent",
    "PrefixLoader", "PriceBook", "QuarantineLimitError", "Recipe", "RecordReadError", "ScanOptions",
    "Selection", "ShardDamagedError", "ShardError", "ShardMissingError", "ShardUntrustedError",
    "SizeMismatchError", "SourceError", "StorageAccount", "StorageError", "StorageTerms",
    "StreamingLoader", "TrainingSettings", "UndecodableImageError", "Usage", "Wishes",
    "__version__", "account_dataset", "as_keras_dataset", "as_tf_dataset", "as_torch_dataset",
    "as_torch_samples", "bill_dataset", "break_even", "build", "check", "check_budget",
    "collect_garbage", "compare_accounts", "cost_of", "explain", "export_dataset", "extend",
    "finish", "focus_csv", "focus_rows", "gather_facts", "invoice", "open_source", "plan",
    "preview", "prove", "read_contrast", "read_experiment", "read_prices", "remove",
    "render_contrast", "render_dataset", "repair", "run_contrast", "take_inventory", "train",
    "transcode", "verify", "write_card", "write_metadata",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use."""
    if name == "__version__":
        value: Any = installed_version("materialize")
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
