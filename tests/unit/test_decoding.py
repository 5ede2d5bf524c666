"""From bytes to pixels: one stated conversion or refusal for every kind of image."""

import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from materialize.errors import UndecodableImageError
from materialize.sources import decoding
from materialize.sources.decoding import decode_image, measure_image
from materialize.sources.strictness import strict_pillow

GRADIENT = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5


def encoded(image: Image.Image, image_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        crc = zlib.crc32(kind + body)
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc))
    return b"".join(parts)


def png_of(depth: int, colour_type: int, rows: list[bytes], *extra: tuple[bytes, bytes]) -> bytes:
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    width = len(rows[0]) * 8 // bits
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return png([(b"IHDR", header), *extra, (b"IDAT", body), (b"IEND", b"")])


def refusal(content: bytes) -> UndecodableImageError:
    with pytest.raises(UndecodableImageError) as caught:
        decode_image(content)
    return caught.value


def test_an_rgb_image_is_taken_as_it_is():
    decoded = decode_image(encoded(Image.fromarray(GRADIENT)))
    assert decoded.conversions == ()
    np.testing.assert_array_equal(decoded.pixels, GRADIENT)


def test_a_grey_image_keeps_one_channel():
    decoded = decode_image(encoded(Image.fromarray(GRADIENT[:, :, 0])))
    np.testing.assert_array_equal(decoded.pixels, GRADIENT[:, :, :1])


def test_pixels_belong_to_the_caller():
    pixels = decode_image(encoded(Image.fromarray(GRADIENT))).pixels
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous


def test_bilevel_becomes_black_and_white_grey():
    decoded = decode_image(encoded(Image.fromarray(GRADIENT[:, :, 0] > 60)))
    assert decoded.conversions == ("bilevel-to-grey",)
    np.testing.assert_array_equal(decoded.pixels[:, :, 0], (GRADIENT[:, :, 0] > 60) * np.uint8(255))


