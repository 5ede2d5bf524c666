"""The record of a training: what went in, where it ran, what came out.

Weights are a function of ``inputs`` and, on equal hardware and software, of nothing else. What may
change their last bits besides stands in ``starts``, one entry for each process that took part:
versions, processor, devices, thread counts, and the flags its environment set.
"""

import dataclasses
import datetime
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materialize.environment import current_environment
from materialize.training.backend import describe_backend
from materialize.training.directory import RECORD_FILE, write_json
from materialize.training.evaluation import Evaluation
from materialize.training.result import TrainingResult

if TYPE_CHECKING:
    import keras

FLAGS = (
    "KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
    "TF_DETERMINISTIC_OPS", "OMP_NUM_THREADS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
"""Variables of the environment that can change the last bits of weights; a command passes those
that are set."""


class RunRecord:
    """``run.json`` of a directory.

    Args:
        directory: of the run; exists once something is written.
        facts: JSON-ready, what is known before the first step.
        flags: variables of `FLAGS` that are set.
    """

    def __init__(
        self, directory: Path, facts: Mapping[str, Any], flags: Mapping[str, str] | None
    ) -> None:
        """Nothing is written yet."""
        self._path = directory / RECORD_FILE
        self._facts = {"format": "materialize run 1", **facts}
        self._flags = dict(flags or {})

    def begin(self) -> None:
        """Stores what is known, and that another process takes part; once."""
        if "starts" in self._facts:
            return
        self._facts["starts"] = [*self._earlier_starts(), self._start()]
        write_json(self._path, self._facts)

    def end(self, result: TrainingResult, evaluations: Mapping[str, Evaluation]) -> None:
        """Stores what came out."""
        self._facts["result"] = result.to_json()
        self._facts["evaluations"] = {name: e.to_json() for name, e in evaluations.items()}
        write_json(self._path, self._facts)

    def _earlier_starts(self) -> list[Any]:
        """Those of earlier processes of the same training."""
        try:
            earlier = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return []  # a record is a note for people; training goes on from the checkpoint
        is_same = earlier.get("inputs") == json.loads(json.dumps(self._facts.get("inputs")))
        return list(earlier["starts"]) if is_same else []

    def _start(self) -> dict[str, Any]:
        return {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "environment": dataclasses.asdict(current_environment()),
            **describe_backend(),
            "flags": self._flags,
        }


def describe_model(model: "keras.Model") -> dict[str, Any]:
    """JSON-ready: a model's name, size and layers."""
    return {
        "name": model.name,
        "num_parameters": int(model.count_params()),
        "layers": [f"{type(layer).__name__} {layer.name}" for layer in model.layers],
    }
