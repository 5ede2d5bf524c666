"""Imports go strictly downward, heavy libraries stay at the edge, files stay small.

The table has one line per layer, lowest first. A module may import modules of lower lines only,
function-level imports included; so there are no cycles, and the order says what knows what.
"""

import ast
import subprocess
import sys
import tomllib
from fnmatch import fnmatch

import pytest

from tests.architecture.packages import PACKAGES, ROOT, imports, modules, tree

PIPELINES = (
    "errors compiled exponential",
    "standardization moments",
    "whitening",
    "statistics",
    "standardizer",
    "randomness affine vectors",
    "coordinates blending transform",
    "geometric photometric program kernels",
    "resizing contract reference",
    "engine",
    "pipeline",
    "serialization keras_parameters diagnosis",
    "__init__",
)
MATERIALIZE = (
    # what everything stands on
    "errors canonical environment system_calls orphans console audit.program_words",
    "pictures.__init__ pictures.captions pictures.sheet audit.__init__",
    "sources.base sources.naming sources.strictness shards.decoding shards.memory",
    "atomic exit_codes config parallel audit.subprocesses audit.explained",
    # sources
    "sources.colour sources.decoding sources.labels sources.records sources.subset",
    "sources.tabular sources.values",
    "sources.arrays sources.files",
    "sources.array_files sources.idx sources.digits sources.keras_datasets",
    "sources.folder sources.table",
    "sources.__init__",
    # shards
    "shards.__init__ shards.buffer shards.chunks",
    "shards.layout",
    "shards.codecs shards.digests shards.mapping",
    "shards.container shards.untrusted",
    "shards.reader shards.writer stamps",
    "shards.chunk_reader",
    "shards.chunk_cache",
    # what is built, and who knows it
    "population.column_file population.identity manifest",
    "statistics_file",
    "population.table population.division",
    "population.scan_rows population.partition receipts audit.naming_samples",
    "population.scan_workers progress",
    "population.scanning",
    "population.__init__ population.likeness",
    "recipe",
    "feasibility whereabouts",
    "planning",
    # building
    "plans job placement pictures.gallery",
    "executor audit.standing",
    "production",
    "builder",
    "audit.parallel audit.population_recovery extension",
    # looking at what was built
    "audit.proof suitability summary audit.tracing",
    "assembly audit.damage audit.regeneration api",
    "audit.explanation audit.shard_inspection",
    "audit.verification",
    "audit.restoration",
    # batches
    "loader.__init__ loader.batches loader.buffers loader.feeds loader.gathering",
    "loader.permutation",
    "loader.order loader.prefetch loader.samples loader.shard_table loader.stored_shard",
    "loader.loader loader.rendered loader.stored",
    "loader.opening",
    "loader.augmenting loader.stream",
    "loader.adapters.__init__ loader.adapters.targets",
    "loader.adapters.keras_dataset loader.adapters.tf_dataset loader.adapters.torch_dataset",
    # training
    "training.__init__ training.backend training.failures training.result training.selection",
    "training.settings training.squeezenet training.standard_layer intervals",
    "training.activation_map training.bases training.checkpoint training.compilation",
    "training.models",
    "training.curves training.evaluation training.first_layers training.history",
    "training.activation_gallery training.directory training.preparation",
    "training.activation_pages training.fitting training.record",
    "training.transfer",
    "training.job training.trainer",
    "training.ensemble training.sweep",
    "training.sweep_chart",
    # the contrast and its report
    "contrast.__init__ contrast.ablation contrast.excerpt contrast.preparations contrast.results",
    "contrast.equivalence contrast.jobs contrast.records contrast.scoring contrast.statistics",
    "contrast.foundation contrast.job_files",
    "contrast.arms contrast.modelling",
    "contrast.measurement",
    "contrast.conclusions",
    "contrast.running",
    "report.__init__ report.cells report.drawing",
    "report.marks report.sentences report.tables",
    "report.charts report.confusion",
    "report.contrast_page",
    "__init__",
    # the command line
    "commands.__init__ commands.output",
    "commands.options commands.tables commands.interruption commands.frameworks",
    "commands.building commands.looking commands.verifying",
    "commands.contrasting commands.reporting commands.training commands.transferring",
    "commands.demonstration",
    "cli",
    "__main__",
)
LAYERS = [
    [f"{package}.{name}".removesuffix(".__init__") for name in line.split()]
    for package, lines in (("pipelines", PIPELINES), ("materialize", MATERIALIZE))
    for line in lines
]
LAYER = {module: number for number, line in enumerate(LAYERS) for module in line}

HEAVY = {"keras", "tensorflow", "torch", "jax", "sklearn", "pandas", "matplotlib", "dask", "ray"}
"""Libraries that nobody should load by importing us."""
MAX_LINES = 400


@pytest.mark.parametrize("module", sorted(modules()))
def test_every_module_has_a_layer(module):
    """A new module is put into the table by whoever adds it."""
    assert module in LAYER, (
        f"{module} is new: add it to {module.partition('.')[0].upper()} in "
        "tests/architecture/test_layers.py, on a line after everything that it imports"
    )


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_strictly_downward(module):
    """Otherwise two modules know each other, or a layer knows who uses it."""
    wrong = {
        name: LAYER[name]
        for name in imports(module) & LAYER.keys()
        if name != module and LAYER[name] >= LAYER.get(module, len(LAYERS))
    }
    assert not wrong, f"{module} (layer {LAYER.get(module)}) imports {wrong}"


@pytest.mark.parametrize("module", [name for name in sorted(modules()) if name[0] == "p"])
def test_pipelines_is_pure(module):
    """It never imports materialize, nor Keras or TensorFlow, not even inside a function."""
    roots = {name.partition(".")[0] for name in imports(module)}
    assert not roots & (HEAVY | {"materialize", "h5py", "joblib", "click"})


@pytest.mark.parametrize("module", sorted(modules()))
def test_heavy_libraries_are_imported_inside_functions_only(module):
    """`import materialize` and every materializing command run without TensorFlow installed."""
    body = [node for node in tree(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in body for alias in node.names if isinstance(node, ast.Import)]
    names += [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
    assert not {name.partition(".")[0] for name in names} & HEAVY


@pytest.mark.parametrize("module", ["pipelines", "pipelines.keras_parameters", "materialize",
                                    "materialize.cli"])  # fmt: skip
def test_importing_loads_nothing_heavy(module):
    """In a fresh interpreter."""
    code = f"import sys, {module}; print(*(set({sorted(HEAVY)!r}) & sys.modules.keys()))"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (child.returncode, child.stdout.strip()) == (0, ""), child.stderr


@pytest.mark.parametrize("module", sorted(modules()))
def test_files_stay_small(module):
    """A file that needs scrolling hides things."""
    lines = len(modules()[module].read_text("utf-8").splitlines())
    assert lines <= MAX_LINES, f"{module} has {lines} lines: split it by what its parts know"


def test_every_package_is_installed():
    """A folder without `__init__.py`, or that pyproject.toml does not find, misses in the wheel."""
    folders = {path.parent for path in modules().values()}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
    packages = [name for name, path in modules().items() if path.name == "__init__.py"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    assert [n for n in packages if not any(fnmatch(n, pattern) for pattern in patterns)] == []
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)
