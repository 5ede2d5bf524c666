"""What the kernels read: nothing behind the memory that was vouched for.

A child process lays images against the end of a mapping that a forbidden page follows, so that one
byte read too far ends it with a signal.
"""

import subprocess
import sys
import textwrap
import weakref

import numpy as np
import pytest

from pipelines import engine, kernels
from pipelines.blending import SLACK_BYTES
from pipelines.contract import Arena, pack, view
from pipelines.errors import ImageContractError
from pipelines.geometric import Rotation
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import sample_ids, synthetic

CHILD = """
import ctypes, mmap
import numpy as np
from pipelines import engine
from pipelines.contract import pack
from pipelines.geometric import Rotation, Zoom
from pipelines.photometric import KerasChannelShift
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import run, sample_ids, synthetic

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def against_the_wall(values):
    pages = -(-values.nbytes // mmap.PAGESIZE)
    room = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    whole = np.frombuffer(room, dtype=np.uint8)
    wall = whole.ctypes.data + pages * mmap.PAGESIZE
    assert libc.mprotect(wall, mmap.PAGESIZE, 0) == 0
    first = pages * mmap.PAGESIZE - values.nbytes
    place = whole[first : pages * mmap.PAGESIZE].view(values.dtype).reshape(values.shape)
    place[...] = values
    KEPT.append(room)
    return place


KEPT = []
STEPS = (Rotation(max_deg=360), Zoom(by=(0.3, 3.0)), KerasChannelShift(by=40))
for dtype in (np.uint8, np.float32):
    for size in ((1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (5, 5), (32, 32), (40, 3)):
        for channels in (1, 2, 3, 4):
            for border in ("nearest", "constant", "reflect", "wrap"):
                images = synthetic(7, *size, channels).astype(dtype)
                pipeline = Pipeline(steps=STEPS, border=border, fill=(9.0,))
                options = {"seed": 3, "sample_ids": sample_ids(7), "copies": 0}
                expected = pipeline.apply(images, **options)
                found = pipeline.apply(against_the_wall(images), **options)
                assert (found == expected).all()
                arena = pack(images)
                object.__setattr__(arena, "values", against_the_wall(arena.values))
                words = pipeline.draw(3, options["sample_ids"], 0)
                out = against_the_wall(np.empty_like(images))
                pipeline.augment(arena, words, out)
                assert (out == expected).all()
print("unharmed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no mprotect")
def test_nothing_is_read_or_written_behind_a_forbidden_page():
    """Images, arenas and outputs that end where memory ends, of every shape and border."""
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD)], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stdout.strip()) == (0, "unharmed"), child.stderr


def test_images_without_room_behind_them_are_counted():
    """Of pixels the last 17 lack a row and 16 bytes behind them, of 32×32 images the last one."""
    assert view(synthetic(40, 1, 1, 1)).num_with_room() == 40 - (1 + SLACK_BYTES)
    assert view(synthetic(3, 32, 32, 3)).num_with_room() == 2
    assert pack(synthetic(40, 1, 1, 1)).num_with_room() == 40


def arena(**changes):
    whole = pack(synthetic(2, 4, 5, 3))
    facts = {name: getattr(whole, name) for name in Arena.__slots__} | changes
    return Arena(**facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": np.zeros(120, np.uint8)},
        {"values": np.zeros((400, 2), np.uint8)[:, 0]},
        {"starts": np.array([0, 200])},
        {"starts": np.array([-1, 60])},
        {"heights": np.array([4, 400])},
        {"widths": np.array([0, 5])},
    ],
)
def test_arenas_that_reach_outside_are_refused(changes):
    """Before the kernel sees them."""
    pipeline = Pipeline(steps=())
    good = arena()
    words = np.empty((2, 0), np.uint32)
    pipeline.augment(good, words, np.empty((2, 4, 5, 3), np.uint8))
    bad = arena(**changes)
    with pytest.raises(ImageContractError):
        bad.check()


@pytest.mark.parametrize(
    "out",
    [
        np.empty((2, 4, 5, 1), np.uint8),
        np.empty((3, 4, 5, 3), np.uint8),
        np.empty((2, 4, 5, 3), np.float32),
        np.empty((2, 5, 4, 3), np.uint8).transpose(0, 2, 1, 3),
    ],
)
def test_outputs_that_do_not_fit_are_refused(out):
    """Shape, dtype and memory order."""
    with pytest.raises(ImageContractError, match="output"):
        Pipeline(steps=()).augment(arena(), np.empty((2, 0), np.uint32), out)


def test_a_prefilter_holds_what_is_asked_for_and_one_step_more(monkeypatch):
    """Of the reductions in between only the one being worked on lives; equals are made once."""
    images = pack(synthetic(5, 256, 300, 3))
    rows = np.array([0, 1, 2, 3, 4, 0, 0])
    halvings = np.array([[3, 3], [3, 3], [0, 2], [4, 0], [0, 0], [3, 3], [1, 2]])
    alive, made, most = set(), [], 0

    def halve(image, columns, rows):
        nonlocal most
        made.append(image.shape)
        out = kernels_halve(image, columns, rows)
        alive.add(key := len(made))
        sizes[key] = out.nbytes
        weakref.finalize(out, alive.discard, key)
        most = max(most, sum(sizes[key] for key in alive))
        return out

    sizes, kernels_halve = {}, kernels.halve
    monkeypatch.setattr(kernels, "halve", halve)
    reduced = engine._prefiltered(images.take(rows), halvings, plain=False)
    assert len(made) == 3 + 3 + 2 + 4 + 2
    assert not alive
    assert most <= 256 * 300 * 3 * 3 // 4  # one half, and its half
    shapes = [reduced.image(row).shape for row in range(7)]
    assert shapes == [(32, 38, 3), (32, 38, 3), (64, 300, 3), (256, 19, 3), (256, 300, 3),
                      (32, 38, 3), (64, 150, 3)]  # fmt: skip
    assert reduced.starts[0] == reduced.starts[5]
    distinct = sum(np.prod(shape) for shape in shapes) - 32 * 38 * 3
    assert len(reduced.values) == distinct + 300 * 3 + SLACK_BYTES
    reduced.check()


def test_as_many_images_as_programs_are_asked_for():
    """A batch of another length would be read beyond its arrays."""
    pipeline = Pipeline(steps=(Rotation(max_deg=9),))
    images = arena()
    words = pipeline.draw(0, sample_ids(2), 0)
    from pipelines.transform import Canvas

    canvas = Canvas(images.heights, images.widths)
    programs = pipeline.lower(pipeline.parameters(words, canvas), canvas, 3)[0].programs
    fewer = images.take(np.array([0]))
    with pytest.raises(ImageContractError, match="1 images"):
        engine.run(programs, fewer, pipeline, np.empty((2, 4, 5, 3), np.uint8))


@pytest.mark.parametrize(
    "images",
    [
        [np.zeros((4, 4), np.uint8)],
        [np.zeros((4, 4, 5), np.uint8)],
        [np.zeros((4, 0, 3), np.uint8)],
        [np.zeros((4, 4, 3), np.int16)],
        [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 1), np.uint8)],
        [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32)],
        [np.zeros((1, 16385, 1), np.uint8)],
    ],
)
def test_what_is_not_an_image_is_refused(images):
    """With the row that is at fault."""
    with pytest.raises(ImageContractError, match=r"image [01]: expected"):
        pack(images)


def test_an_empty_batch_gives_an_empty_batch():
    """No image in, no image out, of the size the images would have had."""
    pipeline = Pipeline(steps=(Rotation(max_deg=9),))
    none = np.empty((0, 4, 5, 3), np.uint8)
    assert len(pipeline.apply(none, seed=0, sample_ids=sample_ids(0), copies=0)) == 0
