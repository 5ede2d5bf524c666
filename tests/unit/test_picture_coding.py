"""A picture in a shard is exactly what our writer makes, or an error before Pillow sees it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from materialize.shards.codecs import as_read, decode_block, encode_block, find_codec
from materialize.shards.columns import Column
from materialize.shards.picture_coding import MAX_SIDE, picture_rows

PICTURES = ["png", "webp", "jpeg-90"]
KINDS = {"png": "PNG", "webp": "WEBP", "jpeg-90": "JPEG"}


def smooth(count=1, height=12, width=10, channels=3, seed=0):
    """Images that every format likes."""
    grid = np.random.default_rng(seed).integers(0, 256, (count, 2, 2, channels))
    y = np.linspace(0, 1, height)[:, None, None]
    x = np.linspace(0, 1, width)[:, None]
    corners = grid[:, :, :, None, None]
    top = corners[:, 0, 0] * (1 - x) + corners[:, 0, 1] * x
    bottom = corners[:, 1, 0] * (1 - x) + corners[:, 1, 1] * x
    return (top * (1 - y) + bottom * y).astype(np.uint8)


IMAGES = smooth()


def saved(image, kind, **options):
    """A picture of another program."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(codec, block, images=IMAGES):
    return decode_block(find_codec(codec), block, Column(images.dtype, images.shape))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("codec", ["png", "webp"])
def test_stacked_images_come_back(codec, count, channels):
    images = smooth(count, channels=channels)
    block = encode_block(find_codec(codec), images)
    np.testing.assert_array_equal(decoded(codec, block, images), images)


@pytest.mark.parametrize("codec", PICTURES)
def test_a_block_is_a_file_that_others_read(codec):
    images = smooth(1, 40, 30)
    block = encode_block(find_codec(codec), images)
    with Image.open(io.BytesIO(block)) as picture:
        assert (picture.format, picture.size, picture.mode) == (KINDS[codec], (30, 40), "RGB")
        np.testing.assert_array_equal(picture, as_read(find_codec(codec), images)[0])


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((32, 32, 3), 10), ((28, 28, 1), 41), ((224, 224, 3), 1), ((MAX_SIDE, 1, 1), 1),
     ((1, 1, 1), MAX_SIDE)],
)  # fmt: skip
def test_small_images_share_a_picture(shape, rows):
    assert picture_rows(shape) == rows


@pytest.mark.parametrize("codec", PICTURES)
@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 4, 2), np.uint8),
     np.zeros((1, 4, 4, 4), np.uint8), np.zeros((1, MAX_SIDE + 1, 1, 1), np.uint8)],
    ids=["float", "two channels", "four channels", "too high"],
)  # fmt: skip
def test_what_a_picture_cannot_hold_is_refused(codec, images):
    assert find_codec(codec).problem(Column(images.dtype, images.shape))
    with pytest.raises(ValueError, match="expected what a picture holds"):
        encode_block(find_codec(codec), images)


@pytest.mark.parametrize("quality", [1, 50, 95, 100])
@pytest.mark.parametrize("side", [8, 73, 74, 400])
def test_noise_which_jpeg_makes_larger_is_encoded(quality, side, capfd):
    """With tables of its own, Pillow's buffer was too small for it: libjpeg said so, and failed."""
    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    codec = find_codec(f"jpeg-{quality}")
    assert decode_block(
        codec, encode_block(codec, images), Column(images.dtype, images.shape)
    ).any()
    assert not capfd.readouterr().err


def test_every_jpeg_is_one_image():
    """Else its blocks of 8×8 pixels would mix two."""
    images = smooth(3)
    assert find_codec("jpeg-90").rows_per_block(Column(images.dtype, images.shape)) == 1


def test_a_better_quality_is_closer():
    images = smooth(4, 40, 40)
    errors = [
        np.abs(as_read(find_codec(f"jpeg-{quality}"), images).astype(int) - images).mean()
        for quality in (10, 50, 90)
    ]
    assert errors[0] > errors[1] > errors[2]


