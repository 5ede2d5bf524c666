"""What every codec promises: a name, bytes that images alone decide, and files others can read."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from materialize.environment import current_environment
from materialize.errors import ConfigError
from materialize.shards.codecs import (
    CODECS,
    as_read,
    decode_block,
    encode_block,
    find_codec,
)
from materialize.shards.columns import Column
from materialize.shards.reader import ShardReader
from tests.shard_cases import shard_case

FILTERED = sorted(name for name, codec in CODECS.items() if codec.filter_number)
LOSSLESS = sorted(name for name, codec in CODECS.items() if not codec.is_lossy)
ENCODED = sorted(name for name, codec in CODECS.items() if not codec.is_raw)
SHAPES = [(400, (32, 32, 3)), (3, (224, 224, 3)), (90, (28, 28, 1))]


@pytest.mark.parametrize("quality", [1, 9, 10, 75, 99, 100])
def test_every_quality_of_jpeg_is_a_codec(quality):
    codec = find_codec(f"jpeg-{quality}")
    assert codec.name == f"jpeg-{quality}"
    assert codec.is_lossy


@pytest.mark.parametrize("name", ["jpeg", "jpeg-0", "jpeg-101", "jpeg-090", "jpeg-9x", "jpg-90"])
def test_another_jpeg_is_told_the_interval(name):
    with pytest.raises(ConfigError, match=r"did you mean 'jpeg-90'\? .* in \[1, 100\]"):
        find_codec(name)


@pytest.mark.parametrize(("name", "near"), [("zst", "zstd"), ("pnd", "png"), ("blosc", "blosc2")])
def test_an_unknown_codec_names_the_nearest(name, near):
    with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
        find_codec(name)


def test_a_codec_is_of_one_kind():
    for codec in CODECS.values():
        assert [codec.is_raw, codec.is_picture, bool(codec.filter_number)].count(True) == 1


@pytest.mark.parametrize(("num_rows", "shape"), SHAPES)
@pytest.mark.parametrize("codec", ENCODED)
def test_a_block_is_the_same_with_and_without_a_shard(tmp_path, codec, num_rows, shape):
    """So that a plan measures what a build writes."""
    case = shard_case(num_rows, shape, codec=codec)
    with ShardReader(*case.store(tmp_path)) as reader:
        blocks = reader.blocks
        stored = bytes(reader.checked_bytes(blocks.region(0), range(num_rows)))
    assert stored == encode_block(find_codec(codec), case.images[: blocks.rows_per_block])


@pytest.mark.parametrize("codec", LOSSLESS)
def test_lossless_images_are_read_as_they_are(codec):
    images = shard_case(3, (9, 7, 3)).images
    found = find_codec(codec)
    read = decode_block(found, encode_block(found, images), Column(images.dtype, images.shape))
    np.testing.assert_array_equal(read, images)
    assert as_read(found, images) is images


@pytest.mark.parametrize("codec", ENCODED)
def test_threads_encode_the_same_as_one(codec):
    """Also where libhdf5 encodes, which takes files of one name for one file."""
    cases = [shard_case(60, (32, 32, 3)).images + np.uint8(i) for i in range(8)]
    found = find_codec(codec)
    alone = [encode_block(found, images[: 1 if found.is_picture else 60]) for images in cases]
    with switching_often(), ThreadPoolExecutor(4) as threads:
        jobs = [images[: 1 if found.is_picture else 60] for images in cases] * 4
        together = list(threads.map(lambda images: encode_block(found, images), jobs))
    assert together == alone * 4


@pytest.mark.parametrize("codec", ["raw", "zstd", "gzip", "png"])
def test_threads_write_the_same_shards_as_one(codec):
    cases = [shard_case(60, (8, 8, 3), codec=codec, copy=copy) for copy in range(8)]
    alone = [case.write() for case in cases]
    with switching_often(), ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda case: case.write(), cases * 4))
    assert together == alone * 4


@contextmanager
def switching_often():
    """Threads take turns so often that what needs a lock and has none fails here."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


READ = """
import hashlib, json, sys
import h5py, hdf5plugin

assert not [name for name in sys.modules if name.startswith(("materialize", "pipelines"))]
for path in sys.argv[1:]:
    with h5py.File(path) as file:
        print(hashlib.sha256(file["images"][...].tobytes()).hexdigest())
"""


