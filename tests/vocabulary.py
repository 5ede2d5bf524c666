"""Every transform and every preset as a pipeline: what holds for one is tested for all.

A transform that is new in the registry, and has its example, is new in here.
"""

from pipelines import load, preset_names
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import EXAMPLES

PIPELINES = {
    **{name: Pipeline(steps=(step,), border="reflect") for name, step in EXAMPLES.items()},
    **{f"preset {name}": load(name) for name in preset_names()},
}
"""Each transform's example alone, and the presets."""
