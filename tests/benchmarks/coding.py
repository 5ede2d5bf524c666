"""Every codec on real images: how small, how fast to encode and to decode, and how fast in batches.

Encoding and decoding go block by block, as in a shard, on one core. Batches come from datasets of
augmented copies through a loader without threads of its own: once with room for all decoded blocks,
from the first epoch on, so that each is decoded once; and once with room for an eighth of them, as
where a dataset is larger than the memory, so that a block may be decoded for a single image.

Images: CIFAR-10, Fashion-MNIST, and photographs cut to squares and brought to 224×224; where they
are absent, the digits that scikit-learn brings along.
"""

import argparse
import gzip
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.builder import build_dataset
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.population import load_images, scan
from materialize.recipe import Recipe
from materialize.shards.codecs import CODECS, Codec, as_read, decode_block, encode_block
from materialize.shards.columns import Column
from materialize.shards.fidelity import psnr
from materialize.sources import open_source
from tests.benchmarks.measure import in_turns, on_one_core, print_table, write_record
from tests.conftest import _DATA

BATCH = 128
_SAMPLE_BYTES = 4 << 20
"""Of images that are encoded and decoded again and again."""
_SHARD_BYTES = 4 << 20
_MOST_BATCHES = 12
"""Read with little room."""


def cifar() -> NDArray[np.uint8]:
    """(10000, 32, 32, 3)."""
    images: NDArray[np.uint8] = np.load(_DATA / "cifar10" / "cifar10_10k_2k.npz")["x_train"]
    return images


def fashion() -> NDArray[np.uint8]:
    """(10000, 28, 28, 1)."""
    with gzip.open(_DATA / "fashion_mnist" / "t10k-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28, 1)


def photographs() -> NDArray[np.uint8]:
    """(100, 224, 224, 3): the largest square in the middle, made smaller."""
    found = []
    for path in sorted((_DATA / "imagenet_1000_samples").rglob("*.JPEG")):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        found.append(np.asarray(square.resize((224, 224), Image.Resampling.LANCZOS)))
    return np.stack(found)


def digits() -> NDArray[np.uint8]:
    """(1797, 8, 8, 1)."""
    source = open_source("digits")
    population = scan(source)
    return np.stack(list(load_images(source, population, list(range(len(population))))))


REAL = {"32×32×3": (cifar, "cifar10"), "28×28×1": (fashion, "digits"),
        "224×224×3": (photographs, "photos224")}  # fmt: skip
"""Images, and the pipeline of their copies."""


def coded(codec: Codec, images: NDArray[np.uint8], rounds: int) -> dict[str, float]:
    """Ratio, MB/s of encoding and of decoding, and PSNR."""
    whole = Column(images.dtype, images.shape)
    rows = codec.rows_per_block(whole)
    parts = [images[start : start + rows] for start in range(0, len(images), rows)]
    blocks = [encode_block(codec, part) for part in parts]

    def encode(_: int) -> int:
        for part in parts:
            encode_block(codec, part)
        return len(images)

    def decode(_: int) -> int:
        for part, block in zip(parts, blocks, strict=True):
            decode_block(codec, block, Column(part.dtype, part.shape))
        return len(images)

    rates = in_turns({"encode": encode, "decode": decode}, rounds=rounds)
    image_mb = images[0].nbytes / 1e6
    return {
        "ratio": round(images.nbytes / sum(map(len, blocks)), 3),
        "encode_mb_per_s": round(rates["encode"]["images_per_s"] * image_mb, 1),
        "decode_mb_per_s": round(rates["decode"]["images_per_s"] * image_mb, 1),
        "rows_per_block": rows,
        "psnr_db": round(psnr(images, as_read(codec, images)), 2) if codec.is_lossy else 0.0,
    }


def streamed(
    codec: Codec, images: NDArray[np.uint8], pipeline: str, directory: Path, rounds: int
) -> dict[str, float]:
    """Images/s of shuffled batches with room for all decoded blocks, and for an eighth of them."""
    copies = max(1, 1000 // len(images))
    recipe = Recipe(copies=copies, seed=7, codec=codec.name, shard_bytes=_SHARD_BYTES)
    source = open_source((images, np.arange(len(images)) % 10))
    build_dataset(source, directory, pipeline, recipe)

    def rate(cache_bytes: int, most: int) -> Callable[[int], float]:
        options = LoaderOptions(threads=0, cache_bytes=cache_bytes)

        def run(number: int) -> float:
            # A new loader, so that nothing is decoded yet.
            with StreamingLoader(directory, batch_size=BATCH, seed=1, options=options) as loader:
                start, count = time.perf_counter(), 0
                for number_of_batch, batch in enumerate(loader.epoch(number)):
                    count += len(batch)
                    if number_of_batch + 1 >= most:
                        break
                return count / (time.perf_counter() - start)

        return run

    found = {}
    ways = {"all_fits": (2**30, 10**9), "an_eighth_fits": (images.nbytes // 8, _MOST_BATCHES)}
    for name, (cache_bytes, most) in ways.items():
        run = rate(cache_bytes, most)
        run(0)  # checks and remembers what the files hold
        found[f"{name}_images_per_s"] = round(float(np.median([run(n) for n in range(rounds)])), 0)
    return found


def main(arguments: argparse.Namespace) -> None:
    """Measures all codecs on all images."""
    on_one_core()
    sets = REAL if _DATA.is_dir() else {"8×8×1": (digits, "digits")}
    figures: dict[str, Any] = {}
    for shape, (load, pipeline) in sets.items():
        images = load()
        sample = np.ascontiguousarray(images[: max(1, _SAMPLE_BYTES // images[0].nbytes)])
        figures[shape] = {}
        for codec in CODECS.values():
            found = coded(codec, sample, arguments.rounds)
            with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
                found |= streamed(codec, images, pipeline, Path(place) / "out", arguments.rounds)
            figures[shape][codec.name] = found
        rows = [
            [name, f"{f['ratio']:.2f}", f"{f['encode_mb_per_s']:,.0f}",
             f"{f['decode_mb_per_s']:,.0f}", f"{f['all_fits_images_per_s']:,.0f}",
             f"{f['an_eighth_fits_images_per_s']:,.0f}"]
            for name, f in figures[shape].items()
        ]  # fmt: skip
        columns = ["codec", "ratio", "encode MB/s", "decode MB/s", "images/s", "… little room"]
        print_table(shape, columns, rows)
    print(write_record("coding", figures, batch=BATCH, rounds=arguments.rounds, cores=1))