def in_a_process(program, *arguments, **variables):
    """What it prints, by line."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], env={**os.environ, **variables},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("codec", FILTERED)
@pytest.mark.parametrize("image_dtype", ["uint8", "float32"])
def test_h5py_and_hdf5plugin_read_it_without_our_code(tmp_path, codec, image_dtype):
    cases = [
        shard_case(num_rows, shape, codec=codec, image_dtype=image_dtype, run=run)
        for run, (num_rows, shape) in enumerate([*SHAPES, (1, (1, 1, 1)), (2, (700, 700, 3))])
    ]
    paths = [case.store(tmp_path)[0] for case in cases]
    expected = [hashlib.sha256(case.images.tobytes()).hexdigest() for case in cases]
    assert in_a_process(READ, *paths) == expected


WRITE = """
import hashlib
from materialize.shards.codecs import CODECS
from tests.shard_cases import shard_case

for name in sorted(CODECS):
    print(hashlib.sha256(shard_case(400, (32, 32, 3), codec=name).write()[0]).hexdigest())
"""

ENVIRONMENT = {
    "BLOSC_NTHREADS": "2", "BLOSC_CLEVEL": "9", "BLOSC_SHUFFLE": "BITSHUFFLE",
    "BLOSC_BLOCKSIZE": "4096", "BLOSC_COMPRESSOR": "lz4", "BLOSC_SPLITMODE": "ALWAYS",
    "BLOSC_TYPESIZE": "8", "BLOSC_DELTA": "1", "OMP_NUM_THREADS": "2", "ZSTD_NBTHREADS": "2",
    "ZSTD_CLEVEL": "19",
}  # fmt: skip


def test_no_variable_of_the_environment_decides_a_byte():
    """Those that Blosc, OpenMP and Zstandard look at."""
    here = [
        hashlib.sha256(shard_case(400, (32, 32, 3), codec=name).write()[0]).hexdigest()
        for name in sorted(CODECS)
    ]
    path = os.pathsep.join(sys.path)
    assert in_a_process(WRITE, PYTHONPATH=path, **ENVIRONMENT) == here


@pytest.mark.parametrize(
    "shape", [(341, 32, 32, 3), (6, 224, 224, 3), (2, 100, 77, 4), (50, 40, 40, 2)]
)
def test_a_bytedelta_frame_is_what_c_blosc2_writes(shape):
    """Byte for byte, where nothing is stored as it is."""
    blosc2 = pytest.importorskip("blosc2")
    steps = np.random.default_rng(0).integers(-2, 3, int(np.prod(shape)))
    images = (np.cumsum(steps) % 256).astype(np.uint8).reshape(shape)
    stride = shape[3]
    settings = {
        "codec": blosc2.Codec.ZSTD, "clevel": 1, "typesize": stride, "nthreads": 1,
        "blocksize": min(images.nbytes, 2**15 // stride * stride),
        "filters": [blosc2.Filter.NOFILTER] * 4 + [blosc2.Filter.SHUFFLE, blosc2.Filter.BYTEDELTA],
        "filters_meta": [0] * 5 + [stride], "splitmode": blosc2.SplitMode.NEVER_SPLIT,
    }  # fmt: skip
    whole = blosc2.SChunk(
        chunksize=images.nbytes, data=images.reshape(-1), cparams=settings,
        dparams={"nthreads": 1}, contiguous=True,
    )  # fmt: skip
    assert encode_block(find_codec("blosc2"), images) == whole.to_cframe()


def test_the_bytedelta_of_a_photograph_is_smaller_than_plain_zstd(real_data):
    images = np.load(real_data / "cifar10" / "cifar10_10k_2k.npz")["x_test"][:341]
    sizes = {name: len(encode_block(find_codec(name), images)) for name in ("blosc2", "zstd")}
    assert sizes["blosc2"] < 0.8 * sizes["zstd"]


def test_receipts_name_the_libraries_that_decide_bytes():
    packages = current_environment().packages
    names = {"hdf5plugin", "lz4", "libzstd", "pillow", "libjpeg-turbo", "libwebp"}
    assert names <= packages.keys()
    assert all(packages[name] for name in names)


def test_the_help_names_every_codec():
    from click.testing import CliRunner

    from materialize.cli import cli

    text = " ".join(CliRunner().invoke(cli, ["build", "--help"]).output.split())
    names = ["jpeg-Q" if codec.is_lossy else codec.name for codec in CODECS.values()]
    assert ", ".join(names[:-1]) + " or " + names[-1] in text
