"""Peers that are datasets of torch, or need it."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.streaming_peers import BATCH, FILES, Epoch, Pair, packed, parts, unpacked

BUFFER = 10_000


class Ffcv:
    """One file of arrays, cached by the system; threads as many as cores."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        from ffcv.fields import IntField, NDArrayField
        from ffcv.writer import DatasetWriter

        fields = {"image": NDArrayField(np.dtype(np.uint8), images.shape[1:]), "label": IntField()}
        writer = DatasetWriter(str(directory / "images.beton"), fields, num_workers=2)
        writer.from_indexed_dataset(_Rows(images))

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        from ffcv.fields.basics import IntDecoder
        from ffcv.fields.ndarray import NDArrayDecoder
        from ffcv.loader import Loader, OrderOption

        def of(order: Any) -> Epoch:
            loader = Loader(
                str(directory / "images.beton"), batch_size=BATCH, num_workers=cores,
                os_cache=True, order=order, seed=1, drop_last=False,
                pipelines={"image": [NDArrayDecoder()], "label": [IntDecoder()]},
            )  # fmt: skip

            def epoch(_number: int) -> Iterator[Pair]:
                for images, labels in loader:
                    yield images, labels[:, 0]

            return epoch

        return {
            "FFCV, random": of(OrderOption.RANDOM),
            "FFCV, quasi-random": of(OrderOption.QUASI_RANDOM),
        }