def test_sixteen_bit_grey_is_rounded_to_nearest():
    """Every one of the 65,536 values, against exact rational arithmetic."""
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    decoded = decode_image(encoded(Image.fromarray(values)))
    exact = [(2 * 255 * v + 65535) // (2 * 65535) for v in range(65536)]
    assert decoded.conversions == ("grey-16-to-8",)
    assert decoded.pixels.ravel().tolist() == exact


def test_sixteen_bit_pgm_is_treated_like_sixteen_bit_png():
    values = np.array([[0, 128, 129, 65535]], ">u2")
    decoded = decode_image(b"P5 4 1 65535\n" + values.tobytes())
    assert decoded.pixels.ravel().tolist() == [0, 0, 1, 255]


def test_big_endian_sixteen_bit_tiff_is_read_by_value():
    content = encoded(Image.fromarray(np.array([[0, 257, 65535]], ">u2").astype("<u2")), "TIFF")
    assert decode_image(content).pixels.ravel().tolist() == [0, 1, 255]


def test_sixteen_bit_colour_keeps_its_high_byte_and_says_so():
    decoded = decode_image(png_of(16, 2, [bytes([0x12, 0xFF, 0x80, 0x00, 0xFF, 0x01])]))
    assert decoded.conversions == ("samples-16-to-8-high-byte",)
    assert decoded.pixels.ravel().tolist() == [0x12, 0x80, 0xFF]


def test_sixteen_bit_grey_with_alpha_stays_grey():
    decoded = decode_image(png_of(16, 4, [bytes([0x40, 0, 0xFF, 0xFF])]))
    assert decoded.conversions == ("samples-16-to-8-high-byte", "alpha-over-white")
    assert decoded.pixels.tolist() == [[[0x40]]]


def test_alpha_is_composited_over_white_with_exact_rounding():
    """Against (v*a + 255*(255-a)) / 255 rounded to nearest, for every pair of v and a."""
    v, a = np.meshgrid(np.arange(256), np.arange(256))
    image = Image.merge("LA", [Image.fromarray(band.astype(np.uint8)) for band in (v, a)])
    decoded = decode_image(encoded(image))
    exact = (2 * (v * a + 255 * (255 - a)) + 255) // 510
    assert decoded.conversions == ("alpha-over-white",)
    np.testing.assert_array_equal(decoded.pixels[:, :, 0], exact)


def test_a_transparent_colour_becomes_white():
    image = Image.fromarray(GRADIENT)
    decoded = decode_image(encoded(image, transparency=tuple(GRADIENT[1, 1].tolist())))
    assert decoded.conversions == ("alpha-over-white",)
    assert decoded.pixels[1, 1].tolist() == [255, 255, 255]
    assert decoded.pixels[0, 0].tolist() == [0, 5, 10]


@pytest.mark.parametrize(("depth", "row"), [(1, 0b01000000), (2, 0b00011011), (4, 0x01)])
def test_a_transparent_grey_is_matched_in_the_depth_of_the_file(depth, row):
    """Pillow scales the pixels to 8 bits but leaves the key as it is in the file."""
    decoded = decode_image(png_of(depth, 0, [bytes([row])], (b"tRNS", b"\0\0")))
    plain = decode_image(png_of(depth, 0, [bytes([row])]))
    expected = np.where(plain.pixels == 0, 255, plain.pixels)
    np.testing.assert_array_equal(decoded.pixels, expected)


def test_a_transparent_sixteen_bit_grey_is_matched_before_rounding():
    row = np.array([300, 301], ">u2").tobytes()
    decoded = decode_image(png_of(16, 0, [row], (b"tRNS", (300).to_bytes(2, "big"))))
    assert decoded.pixels.ravel().tolist() == [255, 1]


def test_a_transparent_48_bit_colour_is_refused():
    key = (b"tRNS", bytes(6))
    assert refusal(png_of(16, 2, [bytes(6)], key)).reason == "colour-key-48-bit"


def test_a_palette_becomes_rgb():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    decoded = decode_image(encoded(image))
    assert decoded.conversions == ("palette-to-rgb",)
    assert decoded.pixels.tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_a_transparent_palette_entry_becomes_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    decoded = decode_image(encoded(image, transparency=1))
    assert decoded.conversions == ("palette-to-rgb", "alpha-over-white")
    assert decoded.pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_cmyk_becomes_rgb():
    decoded = decode_image(encoded(Image.new("CMYK", (2, 2), (0, 255, 0, 0)), "TIFF"))
    assert decoded.conversions == ("cmyk-to-rgb",)
    assert decoded.pixels[0, 0].tolist() == [255, 0, 255]


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (2, 2), color) for color in ("red", "blue")]
    decoded = decode_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.conversions[0] == "first-frame"
    assert decoded.pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(image_format, orientation):
    """Against Pillow's own reading of the eight orientations, in every format that carries one."""
    canvas = Image.new("RGB", (32, 16))
    canvas.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if image_format == "WEBP" else {}
    content = encoded(canvas, image_format, exif=exif, **options)
    decoded = decode_image(content)
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    height, width = decoded.pixels.shape[:2]
    assert (height, width) == ((16, 32) if orientation < 5 else (32, 16))
    row = 2 if corner[0] == "t" else height - 3
    column = 2 if corner[1] == "l" else width - 3
    assert decoded.pixels[row, column].min() > 200
    assert decoded.pixels[height - 1 - row, width - 1 - column].max() < 50
    assert decoded.conversions == (() if orientation == 1 else ("exif-rotated",))


def test_unreadable_exif_leaves_the_pixels_as_stored():
    block = b"Exif\0\0no TIFF header at all"
    content = png_of(8, 0, [b"\x07"], (b"eXIf", block[6:]))
    decoded = decode_image(content)
    assert decoded.conversions == ("exif-unreadable",)
    assert decoded.pixels.tolist() == [[[7]]]


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"])
def test_the_header_foresees_size_and_channels(image_format):
    content = encoded(Image.fromarray(GRADIENT), image_format)
    measured, pixels = measure_image(content), decode_image(content).pixels
    assert (measured.height, measured.width, measured.channels) == pixels.shape


def test_float_pixels_are_refused():
    assert refusal(encoded(Image.new("F", (2, 2)), "TIFF")).reason == "float-pixels"


