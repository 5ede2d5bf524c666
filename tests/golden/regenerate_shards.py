"""Writes the golden digests of shards; run it only with the reason at hand (see the test)."""

import json
from pathlib import Path

import h5py
import hdf5plugin

from materialize.environment import current_environment
from materialize.shards.layout import FORMAT_VERSION
from tests.shard_cases import ShardCase, shard_case

DECIDING = ("lz4", "libzstd", "pillow", "libjpeg-turbo", "libwebp", "zlib-ng")
"""What else decides bytes."""

GOLDEN = Path(__file__).parent / "shards" / f"format-{FORMAT_VERSION}.json"


def golden_cases() -> dict[str, ShardCase]:
    """One small shard of every kind."""
    original = {
        "kind": "original", "copy": -1, "recipe": "", "parameters": "none", "draw_words": (),
    }  # fmt: skip
    return {
        "raw-copy": shard_case(),
        "raw-original": shard_case(**original),
        "raw-float32": shard_case(image_dtype="float32"),
        "raw-full-parameters": shard_case(parameters="full"),
        "raw-mixed": shard_case(partners_digest="a9" * 32),
        "bitshuffle-zstd": shard_case(400, (32, 32, 3), codec="bitshuffle-zstd"),
        "zstd": shard_case(400, (32, 32, 3), codec="zstd"),
        # gzip is absent: its bytes are a matter of the zlib that HDF5 was built with.
        "lz4": shard_case(400, (32, 32, 3), codec="lz4"),
        "blosc2": shard_case(400, (32, 32, 3), codec="blosc2"),
        "png": shard_case(25, (32, 32, 3), codec="png"),
        "webp": shard_case(25, (32, 32, 3), codec="webp"),
        "jpeg-90": shard_case(5, (32, 32, 3), codec="jpeg-90"),
    }


def main() -> None:
    """Replace the golden file of this format version."""
    packages = current_environment().packages
    shards = {}
    for name, case in golden_cases().items():
        _, entry = case.write()
        shards[name] = {
            "file": entry.file,
            "num_bytes": entry.num_bytes,
            "file_sha256": entry.file_sha256,
            "content_sha256": entry.content_sha256,
            "reading_sha256": entry.reading_sha256,
        }
    provenance = {
        "h5py": h5py.version.version,
        "hdf5": h5py.version.hdf5_version,
        "hdf5plugin": hdf5plugin.version,
        **{name: packages[name] for name in DECIDING},
    }
    document = {"format_version": FORMAT_VERSION, "written_by": provenance, "shards": shards}
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
