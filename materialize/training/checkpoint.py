r"""A training that stands still: every variable, and how far it is, in one file.

    bytes                 what
    0 … 25                "materialize checkpoint 1\n" and a zero
    8                     length of the header, little-endian
    header                canonical JSON: the standing, the inputs, name, dtype and shape of arrays
    arrays                their bytes one after another, little-endian, in the header's order
    last 32               SHA-256 of all bytes before

The arrays are every variable of the model and the optimiser, the best weights so far, and the
backend's own generators, so one file is one moment. Nothing is pickled. The file is
replaced by a rename, so a kill at any moment leaves the last complete one.
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materialize.atomic import write_file
from materialize.canonical import canonical_json
from materialize.config import key_of
from materialize.training.backend import generator_states, set_generator_states
from materialize.training.failures import CheckpointError, RunConflictError
from materialize.training.result import EpochFigures

if TYPE_CHECKING:
    import keras

CHECKPOINT_FILE = "checkpoint"

_MAGIC = b"materialize checkpoint 1\n\0"
_SHA_BYTES = 32
_GROUPS = ("variables", "best", "generators")


@dataclass(slots=True, kw_only=True)
class Sums:
    """What an epoch has added up so far; the order of additions is that of the batches."""

    loss: float = 0.0
    """Sum over images."""
    num_correct: int = 0
    num_images: int = 0
    seconds: float = 0.0
    wait_s: float = 0.0
    compute_s: float = 0.0
    compile_s: float = 0.0

    def add(self, num_images: int, loss: float, accuracy: float) -> None:
        """Counts a batch by its mean loss and its accuracy."""
        self.loss += loss * num_images
        self.num_correct += round(accuracy * num_images)
        self.num_images += num_images

    def add_times(self, wait_s: float, step_s: float, is_compiled: bool) -> None:
        """Counts a batch's times; a step before the model was compiled is a compilation."""
        self.wait_s += wait_s
        if is_compiled:
            self.compute_s += step_s
        else:
            self.compile_s += step_s


@dataclass(slots=True, kw_only=True)
class Standing:
    """How far a training is; with the variables, all that going on needs."""

    initial_weights_digest: str
    epoch: int = 0
    """The epoch under way."""
    batch: int = 0
    """Batches of it that are done."""
    sums: Sums = field(default_factory=Sums)
    history: list[EpochFigures] = field(default_factory=list)
    """Of the epochs that are done."""
    cpu_s: float = 0.0
    read_s: float = 0.0
    augment_s: float = 0.0
    warmup_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint file holds."""

    standing: Standing
    inputs: dict[str, Any]
    """JSON-ready: everything that decides the weights."""
    variables: list[NDArray[Any]]
    """The model's, with the counters that dropout draws from, and then the optimiser's."""
    best: list[NDArray[Any]]
    """The best weights so far; empty unless the settings keep them."""
    generators: list[NDArray[Any]]
    """The backend's own; see `backend.generator_states`."""


def taken(
    model: "keras.Model", standing: Standing, inputs: dict[str, Any], best: list[NDArray[Any]]
) -> Checkpoint:
    """A checkpoint of a model as it is now.

    Args:
        model: compiled, its optimiser built; not modified.
        standing: how far its training is.
        inputs: everything that decides its weights.
        best: the best weights so far.
    """
    variables = [_array(variable) for variable in _variables(model)]
    return Checkpoint(standing, inputs, variables, best, generator_states())


