"""Real files made to break decoders: every one ends as an image or as a refusal with a reason."""

import pytest

from materialize.errors import QuarantineLimitError, UndecodableImageError
from materialize.population import DEFAULT_MAX_BAD, check_quarantine, load_images, scan
from materialize.sources import open_source
from materialize.sources.decoding import decode_image, measure_image

REASONS = {
    "colour-key-48-bit",
    "damaged",
    "empty-file",
    "float-pixels",
    "int32-pixels",
    "too-large",
    "too-many-scans",
    "truncated",
    "unknown-format",
    "unscaled-12-bit",
    "unsupported-mode",
}


def outcome(content: bytes) -> str:
    """``ok``, or the reason; anything but the one error escapes and fails the test."""
    try:
        decoded = decode_image(content)
    except UndecodableImageError as error:
        return error.reason
    measured = measure_image(content)
    assert decoded.pixels.shape == (measured.height, measured.width, measured.channels)
    assert decoded.pixels.size > 0
    return "ok"


@pytest.mark.parametrize(("folder", "files", "accepted"), [
    ("pillow_images", 531, 350),
    ("libpng_pngs", 203, 170),
])  # fmt: skip
def test_every_file_is_an_image_or_a_refusal(real_data, folder, files, accepted):
    """Warnings are errors in this test run, so none may escape either."""
    paths = sorted(path for path in (real_data / folder).rglob("*") if path.is_file())
    outcomes = [outcome(path.read_bytes()) for path in paths]
    assert len(outcomes) >= files
    assert outcomes.count("ok") >= accepted
    assert set(outcomes) - {"ok"} <= REASONS


@pytest.mark.parametrize(
    "name", ["truncated_image.png", "truncated_jpeg.jpg", "bmp/b/shortfile.bmp"]
)
def test_truncated_files_are_called_truncated(real_data, name):
    assert outcome((real_data / "pillow_images/images" / name).read_bytes()) == "truncated"


@pytest.mark.parametrize("name", ["bmp/b/reallybig.bmp", "bmp/b/badwidth.bmp", "l2rgb_read.bmp"])
def test_bombs_are_called_too_large(real_data, name):
    assert outcome((real_data / "pillow_images/images" / name).read_bytes()) == "too-large"


def test_a_hostile_folder_is_scanned_to_its_end(real_data):
    source = open_source(real_data / "pillow_images")
    population = scan(source)
    assert len(population) + len(population.quarantined) == len(source)
    assert {bad.reason for bad in population.quarantined} <= REASONS
    with pytest.raises(QuarantineLimitError):
        check_quarantine(population, DEFAULT_MAX_BAD)


def test_what_was_accepted_in_a_hostile_folder_can_be_loaded(real_data):
    source = open_source(real_data / "libpng_pngs")
    population = scan(source)
    images = load_images(source, population, range(len(population)))
    assert {image.shape[2] for image in images} == {population.channels}
