"""What frameworks are fed with: the batches of a loader, in its order, as each of them wants them.

    from materialize.loader.adapters import as_keras_dataset

    model.fit(as_keras_dataset(loader), epochs=3, shuffle=False)

Where images have masks or objects, these go beside them: as a dict of arrays by name, or alone::

    model.fit(as_keras_dataset(loader, targets="mask"), epochs=3, shuffle=False)

No module here decides what is in a batch. Each hands on batch i of epoch e under the number that
its framework gives it, or refuses: an order that a framework changes is not that of the other arms.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from materialize.loader.adapters.keras_dataset import keras_dataset as as_keras_dataset
    from materialize.loader.adapters.tf_dataset import tf_dataset as as_tf_dataset
    from materialize.loader.adapters.torch_dataset import torch_batches as as_torch_dataset
    from materialize.loader.adapters.torch_dataset import torch_samples as as_torch_samples

__all__ = ["as_keras_dataset", "as_tf_dataset", "as_torch_dataset", "as_torch_samples"]

_HOMES = {
    "as_keras_dataset": ("keras_dataset", "keras_dataset"),
    "as_tf_dataset": ("tf_dataset", "tf_dataset"),
    "as_torch_dataset": ("torch_dataset", "torch_batches"),
    "as_torch_samples": ("torch_dataset", "torch_samples"),
}
"""Public name → module and name there; modules have the shorter names already."""


def __getattr__(name: str) -> Any:
    """Imports an adapter on its first use; its framework is imported when it is called."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value
