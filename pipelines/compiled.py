"""The one door to numba: how functions are compiled, and when compiled code is out of date.

numba's types stop here. Its disk cache knows a function by its own file alone, so after an edit to a
module that another one compiles in, the old machine code would go on running; `compiled` therefore
stamps every cached function with the sources of all compiled modules. Where no place for a cache can
be written (a read-only container without a home), functions are compiled anew in every process.
"""

import hashlib
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar, cast

import numba
from numba.core import caching
from numba.extending import intrinsic as _intrinsic
from numpy.typing import NDArray

Array = NDArray[Any]
"""An array inside compiled code, where shapes and dtypes stand in docstrings."""
Int = Any
"""An integer inside compiled code; numba's int64 unless it says otherwise."""

MODULES = ("affine", "blending", "compiled", "coordinates", "kernels", "randomness", "resizing",
           "vectors")  # fmt: skip
"""Every module with compiled functions or intrinsics (an architecture test compares)."""

_OPTIONS = {"nogil": True, "error_model": "numpy"}
# No fastmath: it would let LLVM contract and reorder, and the bytes would depend on the processor.

Function = TypeVar("Function", bound=Callable[..., Any])


def _source_stamp() -> str:
    """The SHA-256 of the sources of all compiled modules."""
    package = resources.files("pipelines")
    digest = hashlib.sha256()
    for module in MODULES:
        digest.update((package / f"{module}.py").read_bytes())
    return digest.hexdigest()


_STAMP = _source_stamp()


class _StampedCache(caching.FunctionCache):  # type: ignore[misc]  # numba ships no types for it
    """numba's cache, whose keys also name the sources of every compiled module."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _STAMP)


def compiled(function: Function) -> Function:
    """Compiles a function at its first call, without the interpreter lock, and keeps the result.

    Exactness: integers and IEEE arithmetic without contraction or reordering.
    """
    dispatcher: Any = numba.njit(**_OPTIONS)(function)
    try:
        dispatcher._cache = _StampedCache(function)
    except RuntimeError:  # numba found no writable place: slower to start, nothing else
        pass
    return cast(Function, dispatcher)


def intrinsic(generator: Callable[..., Any]) -> Any:
    """Makes a function that emits LLVM instructions callable from compiled code."""
    return _intrinsic(generator)
