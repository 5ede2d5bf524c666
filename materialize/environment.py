"""What software and which processor made a shard: written into receipts, never into a digest.

When two builds differ although their plans agree, this is where to look first: pinned wheels
promise equal bytes, other versions of a codec or a decoder do not.
"""

import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import h5py
import zstandard
from PIL import features

_PACKAGES = (
    "materialize", "numpy", "h5py", "hdf5plugin", "lz4", "zstandard", "numba", "llvmlite", "pillow",
    "scipy", "scikit-learn", "joblib", "msgspec", "albumentations", "albucore",
    "opencv-python-headless", "opencv-python",
)  # fmt: skip
"""Those that can touch a byte, and those that carry the work."""

_INSIDE_PILLOW = {"libjpeg-turbo": "libjpeg_turbo", "zlib-ng": "zlib_ng", "libwebp": "webp"}
"""Libraries that decide the bytes of pictures, by their names there."""

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Environment:
    """The software and the processor of one worker."""

    python: str
    """Implementation and version."""
    platform: str
    """Operating system, release, libc."""
    machine: str
    """Instruction set, such as ``x86_64``."""
    cpu_model: str
    """Empty where the system does not say."""
    cpu_features: tuple[str, ...]
    """Sorted; empty where the system does not say."""
    packages: dict[str, str]
    """Version by distribution; absent ones are left out. ``hdf5`` is the library inside h5py,
    ``libjpeg-turbo``, ``zlib-ng`` and ``libwebp`` those inside Pillow, ``libzstd`` that inside
    zstandard."""


@cache
def current_environment() -> Environment:
    """The environment of this process."""
    model, features = _processor()
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        machine=platform.machine(),
        cpu_model=model,
        cpu_features=features,
        packages=_package_versions(),
    )


def _package_versions() -> dict[str, str]:
    versions = {
        "hdf5": str(h5py.version.hdf5_version),
        "libzstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
    }
    for name, feature in _INSIDE_PILLOW.items():
        if features.check(feature):
            versions[name] = str(features.version(feature))
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _processor() -> tuple[str, tuple[str, ...]]:
    """Model and features of the first processor, as Linux names them."""
    try:
        block = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        return platform.processor(), ()
    fields = {
        key.strip(): value.strip()
        for key, colon, value in (line.partition(":") for line in block.splitlines())
        if colon
    }
    features = fields.get("flags", fields.get("Features", ""))  # x86 and ARM
    return fields.get("model name", platform.processor()), tuple(sorted(features.split()))
