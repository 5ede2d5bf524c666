"""A processor without the instructions of this one gives the same bytes.

Every transform and every preset is rendered, one is built into datasets, every codec encodes.

Feature switches reach numba and NumPy; what libjpeg, zlib and zstd choose by themselves only an
emulated processor changes. Emulating takes `qemu-x86_64-static` (Debian: qemu-user-static) and, as
everything is compiled anew in emulation, four minutes the first time. Nehalem is tried by
default, all models with ``MATERIALIZE_EMULATE=all``.
"""

import json
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from materialize.audit.subprocesses import masked_features
from tests.architecture.packages import ROOT
from tests.jobs import contents
from tests.vocabulary import PIPELINES

BUILD = """
import sys
from materialize.builder import build_dataset
from materialize.recipe import Recipe

source, out, pipeline, codec = sys.argv[1:]
recipe = Recipe(copies=2, shard_bytes=4096, codec=codec, parameters="full", originals=True)
build_dataset(source, out, pipeline, recipe)
"""

RENDER = """
import hashlib, json
import numpy as np
from pipelines.rendering import Pool
from tests.golden.pipelines_cases import sample_ids, synthetic
from tests.vocabulary import PIPELINES

found, images, ids = {}, synthetic(3, 15, 17, 3), sample_ids(3)
for name, pipeline in PIPELINES.items():
    out = pipeline.apply(
        images, seed=7, sample_ids=ids, copies=np.arange(3), pool=Pool(images, ids)
    )
    found[name] = hashlib.sha256(out).hexdigest()
print(json.dumps(found))
"""

ENCODE = """
import hashlib, json, sys
import numpy as np
from materialize.shards.codecs import CODECS, as_read, encode_block

found = {}
for path in sys.argv[1:]:
    images = np.load(path)
    for name, codec in CODECS.items():
        block = encode_block(codec, images[:1] if codec.is_lossy else images)
        parts = (block, as_read(codec, images))
        found[f"{name} {images.shape}"] = [hashlib.sha256(part).hexdigest() for part in parts]
print(json.dumps(found))
"""

EMULATOR = shutil.which("qemu-x86_64-static")
MODELS = {
    # The last Intel before AVX: what every x86-64 wheel of NumPy still runs on.
    "Nehalem": {},
    # NumPy's vectorised sort crashes in the emulation of AVX2, so NumPy is told to leave it.
    "Haswell": {"NPY_DISABLE_CPU_FEATURES": "X86_V3"},
    "EPYC": {"NPY_DISABLE_CPU_FEATURES": "X86_V3"},
}
# OpenBLAS asks the emulated processor for something it lacks; nothing here multiplies matrices.
EMULATED = {"OPENBLAS_CORETYPE": "Nehalem", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory):
    """Twelve smooth pictures in two classes, as JPEG and PNG."""
    root = tmp_path_factory.mktemp("jpegs")
    y, x = np.mgrid[:40, :48]
    for number in range(12):
        planes = [np.sin((x * (c + 1) + y * number) / 9) * 99 + 128 for c in range(3)]
        kind = ("jpg", "png")[number % 3 == 2]
        path = root / "ab"[number % 2] / f"{number:02d}.{kind}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8)).save(path)
    return root


def run(program, *arguments, command=(), variables=()):
    """What a program prints in a process of its own under these variables."""
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, **dict(variables), "PYTHONPATH": path}
    # The emulator follows no link of a virtual environment.
    python = os.path.realpath(sys.executable) if command else sys.executable
    done = subprocess.run(
        [*command, python, "-c", program, *map(str, arguments)],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def build(out, source, codec, **how):
    """The dataset built by a process of its own."""
    run(BUILD, source, out, "photos224", codec, **how)
    return contents(out)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """Files of images: smooth with a little noise, in colour and grey, small and not."""
    root = tmp_path_factory.mktemp("blocks")
    for shape in ((10, 32, 32, 3), (41, 28, 28, 1), (1, 120, 150, 3)):
        n, y, x, c = np.ogrid[tuple(map(slice, shape))]
        waves = 99 * np.sin((x * (c + 1) + y * (n + 1)) / 9) + 128
        noise = np.random.default_rng(0).integers(0, 9, shape)
        np.save(root / f"{len(list(root.iterdir()))}.npy", (waves + noise).astype(np.uint8))
    return sorted(root.iterdir())


def emulated(model, request):
    """How to run a program on such a processor."""
    if model != "Nehalem" and os.environ.get("MATERIALIZE_EMULATE") != "all":
        pytest.skip("takes most of a minute each: set MATERIALIZE_EMULATE=all")
    # Machine code for a model is kept between test runs: compiling is nearly all of the time.
    compiled = request.config.cache.mkdir(f"compiled-{model}")
    variables = {**EMULATED, **MODELS[model], "NUMBA_CACHE_DIR": str(compiled)}
    return {"command": (EMULATOR, "-cpu", model), "variables": variables}


@pytest.fixture(scope="module")
def rendered():
    """By pipeline, the digest of what this processor renders."""
    found = json.loads(run(RENDER))
    assert found.keys() == PIPELINES.keys()
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory, jpegs):
    """By codec, what this processor gives."""
    place = tmp_path_factory.mktemp("expected")
    return {codec: build(place / codec, jpegs, codec) for codec in ("raw", "bitshuffle-zstd")}


def test_feature_switches_change_no_byte(tmp_path, jpegs, expected, rendered):
    variables = masked_features(tmp_path / "compiled")
    assert json.loads(run(RENDER, variables=variables)) == rendered
    for codec, bytes_here in expected.items():
        assert build(tmp_path / codec, jpegs, codec, variables=variables) == bytes_here


@pytest.mark.skipif(EMULATOR is None, reason="needs qemu-x86_64-static (qemu-user-static)")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates other x86-64 processors")
@pytest.mark.parametrize("model", MODELS)
def test_an_emulated_processor_changes_no_byte(tmp_path, jpegs, expected, model, request):
    how = emulated(model, request)
    assert build(tmp_path / "out", jpegs, "bitshuffle-zstd", **how) == expected["bitshuffle-zstd"]


@pytest.mark.skipif(EMULATOR is None, reason="needs qemu-x86_64-static (qemu-user-static)")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates other x86-64 processors")
@pytest.mark.parametrize("model", MODELS)
def test_an_emulated_processor_renders_alike(rendered, model, request):
    """Every transform and every preset."""
    assert json.loads(run(RENDER, **emulated(model, request))) == rendered


@pytest.mark.skipif(EMULATOR is None, reason="needs qemu-x86_64-static (qemu-user-static)")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates other x86-64 processors")
@pytest.mark.parametrize("model", MODELS)
def test_an_emulated_processor_encodes_and_decodes_alike(blocks, model, request):
    """With every codec: zlib-ng, libwebp, libjpeg, zstd and LZ4 choose code by the processor."""
    assert run(ENCODE, *blocks, **emulated(model, request)) == run(ENCODE, *blocks)
