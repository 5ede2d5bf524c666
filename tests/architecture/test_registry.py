"""A new transform, error or compiled module joins everything that its kind has."""

import ast
import importlib
import inspect
import json
import pickle

import pytest
from hypothesis import Phase, find, settings

from materialize import errors as materialize_errors
from pipelines import compiled, diagnosis
from pipelines import errors as pipelines_errors
from pipelines.errors import FactualError
from pipelines.kernels import BORDERS
from pipelines.moving import Moving
from pipelines.resizing import Resize
from pipelines.serialization import TRANSFORM_MODULES
from pipelines.transform import REGISTRY, Container, Geometric, Photometric, Transform
from tests.architecture.packages import ROOT, imports, modules, tree
from tests.golden.pipelines_cases import EXAMPLES
from tests.property.strategies import STEPS
from tests.property.test_target_properties import FOLLOWED
from tests.references import REFERENCES

ONCE = settings(phases=[Phase.generate], database=None)
"""A first example that fits, not the smallest one."""
GOLDEN = ROOT / "tests" / "golden"
ERRORS = [
    kind
    for module in (pipelines_errors, materialize_errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, FactualError) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_transform_has_its_tests(name):
    """An example, golden draws and pixels, a property strategy, a diagnosis."""
    advice = f"{name}: give it an entry in"
    assert name in EXAMPLES, f"{advice} tests/golden/pipelines_cases.py"
    assert type(EXAMPLES[name]) is REGISTRY[name]
    draws, pixels = (json.loads((GOLDEN / f"pipelines_{file}.json").read_text("utf-8"))[file]
                     for file in ("draws", "pixels"))  # fmt: skip
    how = "with pipelines_regenerate.py"
    assert draws.get(name, {}).get("draws"), f"{advice} pipelines_draws.json {how}"
    digests = pixels["transforms"].get(name, {})
    assert digests.keys() == set(BORDERS), f"{advice} pipelines_pixels.json {how}"
    assert all("uint8" in of_border for of_border in digests.values())
    assert name in STEPS, f"{advice} STEPS of tests/property/strategies.py"
    find(STEPS[name], lambda step: type(step) is REGISTRY[name], settings=ONCE)
    kinds = tuple(kind for kind, _ in diagnosis._CHECKS)
    assert any(isinstance(EXAMPLES[name], kind) for kind in kinds), f"{advice} pipelines/diagnosis"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_transform_that_moves_pixels_is_followed_by_targets(name):
    """Or says why masks and objects cannot follow; all others are held to move nothing."""
    moves = issubclass(REGISTRY[name], Geometric | Moving | Container | Resize)
    followed = name in FOLLOWED or EXAMPLES[name].hinders_targets
    assert followed or not moves, f"{name}: add it to tests/property/test_target_properties.py"
    assert set(FOLLOWED) <= REGISTRY.keys()


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_transform_is_compared_with_something_else(name):
    """By a test that `tests.references` names; `tests.conftest` sees to it that it does."""
    assert name in REFERENCES, f"{name}: name the test that compares it, in tests/references.py"
    path, test = REFERENCES[name].split("::")
    body = ast.parse((ROOT / path).read_text("utf-8")).body
    assert test in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_only_transforms_are_compared():
    """An entry that outlived its transform would be watched for nothing."""
    assert REFERENCES.keys() == REGISTRY.keys() == EXAMPLES.keys() == STEPS.keys()


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_transform_says_what_it_is(name):
    """Name, one-line summary and docstring; parameters documented under the field."""
    kind = REGISTRY[name]
    assert kind.name == name
    assert kind.summary
    assert kind.summary[0].islower()
    assert not kind.summary.endswith(".")
    assert kind.__doc__
    assert kind.num_words >= 0


def test_the_registry_holds_every_transform():
    """A transform with a name that forgot `register` cannot be named in a file."""
    for module in TRANSFORM_MODULES:
        for label, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Transform) and kind.__module__ == module.__name__:
                registered = kind in REGISTRY.values()
                assert registered == hasattr(kind, "name"), label
    assert all(issubclass(kind, Transform) for kind in REGISTRY.values())
    assert any(issubclass(kind, Photometric) for kind in REGISTRY.values())


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling_with_its_facts(kind):
    """Workers send their errors across processes."""
    facts = {"path": "a/b", "expected": (1, 2), "found": None}
    error = kind("what failed, where; what to do", facts)
    error.add_note("shard 3")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "what failed, where; what to do"
    assert again.facts == facts
    assert (again.path, again.expected, again.found) == ("a/b", (1, 2), None)
    assert again.__notes__ == ["shard 3"]
    assert not hasattr(again, "nothing")


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_in_its_modules_tree(kind):
    """The docstring draws them all."""
    assert kind.__doc__
    assert kind.__name__ in (inspect.getmodule(kind).__doc__ or "")


@pytest.mark.parametrize("module", [
    name for name in sorted(modules())
    if any(isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__"
           for t in node.targets) for node in tree(name).body)
])  # fmt: skip
def test_what_is_exported_is_there(module):
    """`__all__` names what exists, once, and nothing private."""
    loaded = importlib.import_module(module)
    assert len(set(loaded.__all__)) == len(loaded.__all__)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []
    assert [name for name in loaded.__all__ if name.startswith("_") and name[1] != "_"] == []


def test_pipelines_exports_all_it_imports():
    """The package's front is what its `__init__` imports."""
    imported = {
        alias.asname or alias.name
        for node in tree("pipelines").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(importlib.import_module("pipelines").__all__)


def _compiled_modules():
    """Those with functions that numba compiles."""
    return {
        name
        for name in modules()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef)
        and any(getattr(d, "id", "") in ("compiled", "intrinsic") for d in node.decorator_list)
    }


def test_the_cache_stamp_covers_every_compiled_module():
    """Machine code from a file that the stamp does not cover would go on running after an edit."""
    ours = {name for name in _compiled_modules() if name.startswith("pipelines.")}
    expected = {f"pipelines.{name}" for name in compiled.MODULES}
    assert ours | {"pipelines.compiled"} == expected


def test_compiled_functions_outside_the_stamp_call_none_of_each_other():
    """Each is stamped with its own file and those of `pipelines`, and with nothing else."""
    outside = {name for name in _compiled_modules() if name.startswith("materialize.")}
    callers = {name: imports(name) & outside - {name} for name in outside}
    assert {name: found for name, found in callers.items() if found} == {}


def test_numba_is_imported_in_one_place():
    """Everything else goes through `pipelines.compiled`; the vector loops need its types."""
    allowed = {"pipelines.compiled", "pipelines.vectors", "materialize.environment"}
    users = {
        name
        for name in modules()
        for node in ast.walk(tree(name))
        if (isinstance(node, ast.Import | ast.ImportFrom)
        and any(alias.name.split(".")[0] == "numba" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba")
    }  # fmt: skip
    assert users <= allowed
