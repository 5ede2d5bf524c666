"""What happens to an image: pure functions of arrays and addresses.

No files but pipelines, no clocks, no environment, no processes. `materialize` runs this at scale
and is never imported from here.
"""

from pipelines.albumentations_code import Albumentations
from pipelines.callables import allowing_code
from pipelines.errors import (
    FactualError,
    ImageContractError,
    ParameterError,
    PipelineError,
    PipelineFileError,
    UserCodeError,
)
from pipelines.objects import ObjectKinds, Objects
from pipelines.pipeline import Pipeline
from pipelines.serialization import fingerprint, from_dict, load, preset_names, to_dict
from pipelines.targets import apply_targets
from pipelines.transform import REGISTRY
from pipelines.user_code import Function

__all__ = [
    "REGISTRY",
    "Albumentations",
    "FactualError",
    "Function",
    "ImageContractError",
    "ObjectKinds",
    "Objects",
    "ParameterError",
    "Pipeline",
    "PipelineError",
    "PipelineFileError",
    "UserCodeError",
    "allowing_code",
    "apply_targets",
    "fingerprint",
    "from_dict",
    "load",
    "preset_names",
    "to_dict",
]