def test_32_bit_integers_are_refused():
    assert refusal(encoded(Image.new("I", (2, 2)), "TIFF")).reason == "int32-pixels"


def test_lab_is_refused():
    assert refusal(encoded(Image.new("LAB", (2, 2)), "TIFF")).reason == "unsupported-mode"


def test_an_empty_file_is_refused_as_empty():
    assert refusal(b"").reason == "empty-file"


@pytest.mark.parametrize("image_format", ["PCX", "TGA", "ICO", "EPS", "PDF", "SGI"])
def test_formats_outside_the_allow_list_are_not_opened(image_format):
    error = refusal(encoded(Image.new("RGB", (32, 32)), image_format))
    assert error.reason == "unknown-format"
    assert error.format is None


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"])
def test_a_truncated_file_is_refused(image_format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), image_format)
    assert refusal(content[: len(content) // 2]).reason in (
        "truncated",
        "damaged",
        "unknown-format",
    )


def test_a_truncated_file_is_refused_even_where_pillow_was_told_to_pad(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = encoded(Image.fromarray(np.tile(GRADIENT, (50, 50, 1))), "JPEG")
    assert refusal(content[: len(content) // 2]).reason == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_every_flipped_bit_in_the_pixels_of_a_png_is_noticed():
    """Pillow leaves a half-decoded image behind when a look for late EXIF meets damaged pixels."""
    content = encoded(Image.fromarray(np.tile(GRADIENT, (5, 5, 1))))
    pixels = decode_image(content).pixels
    start = content.index(b"IDAT") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big")
    for at in range(start, start + length):
        flipped = bytearray(content)
        flipped[at] ^= 1
        try:
            damaged = decode_image(bytes(flipped)).pixels
        except UndecodableImageError:
            continue
        np.testing.assert_array_equal(damaged, pixels)


def test_a_decompression_bomb_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    bomb = png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])
    assert refusal(bomb).reason == "too-large"


def test_a_bomb_is_refused_even_where_pillows_limit_is_lifted(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    bomb = png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])
    assert refusal(bomb).reason == "too-large"


def test_a_jpeg_of_a_thousand_scans_is_refused():
    content = encoded(Image.fromarray(GRADIENT), "JPEG", progressive=True)
    assert refusal(content + b"\xff\xda" * 1000).reason == "too-many-scans"


def test_details_hold_no_object_addresses():
    assert "object at" not in refusal(b"nothing like an image").detail


def test_whatever_pillow_raises_becomes_a_refusal(monkeypatch):
    class Unheard(Exception):
        pass

    def raising(*_args, **_options):
        raise Unheard("at 0x7f0012345678")

    monkeypatch.setattr(decoding.PillowImage, "open", raising)
    error = refusal(b"x")
    assert (error.reason, error.detail) == ("damaged", "Unheard: at 0x…")


def test_running_out_of_memory_is_not_the_images_fault(monkeypatch):
    def raising(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(decoding.PillowImage, "open", raising)
    monkeypatch.setattr(decoding, "_memory_suffices", lambda: False)
    with pytest.raises(MemoryError):
        decode_image(b"x")


def test_an_absurd_demand_for_memory_is_the_images_fault(monkeypatch):
    def raising(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(decoding.PillowImage, "open", raising)
    assert refusal(b"x").reason == "damaged"


def test_pillows_warnings_stay_inside():
    """An APNG of no frames makes Pillow warn and fall back on the still picture."""
    content = png_of(8, 0, [b"\x07"], (b"acTL", bytes(8)))
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(content).pixels.tolist() == [[[7]]]


def test_overlapping_threads_leave_the_warning_filters_as_they_were():
    """`catch_warnings` of two threads, left in the order they were entered, would not."""
    before = list(warnings.filters)
    entered, may_leave = threading.Event(), threading.Event()

    def hold() -> None:
        with strict_pillow():
            entered.set()
            may_leave.wait(10)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(hold)
        entered.wait(10)
        with strict_pillow():
            may_leave.set()
            first.result()
            warnings.warn_explicit("loud", UserWarning, "x.py", 1, module="PIL.Image")
    assert list(warnings.filters) == before
