"""The model of a run: the one place where a contrast asks for one.

Every arm of a seed gets the same initial weights from here, whatever the model is: a name, or a
pretrained base under a fresh head. So is the place of standardisation the same: the first layers.
"""

from typing import TYPE_CHECKING

from materialize.contrast.foundation import Foundation
from materialize.contrast.jobs import ContrastJob
from materialize.errors import ConfigError
from materialize.loader.loader import Loader
from materialize.training.bases import base_from_text
from materialize.training.first_layers import first_layers
from materialize.training.models import check_name, make_model
from materialize.training.transfer import HEAD, Transfer, make_transfer_model
from pipelines.standardization import standardization_from_text

if TYPE_CHECKING:
    import keras


def check_model(job: ContrastJob) -> None:
    """Refuses what would fail at the first run, after a dataset was built for it.

    Raises:
        ConfigError: no such model or base, or a layer of none.
        MissingPathError: no such weights.
        ParameterError: no such standardisation.
    """
    if job.base is None and job.train_from is not None:
        raise ConfigError(
            f"train-from: expected a base with it, found {job.train_from!r} alone; add --base NAME "
            "or --base FILE",
            {"name": "base", "found": None},
        )
    if job.base is not None:
        base_from_text(job.base)
    else:
        check_name(job.training.model)
    standardization_from_text(job.training.standardize)


def new_model(
    job: ContrastJob, foundation: Foundation, training: Loader, seed: int
) -> "keras.Model":
    """A model with the initial weights of a seed.

    Args:
        job: its model, standardisation and base.
        foundation: its dataset keeps the statistics, which every arm reads.
        training: whose images it takes; its samples are what statistics are fitted on.
        seed: of the initial weights.

    Raises:
        ConfigError: no such model or base, or it does not fit the images.
        ParameterError: no such standardisation.
    """
    check_model(job)
    settings, count = job.training, len(training.class_names)
    dtype = training.image_dtype.name
    if job.base is not None:
        transfer = Transfer(base=job.base, train_from=job.train_from or HEAD, head_epochs=0)
        return make_transfer_model(
            transfer, training.image_shape, count, seed=seed, image_dtype=dtype,
            mixed_precision=settings.mixed_precision,
        )  # fmt: skip
    layers = first_layers(settings.standardize, training, foundation.opened)
    return make_model(
        settings.model, training.image_shape, count, seed=seed, image_dtype=dtype,
        first_layers=layers, mixed_precision=settings.mixed_precision,
    )  # fmt: skip
