"""Peers whose batches are arrays from the start."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.streaming_peers import BATCH, FILES, Epoch, Pair, packed, parts, unpacked

BUFFER = 10_000


class HuggingFace:
    """Arrow in 80 shards, mapped; pixels a fixed-size list, gathered by Arrow batch by batch."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        import datasets
        import pyarrow as pa

        datasets.disable_progress_bars()
        length = int(np.prod(images.shape[1:]))
        features = datasets.Features(
            {"image": datasets.List(datasets.Value("uint8"), length=length),
             "label": datasets.Value("int64")}
        )  # fmt: skip
        for number, start, stop in parts(len(images)):
            pixels = pa.array(np.ascontiguousarray(images[start:stop]).reshape(-1))
            table = pa.table(
                {"image": pa.FixedSizeListArray.from_arrays(pixels, length),
                 "label": pa.array(np.arange(start, stop))}
            )  # fmt: skip
            part = datasets.Dataset(table, info=datasets.DatasetInfo(features=features))
            part.save_to_disk(directory / f"{number:02d}")

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        import datasets
        import pyarrow as pa

        pa.set_cpu_count(cores)
        found = sorted(path for path in directory.iterdir())
        dataset = datasets.concatenate_datasets([datasets.load_from_disk(path) for path in found])
        arrow = dataset.with_format("arrow")
        numpy = dataset.with_format("numpy", columns=["image"], dtype=np.uint8)
        labels = np.asarray(dataset.with_format("numpy")["label"][:])

        def orders(number: int) -> Iterator[NDArray[np.int64]]:
            order = np.random.default_rng(number).permutation(count)
            return (order[start : start + BATCH] for start in range(0, count, BATCH))

        def as_arrow(number: int) -> Iterator[Pair]:
            for rows in orders(number):
                table = arrow[rows]
                image = table["image"].combine_chunks().flatten().to_numpy()
                yield image.reshape(-1, side, side, 3), table["label"].to_numpy()

        def as_numpy(number: int) -> Iterator[Pair]:
            for rows in orders(number):
                yield numpy[rows]["image"].reshape(-1, side, side, 3), labels[rows]

        return {"HF datasets, arrow": as_arrow, "HF datasets, numpy": as_numpy}


class TfRecord:
    """80 files of plain records: all interleaved, then a buffer; parsed batch by batch."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        import tensorflow as tf

        for number, start, stop in parts(len(images)):
            with tf.io.TFRecordWriter(str(directory / f"{number:02d}.tfrecord")) as writer:
                for row in range(start, stop):
                    writer.write(packed(images[row], row))

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(cores)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
        files = sorted(str(path) for path in directory.iterdir())
        length = side * side * 3 + 8

        def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image = tf.io.decode_raw(tf.strings.substr(records, 8, length - 8), tf.uint8)
            label = tf.io.decode_raw(tf.strings.substr(records, 0, 8), tf.int64)
            return tf.reshape(image, (-1, side, side, 3)), label[:, 0]

        options = tf.data.Options()
        options.threading.private_threadpool_size = cores
        options.threading.max_intra_op_parallelism = cores
        options.deterministic = False
        records = tf.data.Dataset.from_tensor_slices(files).shuffle(FILES, seed=1).repeat()
        records = records.interleave(
            lambda file: tf.data.TFRecordDataset(file, buffer_size=1 << 20),
            cycle_length=FILES, block_length=4, num_parallel_calls=cores,
        )  # fmt: skip
        batches = records.shuffle(BUFFER, seed=1).batch(BATCH)
        batches = batches.map(parse, num_parallel_calls=cores).prefetch(2).with_options(options)
        endless = iter(batches.as_numpy_iterator())

        def epoch(_number: int) -> Iterator[Pair]:
            for _ in range(-(-count // BATCH)):
                yield next(endless)

        return {"TFRecord + tf.data": epoch}


class Grain:
    """ArrayRecord in 80 files, shuffled globally, read batch by batch, threads reading ahead."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        from array_record.python.array_record_module import ArrayRecordWriter

        for number, start, stop in parts(len(images)):
            path = directory / f"{number:02d}.array_record"
            writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
            for row in range(start, stop):
                writer.write(packed(images[row], row))
            writer.close()

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        import grain

        files = sorted(str(path) for path in directory.iterdir())
        source = grain.sources.ArrayRecordDataSource(files)
        length = side * side * 3 + 8

        def read(rows: NDArray[np.int64]) -> Pair:
            joined = b"".join(source.__getitems__(rows.tolist()))
            return unpacked(np.frombuffer(joined, np.uint8).reshape(-1, length), side)

        def epoch(number: int) -> Iterator[Pair]:
            order = grain.MapDataset.range(count).seed(number).shuffle().batch(BATCH)
            options = grain.ReadOptions(num_threads=cores, prefetch_buffer_size=2 * cores)
            return iter(order.map(read).to_iter_dataset(options))

        return {"Grain + ArrayRecord": epoch}


class PlainHdf5:
    """80 contiguous datasets, row by row: what one writes first."""

    def write(self, directory: Path, images: NDArray[np.uint8]) -> None:
        for number, start, stop in parts(len(images)):
            with h5py.File(directory / f"{number:02d}.h5", "w") as file:
                file["images"] = images[start:stop]
                file["labels"] = np.arange(start, stop)

    def epochs(self, directory: Path, side: int, count: int, cores: int) -> dict[str, Epoch]:
        files = [h5py.File(path) for path in sorted(directory.iterdir())]
        images, labels = zip(*((file["images"], file["labels"][()]) for file in files), strict=True)
        starts = np.array([start for _, start, _ in parts(count)])

        def epoch(number: int) -> Iterator[Pair]:
            order = np.random.default_rng(number).permutation(count)
            for first in range(0, count, BATCH):
                rows = order[first : first + BATCH]
                places = np.searchsorted(starts, rows, side="right") - 1
                out = np.empty((len(rows), side, side, 3), np.uint8)
                label = np.empty(len(rows), np.int64)
                for place, (file, within) in enumerate(
                    zip(places.tolist(), (rows - starts[places]).tolist(), strict=True)
                ):
                    out[place] = images[file][within]
                    label[place] = labels[file][within]
                yield out, label

        return {"h5py, row by row": epoch}
