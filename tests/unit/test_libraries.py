"""Frameworks that are not there: one sentence that says what to install, never a traceback."""

import subprocess
import sys

import pytest

import materialize
from materialize.errors import ConfigError
from materialize.libraries import INSTALL, load_library
from materialize.loader import adapters
from tests import training_cases as cases


@pytest.mark.parametrize(
    ("adapter", "package", "title"),
    [
        ("as_keras_dataset", "keras", "Keras"),
        ("as_tf_dataset", "tensorflow", "TensorFlow"),
        ("as_torch_dataset", "torch", "PyTorch"),
        ("as_torch_samples", "torch", "PyTorch"),
    ],
)
def test_an_adapter_without_its_framework_says_what_to_install(
    monkeypatch, adapter, package, title
):
    """With the command to type."""
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=f"expected {title}, found it is not installed; pip"):
        getattr(adapters, adapter)(cases.loader())


def test_another_missing_module_is_no_missing_framework():
    """What is broken for another reason shows itself as it is."""
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_library("no_such_library", "this test")


def test_adapters_are_imported_from_one_place():
    """From the package and from the front door, and they are functions, not modules."""
    for name in adapters.__all__:
        assert getattr(adapters, name) is getattr(materialize, name)
        assert callable(getattr(adapters, name))


def test_adapters_load_no_framework_before_they_are_called():
    """Looking one up is not asking for it."""
    code = (
        "import sys; from materialize.loader.adapters import as_keras_dataset, as_tf_dataset, "
        "as_torch_dataset; print(sorted({'keras', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_adapter_is_an_attribute_error():
    """As with any module."""
    with pytest.raises(AttributeError, match="as_caffe_dataset"):
        _ = adapters.as_caffe_dataset


def test_every_framework_has_a_command():
    """That begins with pip install."""
    assert all(command.startswith("pip install ") for _, command in INSTALL.values())
