"""Small image files for tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def png_bytes(seed: int, size: tuple[int, int] = (4, 5), channels: int = 3) -> bytes:
    """A PNG of noise; different seeds give different content."""
    shape = (*size, channels) if channels == 3 else size
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def write_tree(root: Path, contents: dict[str, bytes]) -> Path:
    """The files of a tree, by their path under ``root``."""
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root