class WebDataset:
    """80 tar files, their order shuffled, then a buffer; workers where there are more cores."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        import webdataset

        for number, start, stop in parts(len(images)):
            with webdataset.TarWriter(str(directory / f"{number:02d}.tar")) as writer:
                for row in range(start, stop):
                    writer.write(
                        {"__key__": f"{row:08d}", "bin": images[row].tobytes(), "cls": row}
                    )

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        import webdataset

        workers = 0 if cores == 1 else cores
        buffer = BUFFER // max(workers, 1)

        def join(samples: Sequence[tuple[bytes, bytes]]) -> tuple[Any, Any]:
            images = np.frombuffer(b"".join(image for image, _ in samples), np.uint8)
            rows = np.array([int(label) for _, label in samples])
            return _handed_over(images.reshape(-1, side, side, 3), rows, workers)

        files = sorted(str(path) for path in directory.iterdir())
        dataset = (  # an endless list, as far as a benchmark goes: the buffer is filled once
            webdataset.WebDataset(
                files * 64, shardshuffle=FILES, seed=1, nodesplitter=None,
                workersplitter=webdataset.split_by_worker,
            ).shuffle(buffer, initial=buffer).to_tuple("bin", "cls")
            .batched(BATCH, collation_fn=join, partial=False)
        )  # fmt: skip
        loader = webdataset.WebLoader(dataset, batch_size=None, num_workers=workers)
        endless = iter(loader)

        def epoch(_number: int) -> Iterator[Pair]:
            for _ in range(-(-count // BATCH)):
                yield _arrays(next(endless))

        return {"WebDataset": epoch}


class Mosaic:
    """MDS in 80 files without compression; `py1e` is its default shuffle."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        with _without_extras():
            from streaming.base import MDSWriter
        side = images.shape[1]
        columns = {"image": f"ndarray:uint8:{side},{side},3", "label": "int"}
        size_limit = -(-len(images) // FILES) * (side * side * 3 + 32)
        with MDSWriter(out=str(directory / "mds"), columns=columns, size_limit=size_limit) as out:
            for row in range(len(images)):
                out.write({"image": np.asarray(images[row]), "label": row})

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        from torch.utils.data import DataLoader

        with _without_extras():
            from streaming.base import StreamingDataset
            from streaming.base.util import clean_stale_shared_memory
        clean_stale_shared_memory()
        workers = 0 if cores == 1 else cores
        dataset = StreamingDataset(
            local=str(directory / "mds"), shuffle=True, shuffle_algo="py1e", shuffle_seed=1,
            batch_size=BATCH, num_canonical_nodes=1,
        )  # fmt: skip

        def join(samples: Sequence[dict[str, Any]]) -> tuple[Any, Any]:
            images = np.stack([sample["image"] for sample in samples])
            return _handed_over(images, np.array([s["label"] for s in samples]), workers)

        loader = DataLoader(
            dataset, batch_size=BATCH, num_workers=workers, collate_fn=join,
            persistent_workers=workers > 0,
        )  # fmt: skip
        return {"MosaicML Streaming": lambda _number: map(_arrays, loader)}


class LitData:
    """80 chunks of fixed-size blocks, which its token loader maps: its fastest way to bytes."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        import torch
        from litdata.streaming.item_loader import TokensLoader
        from litdata.streaming.writer import BinaryWriter

        block = 8 + int(np.prod(images.shape[1:]))
        writer = BinaryWriter(
            str(directory), chunk_size=-(-len(images) // FILES) * block,
            item_loader=TokensLoader(block),
        )  # fmt: skip
        for row in range(len(images)):
            record = bytearray(packed(images[row], row))
            writer.add_item(row, torch.frombuffer(record, dtype=torch.uint8))
        writer.done()
        writer.merge()

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        from litdata import StreamingDataLoader, StreamingDataset
        from litdata.streaming.item_loader import TokensLoader

        workers = 0 if cores == 1 else cores
        block = 8 + side * side * 3
        dataset = StreamingDataset(
            str(directory), item_loader=TokensLoader(block), shuffle=True, seed=1, drop_last=False
        )
        loader = StreamingDataLoader(
            dataset, batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0
        )

        def epoch(_number: int) -> Iterator[Pair]:
            return (unpacked(batch.numpy(), side) for batch in loader)

        return {"LitData": epoch}


class MemoryMap:
    """`DataLoader` over one mapped array, a batch per call; the least one can write with torch."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        (directory / "images.npy").symlink_to(images.filename)  # type: ignore[attr-defined]

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        from torch.utils.data import BatchSampler, DataLoader, RandomSampler

        def of(workers: int) -> Epoch:
            dataset = _Batches(directory / "images.npy", workers)
            loader = DataLoader(
                dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0,
                sampler=BatchSampler(RandomSampler(dataset), BATCH, drop_last=False),
            )  # fmt: skip
            return lambda _number: map(_arrays, loader)

        numbers = (0,) if cores == 1 else (0, cores)
        return {f"torch DataLoader, memmap, {n} workers": of(n) for n in numbers}


class _Rows:
    """Images and row numbers, one by one."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[NDArray[np.uint8], int]:
        return np.ascontiguousarray(self.images[row]), int(row)


class _Batches:
    """Images and row numbers, a batch at a time."""

    def __init__(self, path: Path, workers: int) -> None:
        self.images = np.load(path, mmap_mode="r")
        self.workers = workers

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: list[int]) -> tuple[Any, Any]:
        number = np.array(rows)
        return _handed_over(np.take(self.images, number, axis=0), number, self.workers)


def _handed_over(
    images: NDArray[np.uint8], rows: NDArray[np.int64], workers: int
) -> tuple[Any, Any]:
    """Tensors where a worker hands over: they go through shared memory, arrays through a pipe."""
    if not workers:
        return images, rows
    import torch

    return torch.from_numpy(images), torch.from_numpy(rows)


def _arrays(pair: Iterable[Any]) -> Pair:
    images, rows = pair
    return np.asarray(images), np.asarray(rows)


@contextmanager
def _without_extras() -> Iterator[None]:
    """Imports MosaicML's base without its ready-made datasets, which need large libraries."""
    absent = {
        "transformers": (),
        "transformers.feature_extraction_utils": ("BatchFeature",),
        "transformers.tokenization_utils_base": ("BatchEncoding",),
        "streaming.text": (), "streaming.vision": (), "streaming.multimodal": (),
    }  # fmt: skip
    added = {name: ModuleType(name) for name in absent if name not in sys.modules}
    for name, module in added.items():
        for attribute in absent[name]:
            setattr(module, attribute, type(attribute, (dict,), {}))
    sys.modules |= added
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]
