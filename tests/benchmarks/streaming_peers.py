"""Other loaders over the same images, each with the best reasonable settings of its own.

A peer writes the images, ordered by class, in its own format, and hands out shuffled batches as
arrays: uint8 (n, H, W, 3) and the numbers of the rows, which stand for labels, as they would cost
the same. From those numbers follows how far the peer shuffles. Peers are written and read one
after another, each in processes of its own, so that they share neither threads nor disk.
"""

import importlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BATCH = 128
FILES = 80
ROUND_S = 0.6
"""A slow peer's round is as many batches as it yields in about this time."""
WARM_UP_S = 2.5
"""After an epoch, or this time, a peer counts as warm: its files were written just before."""

Pair = tuple[NDArray[np.uint8], NDArray[np.int64]]
Epoch = Callable[[int], Iterable[Pair]]


class Format(Protocol):
    """How a peer stores images and reads them."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        """Writes (n, H, W, 3) images; the label of row i is i."""

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        """By name of the variant, a function from an epoch's number to its batches."""


PEERS = {
    "FFCV": ("tests.benchmarks.peers_torch", "Ffcv", "ffcv"),
    "HF datasets": ("tests.benchmarks.peers_arrays", "HuggingFace", "datasets"),
    "TFRecord": ("tests.benchmarks.peers_arrays", "TfRecord", "tensorflow"),
    "WebDataset": ("tests.benchmarks.peers_torch", "WebDataset", "webdataset"),
    "MosaicML": ("tests.benchmarks.peers_torch", "Mosaic", "mosaicml-streaming"),
    "LitData": ("tests.benchmarks.peers_torch", "LitData", "litdata"),
    "Grain": ("tests.benchmarks.peers_arrays", "Grain", "grain"),
    "h5py": ("tests.benchmarks.peers_arrays", "PlainHdf5", "h5py"),
    "torch": ("tests.benchmarks.peers_torch", "MemoryMap", "torch"),
}
"""By name: module, class and distribution."""


def prepare(work: Path, name: str) -> dict[str, Any]:
    """Writes one peer's files from `images.npy` in `work`.

    Returns:
        Bytes, seconds and the version, or why the peer is not available.
    """
    module, kind, distribution = PEERS[name]
    directory = directory_of(work, name)
    try:
        found = version(distribution)
        peer = getattr(importlib.import_module(module), kind)()
        directory.mkdir()
        start = time.perf_counter()
        peer.write(directory, np.load(work / "images.npy", mmap_mode="r"))
        seconds = time.perf_counter() - start
    except PackageNotFoundError:
        return {"unavailable": f"{distribution} is not installed"}
    except Exception as error:  # noqa: BLE001 - whatever stops a peer, the others go on
        return {"unavailable": f"writing: {type(error).__name__}: {str(error)[:300]}"}
    num_bytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return {"version": found, "seconds": round(seconds, 2), "bytes": num_bytes}


def systems(work: Path, name: str, side: int, count: int, cores: int) -> "dict[str, Peer]":
    """The variants of one peer, warm; none where `prepare` found it unavailable."""
    module, kind, _ = PEERS[name]
    peer = getattr(importlib.import_module(module), kind)()
    found = peer.epochs(directory_of(work, name), side, count, cores)
    return {variant: Peer(epoch, side, count) for variant, epoch in found.items()}


def discard(work: Path, name: str) -> None:
    """Deletes one peer's files."""
    shutil.rmtree(directory_of(work, name), ignore_errors=True)


def directory_of(work: Path, name: str) -> Path:
    """Where one peer's files are."""
    return work / f"peer-{name.replace(' ', '-')}"


def _count(pair: Pair) -> int:
    """Images of a batch; under `map`, which lets go of one batch before the next is made."""
    return len(pair[0])


@dataclass
class Peer:
    """Rounds over epochs: a whole epoch each, or, of a slow peer, the batches that come next.

    A slow peer goes on where the round before has stopped, so that what it does once an epoch is
    not charged to every round.
    """

    epoch: Epoch
    side: int
    count: int
    batches: int = 0
    """Of a round; 0 for a whole epoch."""
    _coming: Iterator[Pair] = field(default_factory=lambda: iter(()))
    _rows: list[NDArray[np.int64]] = field(default_factory=list)

    def run(self, number: int) -> int:
        """One round; -1 is the warm-up, which also finds how long a round is."""
        if number < 0:
            return self._warm_up()
        if not self.batches:
            return sum(map(_count, self.epoch(number + 1)))
        return sum(map(_count, itertools.islice(self._coming, self.batches)))

    def facts(self) -> dict[str, float]:
        """The images of a round, and `materialize.loader.order.mixing` of the warm-up's batches."""
        spreads = [np.std(rows, ddof=1) for rows in self._rows if len(rows) == BATCH]
        mixing = np.sqrt(np.mean(np.square(spreads))) / (self.count / np.sqrt(12.0))
        num_images = self.batches * BATCH or self.count
        return {"mixing": round(float(mixing), 3), "images_a_round": num_images}

    def _warm_up(self) -> int:
        """An epoch, or `WARM_UP_S` from the first batch on."""
        self._coming = itertools.chain.from_iterable(map(self.epoch, itertools.count()))
        images, rows = next(self._coming)
        self._check(images, rows)
        self._rows.append(np.array(rows))
        seen, whole = len(rows), False
        start = time.perf_counter()
        for images, rows in self._coming:
            seen += len(images)
            self._rows.append(np.array(rows))
            whole = seen >= self.count
            if whole or time.perf_counter() - start > WARM_UP_S:
                break
        rate = (len(self._rows) - 1) / (time.perf_counter() - start)
        if not whole or rate * ROUND_S < self.count / BATCH:
            self.batches = min(max(int(rate * ROUND_S), 8), self.count // BATCH)
        else:
            self._coming = iter(())
        return seen

    def _check(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        expected = (BATCH, self.side, self.side, 3)
        if images.shape != expected or images.dtype != np.uint8 or np.size(rows) != BATCH:
            raise ValueError(f"expected {expected} uint8, got {images.shape} {images.dtype}")


def parts(count: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and stop of the rows of each of `FILES` files."""
    edges = [count * number // FILES for number in range(FILES + 1)]
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        yield number, start, stop


def packed(image: NDArray[np.uint8], row: int) -> bytes:
    """A record for formats of plain bytes: eight bytes of the label, then the pixels."""
    return row.to_bytes(8, "little") + image.tobytes()


def unpacked(records: NDArray[np.uint8], side: int) -> Pair:
    """The images and rows of (n, 8 + pixels) records; images are a view."""
    rows = np.ascontiguousarray(records[:, :8]).view("<i8")[:, 0]
    return records[:, 8:].reshape(-1, side, side, 3), rows
