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
    "errors box_forms compiled exponential facts",
    "callables",
    "preprocessing",
    "standardization moments",
    "whitening",
    "statistics",
    "standardizer",
    "randomness affine vectors points",
    "beta rings",
    "dirichlet",
    "coordinates blending transform",
    "geometric photometric program kernels composition placement compression exact_moves fields",
    "resizing contract reference keras_affine objects user_code",
    "albumentations_code engine occlusion mixing levels nearest resampling",
    "chroma filtering histogram moving noise projection",
    "colour displacement neighbourhood",
    "distortion operations",
    "stages policies",
    "lowering",
    "mixes",
    "motion rendering",
    "masks object_moves",
    "conditions",
    "pipeline repeatability",
    "augmix targets",
    "policy_objections",
    "doubts objections",
    "serialization keras_parameters diagnosis",
    "keras_draws keras_fitting keras_pixels",
    "keras_settings",
    "keras_processing",
    "__init__",
)
MATERIALIZE = (
    # what everything stands on
    "accounting.__init__ accounting.apportionment audit.program_words",
    "canonical console environment errors estimation.__init__ estimation.intervals",
    "loader.starting orphans shards.fidelity shards.parts system_calls",
    "audit.__init__ libraries metadata.__init__ metadata.about pictures.__init__",
    "pictures.captions pictures.sheet",
    "shards.locking shards.memory sources.base sources.naming sources.strictness",
    "atomic audit.subprocesses config exit_codes parallel shards.encoding",
    "sources.targets",
    "pictures.color_key",
    "pictures.overlay",
    "audit.explained",
    # sources
    "sources.colour sources.decoding sources.labels sources.records sources.subset",
    "sources.mask_decoding sources.tabular sources.values",
    "sources.array_fields sources.file_targets",
    "sources.arrays",
    "sources.files",
    "sources.annotations sources.masks",
    "sources.table_fields",
    "sources.array_files sources.coco sources.digits sources.idx sources.keras_datasets",
    "sources.folder sources.labelme sources.table sources.voc",
    "sources.__init__",
    # shards
    "shards.__init__ shards.buffer shards.columns",
    "shards.layout",
    "shards.bytedelta shards.decoding shards.picture_coding",
    "shards.codecs shards.digests shards.mapping",
    "shards.block_reader shards.container shards.untrusted",
    "shards.block_cache shards.reader shards.writer stamps",
    # what is built, and who knows it
    "manifest population.column_file population.identity population.rates",
    "statistics_file stock",
    "population.target_columns",
    "population.division population.table",
    "audit.naming_samples population.balancing population.partition population.target_reading",
    "receipts",
    "population.scan_rows population.target_counts",
    "population.scan_workers progress",
    "population.scanning",
    "population.__init__ population.likeness",
    "recipe",
    "feasibility whereabouts",
    "inventory planning room",
    "partners",
    "partner_images shared_images targets",
    # building
    "estimation.balanced",
    "estimation.census estimation.estimates job numbering pictures.gallery placement plans",
    "audit.standing estimation.pools estimation.structure executor",
    "estimation.balanced_pool",
    "accounting.cells accounting.foresight accounting.kinds accounting.measures accounting.money",
    "accounting.prices estimation.encoding estimation.indexes estimation.pace metadata.facts",
    "accounting.account accounting.invoices estimation.clock estimation.samples",
    "estimation.target_sizes",
    "metadata.card",
    "accounting.bills accounting.breakdown accounting.breakeven accounting.focus",
    "audit.parallel audit.population_recovery estimation.forecasts estimation.sampling",
    # looking at what was built
    "accounting.comparison audit.tracing estimation.money",
    "audit.damage audit.regeneration estimation.assembly estimation.choices",
    "rehearsal restocking",
    "audit.explanation audit.shard_inspection estimation.planner",
    "estimation.limits",
    "production",
    "suitability summary",
    "assembly builder",
    "transcoding",
    "api audit.proof audit.verification extension removal",
    "audit.restoration",
    # the iterators of the drop-in generator
    "flows.frame_columns flows.image_files flows.iterator flows.recording",
    "flows.processing",
    "flows.array_iterator",
    "flows.file_batches",
    "flows.directory_iterator",
    "flows.frame_iterator",
    "flows.__init__",
    # batches
    "loader.__init__ loader.batches loader.buffers loader.feeds loader.gathering",
    "loader.object_gathering loader.pace loader.permutation loader.holders loader.turns",
    "loader.order loader.prefetch loader.samples loader.shard_table loader.stored_shard",
    "loader.epochs loader.mixing",
    "collection export.__init__ export.files export.items export.naming export.options",
    "export.pictures loader.loader loader.rendered loader.rendered_targets loader.stored",
    "loader.stored_targets",
    "export.ledger loader.opening metadata.records",
    "export.annotations export.assignment export.parts loader.augmenting loader.stream",
    "metadata.croissant",
    "export.folder export.npz export.tfrecord export.webdataset loader.adapters.targets",
    "export.exporter loader.adapters.keras_dataset loader.adapters.tf_dataset",
    "loader.adapters.torch_dataset",
    # training
    "loader.adapters.__init__ training.__init__ training.backend training.failures",
    "training.result training.selection",
    "intervals training.settings training.squeezenet training.standard_layer",
    "training.activation_map training.bases training.checkpoint training.compilation",
    "training.models",
    "training.curves training.evaluation training.first_layers training.history",
    "training.activation_gallery training.directory training.preparation",
    "training.activation_pages training.fitting training.record",
    "training.transfer",
    "training.job_keys",
    "training.job training.trainer",
    "training.ensemble training.sweep",
    "training.sweep_chart",
    # the contrast and its report
    "contrast.__init__ contrast.ablation contrast.excerpt contrast.job_keys",
    "contrast.preparations contrast.results contrast.terms",
    "contrast.cost contrast.equivalence contrast.jobs contrast.records contrast.scoring",
    "contrast.statistics",
    "contrast.foundation contrast.job_files",
    "contrast.arms contrast.modelling",
    "contrast.measurement",
    "contrast.conclusions",
    "contrast.running",
    "report.__init__ report.cells report.drawing",
    "report.bars report.columns report.figures report.pages",
    "report.cost_charts report.marks report.sentences report.stored_copies report.tables",
    "report.charts report.confusion report.cost_tables report.dataset_facts",
    "report.contrast_page report.dataset_sentences report.dataset_tables",
    "report.dataset_charts report.dataset_figures",
    "report.dataset_page",
    # the command line
    "__init__ commands.__init__ commands.grids commands.notices commands.output",
    "commands.balance_table commands.plan_tables",
    "commands.frameworks commands.interruption commands.options commands.storage_tables",
    "commands.planning commands.tables",
    "commands.accounting commands.building commands.exporting commands.looking",
    "commands.maintenance commands.pricing commands.verifying",
    "commands.contrasting commands.reporting commands.training commands.transferring",
    "commands.demonstration",
    "cli",
    "__main__",
)
FRONT = ("keras_generator",)
"""The drop-in class: its import path is that of `pipelines`, its methods reach into everything."""
LAYERS = [
    [f"{package}.{name}".removesuffix(".__init__") for name in line.split()]
    for package, lines in (
        ("pipelines", PIPELINES),
        ("materialize", MATERIALIZE),
        ("pipelines", FRONT),
    )
    for line in lines
]
LAYER = {module: number for number, line in enumerate(LAYERS) for module in line}

HEAVY = {"keras", "tensorflow", "torch", "jax", "sklearn", "pandas", "matplotlib", "dask", "ray",
         "albumentations", "cv2"}  # fmt: skip
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
    is_front = module.removeprefix("pipelines.") in FRONT
    allowed = {"materialize"} if is_front else set()
    assert not roots & (HEAVY | {"materialize", "h5py", "joblib", "click"}) - allowed


@pytest.mark.parametrize("module", sorted(modules()))
def test_heavy_libraries_are_imported_inside_functions_only(module):
    """`import materialize` and every materializing command run without TensorFlow installed."""
    body = [node for node in tree(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in body for alias in node.names if isinstance(node, ast.Import)]
    names += [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
    assert not {name.partition(".")[0] for name in names} & HEAVY


@pytest.mark.parametrize("module", ["pipelines", "pipelines.keras_parameters",
                                    "pipelines.keras_generator", "materialize.flows", "materialize",
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