PICTURE = Image.fromarray(IMAGES[0])
TRANSPARENT = PICTURE.copy()
TRANSPARENT.putalpha(128)


def chunk(kind, content):
    return (
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )  # fmt: skip


HEAD, END = 33, -12
"""Where the header of a PNG ends, and where its last part begins."""
PNG = encode_block(find_codec("png"), IMAGES)
JPEG = encode_block(find_codec("jpeg-90"), IMAGES)
WEBP = encode_block(find_codec("webp"), IMAGES)


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def png_bomb():
    """A header of 60,000 × 60,000 pixels, and little behind it."""
    header = chunk(b"IHDR", struct.pack(">2I5B", 60000, 60000, 8, 2, 0, 0, 0))
    return PNG[:8] + header + PNG[HEAD:]


def jpeg_segment(kind, content):
    return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content


FRAME_AT = JPEG.index(b"\xff\xc0")
SCAN_AT, TABLE_AT = JPEG.index(b"\xff\xda"), JPEG.index(b"\xff\xdb")
TABLE = JPEG[TABLE_AT : TABLE_AT + 69]

HOSTILE = {
    "png: palette": ("png", saved(PICTURE.convert("P"), "PNG")),
    "png: alpha": ("png", saved(PICTURE.convert("RGBA"), "PNG")),
    "png: grey": ("png", saved(PICTURE.convert("L"), "PNG")),
    "png: 16 bits": ("png", saved(Image.fromarray(np.zeros((12, 10), np.uint16)), "PNG")),
    "png: another size": ("png", saved(PICTURE.resize((10, 13)), "PNG")),
    "png: a bomb": ("png", png_bomb()),
    "png: interlaced": ("png", PNG[:8] + chunk(b"IHDR", PNG[16:28] + b"\1") + PNG[HEAD:]),
    "png: a text": ("png", PNG[:HEAD] + chunk(b"tEXt", b"a\0b") + PNG[HEAD:]),
    "png: a text bomb": (
        "png", PNG[:HEAD] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7))) + PNG[HEAD:]
    ),
    "png: a profile": ("png", saved(PICTURE, "PNG", icc_profile=b"profile")),
    "png: a rotation": ("png", saved(PICTURE, "PNG", exif=exif(6))),
    "png: animated": (
        "png", saved(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)])
    ),
    "png: two ends": ("png", PNG + PNG[END:]),
    "png: no end": ("png", PNG[:END]),
    "png: a last part that holds something": ("png", PNG[:END] + chunk(b"IEND", b"abc")),
    "png: a thousand empty parts": ("png", PNG[:HEAD] + chunk(b"IDAT", b"") * 1_000 + PNG[HEAD:]),
    "png: no pixels": ("png", PNG[:HEAD] + PNG[END:]),
    "png: a wrong checksum": ("png", PNG[:29] + bytes([PNG[29] ^ 1]) + PNG[30:]),
    "png: a length behind the end": ("png", PNG[:HEAD] + b"\xff\xff\xff\xff" + PNG[HEAD + 4 :]),
    "png: few pixels": (
        "png", PNG[:HEAD] + chunk(b"IDAT", zlib.compress(bytes(20))) + PNG[END:]
    ),
    "png: a jpeg": ("png", JPEG),
    "webp: lossy": ("webp", saved(PICTURE, "WEBP")),
    "webp: alpha": ("webp", saved(TRANSPARENT, "WEBP", lossless=True, exact=True)),
    "webp: animated": (
        "webp",
        saved(PICTURE, "WEBP", lossless=True, save_all=True, append_images=[PICTURE.rotate(90)]),
    ),
    "webp: a rotation": ("webp", saved(PICTURE, "WEBP", lossless=True, exif=exif(6))),
    "webp: a profile": ("webp", saved(PICTURE, "WEBP", lossless=True, icc_profile=b"profile")),
    "webp: another size": ("webp", saved(PICTURE.resize((10, 13)), "WEBP", lossless=True)),
    "webp: another length": ("webp", WEBP[:4] + b"\0\0\0\0" + WEBP[8:]),
    "webp: a png": ("webp", PNG),
    "jpeg: progressive": ("jpeg-90", saved(PICTURE, "JPEG", progressive=True, subsampling=0)),
    "jpeg: colour at half resolution": ("jpeg-90", saved(PICTURE, "JPEG", subsampling=2)),
    "jpeg: a comment": ("jpeg-90", saved(PICTURE, "JPEG", subsampling=0, comment=b"hello")),
    "jpeg: a rotation": ("jpeg-90", saved(PICTURE, "JPEG", subsampling=0, exif=exif(6))),
    "jpeg: a profile": ("jpeg-90", saved(PICTURE, "JPEG", subsampling=0, icc_profile=b"p")),
    "jpeg: four inks": ("jpeg-90", saved(PICTURE.convert("CMYK"), "JPEG", subsampling=0)),
    "jpeg: grey": ("jpeg-90", saved(PICTURE.convert("L"), "JPEG")),
    "jpeg: another size": ("jpeg-90", saved(PICTURE.resize((10, 13)), "JPEG", subsampling=0)),
    "jpeg: restarts": ("jpeg-90", saved(PICTURE, "JPEG", subsampling=0, restart_marker_blocks=1)),
    "jpeg: a second frame": ("jpeg-90", JPEG[:FRAME_AT] + JPEG[FRAME_AT : FRAME_AT + 19] * 2
                             + JPEG[FRAME_AT + 19 :]),
    "jpeg: a height behind the scan": (
        "jpeg-90", JPEG[:-2] + jpeg_segment(0xDC, b"\xff\0") + JPEG[-2:]
    ),
    "jpeg: another picture behind": ("jpeg-90", JPEG + JPEG),
    "jpeg: no end": ("jpeg-90", JPEG[:-2]),
    "jpeg: many tables": ("jpeg-90", JPEG[:TABLE_AT] + TABLE * 1_000 + JPEG[TABLE_AT:]),
    "jpeg: two beginnings": ("jpeg-90", JPEG[:20] + JPEG[2:]),
    "jpeg: a thumbnail": (
        "jpeg-90", JPEG[:2] + jpeg_segment(0xE0, JPEG[6:18] + b"\1\1abc") + JPEG[20:]
    ),
    "jpeg: a scan of one channel": (
        "jpeg-90",
        JPEG[:SCAN_AT] + jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + JPEG[SCAN_AT + 14 :],
    ),
    "jpeg: an empty scan": ("jpeg-90", JPEG[: SCAN_AT + 14] + JPEG[-2:]),
    "jpeg: a png": ("jpeg-90", PNG),
}  # fmt: skip


@pytest.mark.parametrize(("codec", "block"), HOSTILE.values(), ids=HOSTILE)
def test_a_picture_of_another_making_is_refused(codec, block):
    with pytest.raises(ValueError, match=r"."):
        decoded(codec, block)


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE if not name.endswith(("few pixels", "no pixels"))]
)
def test_pillow_never_sees_it(name, monkeypatch):
    codec, block = HOSTILE[name]
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    with pytest.raises(ValueError, match="expected"):
        decoded(codec, block)


@pytest.mark.parametrize("codec", PICTURES)
def test_the_pictures_that_are_altered_above_decode(codec):
    """So that what is altered is all that is wrong with them."""
    block = {"png": PNG, "webp": WEBP, "jpeg-90": JPEG}[codec]
    np.testing.assert_array_equal(decoded(codec, block), as_read(find_codec(codec), IMAGES))


def test_a_coloured_webp_is_not_a_grey_one():
    """The format has no grey: three equal channels stand for it."""
    with pytest.raises(ValueError, match="grey"):
        decoded("webp", WEBP, smooth(channels=1))