def restore(model: "keras.Model", checkpoint: Checkpoint, where: Path) -> None:
    """Puts a model back to where a checkpoint was taken.

    Args:
        model: compiled as it was then; overwritten.
        checkpoint: not modified.
        where: the file, for messages.

    Raises:
        CheckpointError: it is of another model.
    """
    variables, arrays = _variables(model), checkpoint.variables
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise CheckpointError(
            f"{where}: expected the {len(variables)} variables of this model and its optimiser, "
            f"found {len(arrays)} of other shapes; make the model as it was made then, or train "
            "into another directory",
            {"path": str(where), "expected": shapes},
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    set_generator_states(checkpoint.generators)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replaces a checkpoint file; at any moment it is the old one or the complete new one.

    Raises:
        StorageError: the file system refused.
    """
    groups = [getattr(checkpoint, name) for name in _GROUPS]
    header = canonical_json(
        {
            "standing": msgspec.to_builtins(checkpoint.standing),
            "inputs": checkpoint.inputs,
            "arrays": [[[array.dtype.name, list(array.shape)] for array in g] for g in groups],
        }
    )
    data = bytearray(_MAGIC + len(header).to_bytes(8, "little") + header)
    for array in itertools.chain(*groups):
        data += np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    data += hashlib.sha256(data).digest()
    write_file(path, data)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; None if there is no file.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body, sha = memoryview(data)[:-_SHA_BYTES], data[-_SHA_BYTES:]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != sha:
        raise CheckpointError(
            f"{path}: expected a complete checkpoint, found {len(data):,} bytes whose SHA-256 is "
            "not the stored one; delete the file to train from the start, or restore it",
            {"path": str(path), "num_bytes": len(data)},
        )
    start = len(_MAGIC) + 8
    stop = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    header = msgspec.json.decode(data[start:stop])
    groups = []
    for described in header["arrays"]:
        arrays = []
        for name, shape in described:
            dtype = np.dtype(name).newbyteorder("<")
            count = math.prod(shape)
            arrays.append(np.frombuffer(data, dtype, count, stop).reshape(shape))
            stop += count * dtype.itemsize
        groups.append(arrays)
    return Checkpoint(msgspec.convert(header["standing"], Standing), header["inputs"], *groups)


def check_inputs(found: dict[str, Any], expected: dict[str, Any], where: Path) -> None:
    """Refuses a checkpoint that was made from other inputs, and names what differs.

    Args:
        found: of the checkpoint.
        expected: of this training.
        where: the file.

    Raises:
        RunConflictError: they differ.
    """
    differences = list(_differences(found, expected, ""))
    if differences:
        raise RunConflictError(
            f"{where.parent} holds another training: {'; '.join(_in_words(differences))}. Go on "
            "with the settings and images it was begun with, or train into another directory",
            {"path": str(where), "differences": [name for name, _, _ in differences]},
        )


def _differences(found: Any, expected: Any, name: str) -> Any:
    """(name, found, expected) of every leaf that differs."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(found.get(key), expected.get(key), inner)
    elif found != expected:
        yield name, found, expected


_SAID = (
    ("trainable", "other layers are trained"),
    ("initial_weights", "the initial weights are others"),
    ("training.source", "the dataset or its images are others"),
    ("training.samples", "the training images are others"),
    ("training.labels", "the labels are others"),
    ("training.class_names", "the classes are others"),
    ("training.order", "the order of the images is another"),
    ("validation", "the validation images are others"),
)
"""What stands in inputs as a digest or a list, and how to say that it differs."""


def _in_words(differences: Sequence[tuple[str, Any, Any]]) -> list[str]:
    """What differs: options first, then what has no value that a person could compare."""
    options, others = [], []
    for name, was, now in differences:
        said = [words for prefix, words in _SAID if name.startswith(prefix)]
        if said:
            others.append(said[0])
        else:
            option = key_of(name.rpartition(".")[2])
            options.append(f"{option} was {_shown(was)}, now it is {_shown(now)}")
    return list(dict.fromkeys(options + others))


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def _array(variable: Any) -> NDArray[Any]:
    """A variable's value; formats NumPy has no name for are widened, which loses nothing."""
    array = np.asarray(variable.numpy())
    return array if array.dtype.kind in "biuf" else array.astype(np.float32)


def _variables(model: "keras.Model") -> list[Any]:
    """Every variable that training changes, in an order that depends on the model alone."""
    return [*model.variables, *model.optimizer.variables]
