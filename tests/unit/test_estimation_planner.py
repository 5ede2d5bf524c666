"""Plans from sources, counts and indexes."""

import json
from dataclasses import replace

import pytest

from materialize.errors import ConfigError, ManifestError, ShardUntrustedError, SourceError
from materialize.estimation.assembly import Inquiry
from materialize.estimation.estimates import Estimate
from materialize.estimation.indexes import open_index
from materialize.estimation.planner import PlanExtent, plan_dataset
from materialize.estimation.pools import ListedPool, census_of
from materialize.estimation.sampling import Effort
from materialize.executor import Crew
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from tests.benchmarks.estimating_index import planned, write_index
from tests.jobs import build_digits, photos

RECIPE = Recipe(copies=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("built") / "dataset"
    build_digits(directory)
    return directory


def plan(source="digits", recipe=RECIPE, **options):
    return plan_dataset(source, "digits", recipe, Inquiry(), **options).estimate


def test_an_estimate_survives_its_file():
    """Every field of it."""
    found = plan(recipe=replace(RECIPE, codec="gzip"))
    assert Estimate.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("value", [None, {}, {"format": 99}, {"format": 1, "codec": "raw"}])
def test_what_is_no_estimate_is_refused(value):
    """With what it is good for."""
    with pytest.raises(ManifestError, match=r"estimate\.json"):
        Estimate.from_json(value)


def test_a_count_grows_what_a_sample_says():
    """A thousand times the images take a thousand times the pixels."""
    few, many = plan(), plan(extent=PlanExtent(count=1_797_000))
    assert many.num_images == 1000 * few.num_images
    assert many.stored_bytes.value == pytest.approx(1000 * few.stored_bytes.value, rel=0.05)
    assert many.basis == "count"


def test_an_encoded_count_is_never_exact():
    """The images that it stands for were not seen."""
    found = plan(recipe=replace(RECIPE, codec="png"), extent=PlanExtent(count=10**6))
    assert found.stored_bytes.low < found.stored_bytes.value < found.stored_bytes.high


def test_a_dataset_is_an_index_of_its_images(dataset):
    """As exact as a scan, with no source at all."""
    indexed = plan(None, extent=PlanExtent(index=dataset))
    assert indexed.stored_bytes == plan().stored_bytes
    assert indexed.basis == "index"


def test_images_of_an_index_are_drawn_from_its_source(dataset):
    """For codecs whose bytes must be seen."""
    recipe = replace(RECIPE, codec="gzip")
    assert plan(recipe=recipe, extent=PlanExtent(index=dataset)).stored_bytes.value == (
        plan(recipe=recipe).stored_bytes.value
    )


def test_an_index_without_a_source_cannot_tell_of_encoded_bytes(dataset):
    """The source is to be named."""
    with pytest.raises(SourceError, match="name the source"):
        plan(None, replace(RECIPE, codec="gzip"), extent=PlanExtent(index=dataset))


def test_an_index_is_counted_as_its_population_is(dataset):
    """Every class and split."""
    _, census = open_index(dataset)
    assert (census.rows == census_of(scan(open_source("digits"))).rows).all()


def test_a_file_that_is_no_index_is_refused(tmp_path, dataset):
    """Whatever it is instead."""
    (tmp_path / "notes.h5").write_bytes(b"no HDF5 at all")
    shard = next((dataset / "shards").iterdir())
    for path in (tmp_path / "notes.h5", shard):
        with pytest.raises(ShardUntrustedError, match="no population"):
            open_index(path)
    with pytest.raises(SourceError, match="there is no index"):
        open_index(tmp_path / "absent.h5")


def test_a_count_and_an_index_exclude_each_other(dataset):
    """Only one can say how many images there are."""
    with pytest.raises(ConfigError, match="drop one"):
        PlanExtent(count=5, index=dataset)


def test_a_source_too_large_to_scan_is_sampled(tmp_path, monkeypatch):
    """Here every source is: the bytes stay exact, for they are counted from the listing."""
    monkeypatch.setattr("materialize.estimation.pools._SCAN_S", 0.0)
    photos(tmp_path / "photos", 40)
    taken = []
    take = ListedPool.take
    monkeypatch.setattr(ListedPool, "take", lambda *given: taken.append(given[3]) or take(*given))
    found = plan_dataset(tmp_path / "photos", "cifar10", Recipe(copies=1, codec="png")).estimate
    assert found.basis == "listing"
    assert found.images == {"train": 40}
    assert taken


def test_more_workers_take_less_time_and_more_memory(monkeypatch):
    """Threads here, so that nothing has to start."""
    recipe = Recipe(copies=8, shard_bytes=2**14)
    one, two = (
        plan_dataset("digits", "digits", recipe, Inquiry(crew=Crew(n, "threading"))).estimate
        for n in (1, 2)
    )
    assert two.peak_memory_bytes > one.peak_memory_bytes
    assert two.workers == 2


def test_an_index_is_counted_in_constant_memory(tmp_path):
    """Sixteen times the rows, 256 MiB of ids: at most 64 MiB more; each in its own process."""
    few = scan(open_source("digits"))
    peaks = []
    for count in (2**20, 2**24):
        write_index(tmp_path / f"{count}.h5", few, count)
        found = planned("--index", str(tmp_path / f"{count}.h5"), "--no-compare",
                        "--pipeline", "digits", "--copies", "5", "--shard-mb", "1")  # fmt: skip
        assert found["images"] == count
        peaks.append(found["peak_rss_anon_mib"])
    assert peaks[1] - peaks[0] < 64


def test_sampling_ends_in_time(real_data):
    """With a note that says how little is known, and what to raise."""
    source = open_source(real_data / "fashion_mnist")
    effort = Effort(seconds=1e-6, share=1e-6)
    recipe = Recipe(copies=1, codec="gzip")
    found = plan_dataset(source, "fashion_mnist", recipe, Inquiry(effort=effort)).estimate
    assert found.ended_by == "seconds"
    assert any("--sample-seconds" in note for note in found.notes)
