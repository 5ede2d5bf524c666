"""What lies in a dataset's directory, and what the newest manifest makes of it."""

import os
import shutil
import subprocess
import sys

import pytest

from materialize.atomic import TEMPORARY_PREFIX
from materialize.errors import ManifestError
from materialize.extension import extend_dataset
from materialize.inventory import take_inventory
from materialize.manifest import load_latest
from materialize.metadata.about import About
from materialize.metadata.croissant import write_metadata
from materialize.plans import claim, next_plan, read_plan
from materialize.transcoding import transcode_dataset
from tests.jobs import build_photos, photos

KILLED = """
import os, sys
from pathlib import Path
from materialize import atomic
atomic.on_step = lambda step, path: step == "synced" and os._exit(9)
atomic.write_file(Path(sys.argv[1]), b"x" * 5000)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A small dataset, not to be changed."""
    root = tmp_path_factory.mktemp("inventory")
    build_photos(photos(root / "photos"), root / "dataset")
    return root / "dataset"


@pytest.fixture
def dataset(built, tmp_path):
    """One to change."""
    return shutil.copytree(built, tmp_path / "dataset")


def inventory(directory):
    """Path → item."""
    items = take_inventory(directory, load_latest(directory))
    return {item.path: item for item in items}


def test_everything_a_build_leaves_is_live(built):
    """A dataset that was just built has no file that it does not need."""
    assert {item.state for item in inventory(built).values()} == {"live"}


def test_every_kind_is_told_by_its_name(built):
    """What a build writes: shards with receipts, one manifest, plan, population and source."""
    kinds = {item.path: item.kind for item in inventory(built).values()}
    names = load_latest(built).shards
    assert kinds[f"shards/{names[0].file}"] == "shard"
    assert sorted({*kinds.values()}) == [
        "manifest", "plan", "population", "receipt", "shard", "source"
    ]  # fmt: skip


def test_the_sums_are_those_of_the_file_system(built):
    """Lengths and allocated blocks of all files, as `stat` has them at this moment."""
    stats = [path.stat() for path in built.rglob("*") if path.is_file()]
    items = inventory(built).values()
    assert sum(item.num_bytes for item in items) == sum(stat.st_size for stat in stats)
    assert sum(i.allocated_bytes for i in items) == sum(s.st_blocks * 512 for s in stats)


def test_items_are_sorted_by_path(built):
    """The order does not depend on the file system."""
    paths = [item.path for item in take_inventory(built, load_latest(built))]
    assert paths == sorted(paths)


def test_what_a_killed_writer_left_is_temporary(dataset):
    """A writer that dies before it renames leaves its temporary, wherever it wrote."""
    target = dataset / "shards" / "any.h5"
    killed = subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    assert killed.returncode == 9
    (left,) = (item for item in inventory(dataset).values() if item.kind == "temporary")
    assert (left.state, left.num_bytes) == ("temporary", 5000)
    assert left.path.startswith(f"shards/{TEMPORARY_PREFIX}")


def test_a_file_of_somebody_else_is_foreign(dataset):
    """A training somebody put here is counted, in folders too, and hidden files are seen."""
    (dataset / "runs" / "first").mkdir(parents=True)
    (dataset / "runs" / "first" / "weights.h5").write_bytes(b"w" * 10)
    (dataset / "shards" / "notes.txt").write_bytes(b"n")
    (dataset / ".hidden").write_bytes(b"h")
    found = inventory(dataset)
    for path in ("runs/first/weights.h5", "shards/notes.txt", ".hidden"):
        assert (found[path].kind, found[path].state) == ("other", "foreign")


def test_a_shard_that_no_manifest_names_is_superseded(dataset):
    """Its receipt is too."""
    name = "copy-g0001-train-r00007-c00000-0123456789abcdef"
    (dataset / "shards" / f"{name}.h5").write_bytes(b"s")
    (dataset / "receipts" / f"{name}.json").write_bytes(b"r")
    found = inventory(dataset)
    assert found[f"shards/{name}.h5"].state == "superseded"
    assert found[f"receipts/{name}.json"].state == "superseded"


def test_an_extension_supersedes_nothing(dataset, tmp_path):
    """More copies add shards; every file of before is still needed."""
    extend_dataset(dataset, copies=3, source=photos(tmp_path / "photos"))
    assert {item.state for item in inventory(dataset).values()} == {"live"}


def test_what_may_belong_to_a_claimed_plan_is_pending(dataset):
    """Until it is published, its shards look like those that nobody names."""
    manifest = load_latest(dataset)
    claim(dataset, next_plan(read_plan(dataset, 1), manifest, copies=5, added=None))
    name = "copy-g0001-train-r00000-c00004-0123456789abcdef.h5"
    (dataset / "shards" / name).write_bytes(b"s")
    found = inventory(dataset)
    assert found[f"shards/{name}"].state == "pending"
    assert found["plan-000002.json"].state == "pending"
    assert found["plan-000001.json"].state == "live"


