"""Images that others are mixed with are decoded once, by one worker or another."""

import gc
import os
import pickle

import numpy as np
import pytest

from materialize.builder import BuildOptions, build_dataset
from materialize.estimation.census import layouts
from materialize.estimation.clock import partners_decoded, peak_memory
from materialize.estimation.pace import Pace
from materialize.estimation.pools import census_of
from materialize.executor import Crew
from materialize.job import decoded
from materialize.loader.augmenting import AugmentingLoader
from materialize.loader.opening import LoaderOptions
from materialize.planning import take_rows
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.shared_images import SharedImages
from materialize.sources import FolderSource
from pipelines import from_dict
from tests.jobs import contents, photos

MIXING = from_dict({"step": [{"transform": "horizontal_flip"}, {"transform": "mixup"}]})
COPIES, PICTURES = 4, 24


class Counted(FolderSource):
    """Pictures that note, after the scan, in a file for all processes, whenever one is decoded."""

    log = None

    def decode(self, content, index):
        if self.log is not None:
            with self.log.open("ab", buffering=0) as file:
                file.write(b"x")
        return super().decode(content, index)

    def num_decoded(self):
        return self.log.stat().st_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two of these are decoded between looking at what others have done."""
    return photos(tmp_path_factory.mktemp("photos"), PICTURES, size=(360, 360))


@pytest.fixture
def source(folder):
    return Counted(folder)


@pytest.fixture
def population(source, tmp_path):
    found = scan(source)
    source.log = tmp_path / "decoded"
    source.log.touch()
    return found


def build(source, population, directory, monkeypatch, crew):
    """Six runs, each with partners all over."""
    monkeypatch.setattr("materialize.builder.scan", lambda *_, **__: population)
    recipe = Recipe(copies=COPIES, shard_bytes=4 * 360 * 360 * 3)
    build_dataset(source, directory, MIXING, recipe, options=BuildOptions(crew=crew))
    return contents(directory)


def test_a_build_decodes_every_image_once(source, population, tmp_path, monkeypatch):
    build(source, population, tmp_path / "one", monkeypatch, Crew())
    assert source.num_decoded() == PICTURES


def test_a_worker_decodes_nothing_that_another_has_decoded(
    source, population, tmp_path, monkeypatch
):
    """Each by itself, they would decode about 22 of the 24."""
    build(source, population, tmp_path / "two", monkeypatch, Crew(2))
    assert PICTURES <= source.num_decoded() <= PICTURES * 3 // 2


def test_without_room_partners_are_decoded_by_run_to_the_same_bytes(
    source, population, tmp_path, monkeypatch
):
    shared = build(source, population, tmp_path / "shared", monkeypatch, Crew())
    once = source.num_decoded()
    monkeypatch.setattr("materialize.shared_images.SHARED_BYTES", 0)
    assert build(source, population, tmp_path / "apart", monkeypatch, Crew()) == shared
    assert once + 2 * PICTURES < source.num_decoded() <= once + PICTURES * (1 + COPIES)


def test_an_epoch_on_the_fly_decodes_every_image_once(source, population):
    """And the next epoch again, as without mixing."""
    options = LoaderOptions(threads=0)
    with AugmentingLoader(
        source, MIXING, batch_size=5, population=population, options=options
    ) as loader:
        for epoch in (1, 2):
            assert sum(len(batch.images) for batch in loader.epoch(epoch)) == PICTURES
            assert source.num_decoded() == epoch * PICTURES


def test_another_process_goes_on_where_one_was_killed(source, population):
    """It finds what was decoded, and decodes itself what was only claimed."""
    here = SharedImages.of(population, MIXING)
    there = pickle.loads(pickle.dumps(here))  # maps the file anew, as another process does
    wanted = here.places(population.ids[::-1])

    def decode(rows):
        if source.num_decoded() == 4:
            raise KeyboardInterrupt
        return decoded(source, MIXING, take_rows(population, wanted[rows]))

    with pytest.raises(KeyboardInterrupt):
        here.prepared(wanted, decode)
    found = there.prepared(
        wanted, lambda rows: decoded(source, MIXING, take_rows(population, wanted[rows]))
    )
    assert source.num_decoded() == PICTURES
    expected = decoded(source, MIXING, population)
    for place, row in enumerate(wanted.tolist()):
        np.testing.assert_array_equal(found.image(place), expected.image(row))


def test_who_cannot_find_the_file_gets_nothing(population):
    """On another machine, or once the one that made it is gone; another file is not mistaken."""
    sent = pickle.dumps(SharedImages.of(population, MIXING))
    gc.collect()
    assert pickle.loads(sent) is None
    others = [SharedImages.of(population, MIXING) for _ in range(4)]
    assert pickle.loads(sent) is None
    assert all(pickle.loads(pickle.dumps(other)) is not None for other in others)


def test_a_full_disk_leaves_no_room(population, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    assert SharedImages.of(population, MIXING, spare_bytes=2**60) is None
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert SharedImages.of(population, MIXING) is None


PACE = Pace(
    load_s=0.0, shard_s=0.0, row_s={}, stored_row_bytes=0.0, start_s=0.0, hash_s=0.0, write_s=0.0,
    worker_bytes=0, parent_bytes=0,
)  # fmt: skip
"""Of a machine that takes no time and no memory of its own."""


def test_a_plan_states_memory_and_decoding_with_and_without_room(population, monkeypatch):
    """Six runs of four images, each mixed with sixteen others at most; per worker, of two."""
    census, image_bytes = census_of(population), 360 * 360 * 3
    found = layouts(census, MIXING, Recipe(copies=COPIES, shard_bytes=4 * image_bytes))
    shared = peak_memory(found, census, MIXING, PACE, "raw", 2)
    assert partners_decoded(found, census, MIXING) == 0
    monkeypatch.setattr("materialize.estimation.clock.SHARED_BYTES", 0)
    apart = peak_memory(found, census, MIXING, PACE, "raw", 2)
    assert apart - shared == 2 * (4 + 16) * image_bytes
    assert partners_decoded(found, census, MIXING) == 6 * 16


def test_a_plan_counts_images_as_they_are_kept(population):
    """Resized: 90 rows and columns of 360 take a sixteenth."""
    steps = [{"transform": "resize", "height": 90, "width": 90}, {"transform": "horizontal_flip"}]
    found, census = from_dict({"step": steps}), census_of(population)
    shards = layouts(census, found, Recipe(copies=1))
    image_bytes = 90 * 90 * 3
    memory = peak_memory(shards, census, found, PACE, "raw", 1)
    assert memory // (PICTURES * image_bytes) == 2  # the sources, and the shard they fill
