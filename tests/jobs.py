"""Small jobs for tests: sources, a recipe that gives many tiny shards, and ways to compare."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

from materialize.builder import BuildOptions, build_dataset
from materialize.executor import Crew
from materialize.manifest import load_latest, shard_path
from materialize.recipe import Recipe
from materialize.sources import FolderSource
from tests.image_files import png_bytes, write_tree

RECIPE = Recipe(copies=2, shard_bytes=16384)
"""Sixteen shards of the digits."""


def build_digits(directory, *, copies=2, **options):
    """The digits, 225 to a shard."""
    recipe = replace(RECIPE, copies=copies)
    return build_dataset("digits", directory, "digits", recipe, options=BuildOptions(**options))


def photos(root, count=12, *, first=0, size=(16, 16)):
    """A folder of ``count`` small pictures in two classes."""
    names = {i: f"{'ab'[i % 2]}/{i:03d}.png" for i in range(first, first + count)}
    return write_tree(root, {name: png_bytes(i, size) for i, name in names.items()})


def build_photos(source, directory, *, copies=2, **options):
    """Four pictures to a shard."""
    recipe = Recipe(copies=copies, shard_bytes=4096)
    return build_dataset(source, directory, "cifar10", recipe, options=BuildOptions(**options))


def contents(directory):
    """Every byte that a reader of the dataset may see, by file name."""
    files = [*directory.glob("manifest-*"), *directory.glob("plan-*"), *directory.glob("shards/*")]
    return {path.name: path.read_bytes() for path in files}


def leftovers(directory):
    """Temporaries that somebody left behind."""
    return sorted(path.name for path in directory.rglob(".*"))


def copied(directory, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(directory, tmp_path / "dataset"))


def shard_paths(directory):
    """The shards in the order of the manifest."""
    entries = load_latest(directory).shards
    return [shard_path(directory, entry.file) for entry in entries]


def flip_byte(path, offset):
    """Invert one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


class SlowPhotos(FolderSource):
    """Pictures that take 20 ms each to read, so that there is time to disturb a build."""

    def identity_bytes(self, index):
        time.sleep(0.02)
        return super().identity_bytes(index)


class DeadlyPhotos(FolderSource):
    """Pictures of which one kills whatever process decodes it, except the one that made this."""

    victim = "a/004.png"

    def __init__(self, root):
        super().__init__(root)
        self.home = os.getpid()

    def decode(self, content, index):
        if self.record(index).locator == self.victim and os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(content, index)


class MoodyPhotos(FolderSource):
    """Pictures that look different in every process: what a proof must find out."""

    def __init__(self, root):
        super().__init__(root)
        self.home = os.getpid()

    def decode(self, content, index):
        decoded = super().decode(content, index)
        if os.getpid() != self.home:
            decoded.pixels[0, 0] ^= 255
        return decoded


LOKY = Crew(2, "loky")
