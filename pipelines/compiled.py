"""The one door to numba: how functions are compiled, and when compiled code is out of date.

numba's types stop here. Its disk cache knows a function by its own file alone, so after an edit to
a module that another one compiles in, the old machine code would go on running; `compiled`
therefore stamps every cached function with the sources of all compiled modules. A function outside
this package is stamped with its own file as well, and calls no compiled function of another one.
Where no place for a cache can be written (a read-only container without a home), every process
compiles anew.
"""

import contextlib
import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending
from numpy.typing import NDArray

Array = NDArray[Any]
"""An array inside compiled code, where shapes and dtypes stand in docstrings."""
Int = Any
"""An integer inside compiled code; numba's int64 unless it says otherwise."""

MODULES = ("affine", "augmix", "blending", "chroma", "compiled", "coordinates", "displacement",
           "filtering", "kernels", "levels", "mixing", "moments", "nearest", "noise", "occlusion",
           "points", "projection", "randomness", "resampling", "resizing", "rings", "standardizer",
           "vectors")  # fmt: skip
"""Every module of this package with compiled functions or intrinsics (an architecture test
compares)."""

Function = TypeVar("Function", bound=Callable[..., Any])


def _source_stamp() -> str:
    """The SHA-256 of the sources of all compiled modules."""
    package = resources.files("pipelines")
    digest = hashlib.sha256()
    for module in MODULES:
        digest.update((package / f"{module}.py").read_bytes())
    return digest.hexdigest()


_STAMP = _source_stamp()


def _stamp_of(function: Callable[..., Any]) -> str:
    """What changes whenever the machine code of a function may."""
    if function.__module__ in {f"{__package__}.{module}" for module in MODULES}:
        return _STAMP
    own_source = Path(function.__code__.co_filename).read_bytes()
    return hashlib.sha256(_STAMP.encode("ascii") + own_source).hexdigest()


_njit: Any = numba.njit


def compiled(function: Function) -> Function:
    """Compiles a function at its first call, without the interpreter lock, and keeps the result.

    Exactness: integers and IEEE arithmetic. There is no ``fastmath``: it would let LLVM contract
    and reorder, and the bytes would depend on the processor.
    """
    dispatcher: Any = _njit(nogil=True, error_model="numpy")(function)
    # No writable place, or no source to compare with: slower to start, nothing else.
    with contextlib.suppress(RuntimeError, OSError):
        stamp = _stamp_of(function)
        dispatcher.enable_caching()
        dispatcher._cache._cache_file._source_stamp = stamp
    return cast(Function, dispatcher)


def intrinsic(generator: Callable[..., Any]) -> Any:
    """Makes a function that emits LLVM instructions callable from compiled code."""
    return numba.extending.intrinsic(generator)