def test_a_newer_manifest_is_refused(dataset, tmp_path):
    """What only it names would look superseded, and be collected."""
    old = load_latest(dataset)
    extend_dataset(dataset, copies=3, source=photos(tmp_path / "photos"))
    with pytest.raises(ManifestError, match="found manifest 2"):
        take_inventory(dataset, old)


def test_an_earlier_manifest_is_taken_on_request(dataset, tmp_path):
    """Then whatever only later ones need is pending."""
    old = load_latest(dataset)
    extend_dataset(dataset, copies=3, source=photos(tmp_path / "photos"))
    items = take_inventory(dataset, old, may_be_older=True)
    assert sum(i.kind == "shard" and i.state == "live" for i in items) == len(old.shards)
    assert {item.state for item in items} == {"live", "pending"}


def test_a_link_counts_as_itself(dataset, tmp_path):
    """Nothing outside the directory is counted, and no folder is entered through a link."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "large").write_bytes(b"x" * 10_000)
    (dataset / "elsewhere").symlink_to(tmp_path / "outside")
    found = inventory(dataset)
    assert found["elsewhere"].num_bytes == len(str(tmp_path / "outside"))
    assert "elsewhere/large" not in found


@pytest.mark.parametrize("name", ["shards", "receipts"])
def test_shards_and_receipts_may_lie_on_another_disk(dataset, tmp_path, name):
    """Their folders are entered through a link: what is there belongs to the dataset."""
    before = inventory(dataset)
    shutil.move(dataset / name, tmp_path / "elsewhere")
    (dataset / name).symlink_to(tmp_path / "elsewhere")
    assert inventory(dataset) == before


def test_a_number_is_written_in_one_way(dataset):
    """Nobody but us numbers manifests, and we write six digits, or more that are needed."""
    for name in ("manifest-0000007.json", "plan-0000002.json"):
        (dataset / name).write_bytes(b"{}")
    (dataset / "plan-1000000.json").write_bytes(b"{}")
    found = inventory(dataset)
    assert found["manifest-0000007.json"].state == found["plan-0000002.json"].state == "foreign"
    assert found["plan-1000000.json"].kind == "plan"


def test_a_temporary_of_somebody_else_is_foreign(dataset):
    """No sweep takes it, so nothing may say that one does."""
    (dataset / ".tmp-weird").write_bytes(b"w")
    assert inventory(dataset)[".tmp-weird"].state == "foreign"


def test_metadata_is_superseded_with_the_manifest_it_describes(dataset):
    """Files that describe the newest manifest are nobody's to remove."""
    about = About(licence="CC0-1.0", creator=("somebody",), date="2026-01-01")
    written = write_metadata(dataset, about).files
    found = inventory(dataset)
    assert {(found[name].kind, found[name].state) for name in written} == {("metadata", "foreign")}
    transcode_dataset(dataset, codec="zstd")
    assert {inventory(dataset)[name].state for name in written} == {"superseded"}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"identifier": 7}', '{"identifier": "doi:1"}']
)
def test_metadata_that_somebody_else_wrote_is_foreign(dataset, content):
    """Only files that say which manifest they describe are told to be outdated."""
    (dataset / "croissant.json").write_text(content)
    (dataset / "croissant-records.csv").write_text("mine")
    found = inventory(dataset)
    for name in ("croissant.json", "croissant-records.csv"):
        assert found[name].state == "foreign"


def test_a_sparse_file_takes_less_than_its_length(dataset):
    """Length and allocation are two sizes."""
    with (dataset / "holes").open("wb") as file:
        file.truncate(1 << 20)
    item = inventory(dataset)["holes"]
    assert item.num_bytes == 1 << 20
    assert item.allocated_bytes < 1 << 20


def test_a_file_with_two_names_is_counted_once(dataset):
    """A writer killed between link and unlink leaves two names of one manifest."""
    manifest = dataset / "manifest-000001.json"
    second = dataset / f"{TEMPORARY_PREFIX}host-1-ab"
    os.link(manifest, second)
    found = inventory(dataset)
    assert found[manifest.name].num_bytes == manifest.stat().st_size
    assert (found[second.name].state, found[second.name].num_bytes) == ("temporary", 0)


def test_what_transcoding_left_behind_is_superseded(dataset):
    """The shards of before, with their receipts; the first manifest and plan are still needed."""
    old = {f"shards/{entry.file}" for entry in load_latest(dataset).shards}
    transcode_dataset(dataset, codec="zstd")
    found = inventory(dataset)
    superseded = {path for path, item in found.items() if item.state == "superseded"}
    receipts = {f"receipts/{path[7:-3]}.json" for path in old}
    assert superseded == old | receipts
    assert found["manifest-000001.json"].state == found["plan-000001.json"].state == "live"
