"""What can go wrong with a training that is no option's fault."""

from materialize.errors import MaterializeError, PlanConflictError


class TrainingError(MaterializeError):
    """A training cannot go on: its loss is no number, or the model does not fit the images."""


class CheckpointError(MaterializeError):
    """A checkpoint is damaged, or belongs to a training with other inputs."""


class RunConflictError(CheckpointError, PlanConflictError):
    """A directory belongs to another training."""
