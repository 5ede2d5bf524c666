"""Who is in a dataset: the scan of a source, and the table of accepted images it leaves."""

from materialize.population.balancing import Balance, ClassRate, balanced, class_rates, wanted_draws
from materialize.population.division import Division, fold_numbers
from materialize.population.scanning import (
    DEFAULT_MAX_BAD,
    ScanOptions,
    check_quarantine,
    load_images,
    scan,
)
from materialize.population.table import LabelConflict, Population, Quarantined
from materialize.population.target_reading import LoadedTargets, load_targets

__all__ = [
    "DEFAULT_MAX_BAD",
    "Balance",
    "ClassRate",
    "Division",
    "LabelConflict",
    "LoadedTargets",
    "Population",
    "Quarantined",
    "ScanOptions",
    "balanced",
    "check_quarantine",
    "class_rates",
    "fold_numbers",
    "load_images",
    "load_targets",
    "scan",
    "wanted_draws",
]
