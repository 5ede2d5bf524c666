"""What a training leaves in its directory, and how it is written.

| file | what | written |
|---|---|---|
| ``run.json`` | the record: settings, inputs with their digests, environment, result, figures | at the start, at each start after a kill, and at the end |
| ``history.csv`` ``history.json`` | one row an epoch | after each epoch |
| ``checkpoint`` | every variable and how far the training is; what a resumed training reads | after each epoch, and as ``checkpoint_steps`` and ``checkpoint_s`` say |
| ``best.weights.h5`` | the best weights so far, with ``keep = "best"``; never read again | after each epoch that is the best |
| ``model.keras`` | the whole model with these weights; what `materialize activations` and Keras' ``load_model`` read | at the end |
| ``model.weights.h5`` | the weights the model ended with; ``model.load_weights`` reads them | at the end |
| ``statistics-….h5`` | of the training part, where ``standardize`` needs them | before the first step |
| ``curves.png`` | loss and accuracy by epoch, and where the time went | at the end |
| ``confusion-val.json`` ``.csv`` | figures of each class and the confusion matrix; also ``-test`` | at the end |
| ``predictions-val.csv`` | sample id, class, predicted class, probabilities; also ``-test`` | at the end |

Each file is replaced whole or not at all.
"""  # noqa: E501  # a table

import csv
import io
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materialize.atomic import write_file
from materialize.training.evaluation import Evaluation
from materialize.training.result import EpochFigures, history_csv

if TYPE_CHECKING:
    import keras

RECORD_FILE = "run.json"
BEST_FILE = "best.weights.h5"
WEIGHTS_FILE = "model.weights.h5"
MODEL_FILE = "model.keras"
CURVES_FILE = "curves.png"


def write_json(path: Path, value: Any) -> None:
    """Stores a JSON document for people to read.

    Raises:
        StorageError: the file system refused.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_file(path, (text + "\n").encode())


def write_weights(path: Path, model: "keras.Model") -> None:
    """Stores a model's weights as Keras' ``.weights.h5``, or the whole model as ``.keras``.

    Keras writes to paths alone, and a kill would leave half a file there; so it writes into a
    temporary folder of the system, and the bytes are taken from that.

    Args:
        path: the target; its directory exists.
        model: not modified.

    Raises:
        StorageError: the file system refused.
    """
    with tempfile.TemporaryDirectory(prefix="materialize-weights-") as folder:
        temporary = Path(folder) / path.name
        with warnings.catch_warnings():
            # Keras hands TensorFlow's variables to NumPy in a way that NumPy 2 warns of.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            if path.suffix == ".keras":
                model.save(temporary, include_optimizer=False)
            else:
                model.save_weights(temporary)
        write_file(path, temporary.read_bytes())


def write_history(directory: Path, epochs: Sequence[EpochFigures]) -> None:
    """Stores the epochs so far as ``history.csv`` and ``history.json``.

    Raises:
        StorageError: the file system refused.
    """
    write_file(directory / "history.csv", history_csv(epochs).encode())
    write_json(directory / "history.json", [figures.to_json() for figures in epochs])


def write_evaluation(directory: Path, split: str, evaluation: Evaluation) -> None:
    """Stores the figures, the confusion matrix and the predictions of a part.

    Args:
        directory: exists.
        split: the part's name, for the files' names.
        evaluation: of the part.

    Raises:
        StorageError: the file system refused.
    """
    names = [figures.name for figures in evaluation.classes]
    write_json(directory / f"confusion-{split}.json", evaluation.to_json())
    rows = zip(names, evaluation.confusion.tolist(), strict=True)
    write_file(
        directory / f"confusion-{split}.csv",
        _csv([["true \\ predicted", *names], *([name, *counts] for name, counts in rows)]),
    )
    said = evaluation.predictions
    lines = zip(said.ids, said.labels, said.classes, said.probabilities.tolist(), strict=True)
    write_file(
        directory / f"predictions-{split}.csv",
        _csv(
            [
                ["sample_id", "class", "predicted", *names],
                *([i.tobytes().hex(), names[a], names[b], *p] for i, a, b, p in lines),
            ]
        ),
    )


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
