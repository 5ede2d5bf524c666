"""Every byte of a dataset, counted in several ways that agree."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

import materialize
from materialize.accounting.account import account_dataset
from materialize.accounting.breakdown import break_down
from materialize.audit.standing import StandingDataset
from materialize.builder import BuildOptions, build_dataset
from materialize.errors import AccountError, ManifestMissingError, ShardMissingError
from materialize.extension import extend_dataset
from materialize.manifest import load_latest, shard_path
from materialize.plans import claim, first_plan
from materialize.population import Division, ScanOptions, scan
from materialize.recipe import Recipe
from materialize.removal import remove_samples
from materialize.shards.reader import ShardReader
from materialize.sources import open_source
from materialize.sources.subset import Subset
from materialize.sources.targets import TargetSchema
from pipelines import Pipeline, load
from pipelines.geometric import Rotation
from pipelines.resizing import Resize
from tests.image_files import png_bytes, write_tree
from tests.jobs import build_photos, photos, shard_paths
from tests.target_cases import KINDS, SIZE, TargetedArrays

CODECS = ("raw", "zstd", "png", "jpeg-90")
DIVIDED = BuildOptions(scan=ScanOptions(division=Division((6, 2, 2))))
SMALL = Pipeline(steps=(Resize(height=20, width=24, fit="cover"), Rotation(max_deg=10)))

REAL = {
    "bccd_boxes": ("BCCD", {}),
    "books73_512": ("train", {}),
    "cifar10": ("cifar10_10k_2k.npz", {}),
    "fashion_mnist": ("", {}),
    "flowers128": ("", {}),
    "imagenet_1000_samples": ("", {}),
    "labelme_polygons": ("images", {}),
    "libpng_pngs": ("", {}),
    "mmpose_keypoints": ("coco", {}),
    "mnist": ("", {}),
    "pillow_images": ("", {}),
    "wbc_masks": ("dataset1", {"path_suffix": ".bmp"}),
}
"""Folder of the real images, where in it, and how to open it."""


@pytest.fixture(scope="module", params=CODECS)
def digits(request, tmp_path_factory):
    """All three splits of the digits, with originals, in each kind of codec."""
    out = tmp_path_factory.mktemp(f"account-{request.param}") / "digits"
    recipe = Recipe(copies=2, shard_bytes=16384, codec=request.param, originals=True)
    build_dataset("digits", out, "digits", recipe, options=DIVIDED)
    return out


@pytest.fixture
def dataset(tmp_path):
    """A small one to change."""
    build_photos(photos(tmp_path / "photos"), tmp_path / "dataset")
    return tmp_path / "dataset"


def files_of(directory):
    """What the file system says of every file."""
    return [path.lstat() for path in directory.rglob("*") if not path.is_dir()]


def assert_conserved(directory):
    """Every breakdown sums to the shards, and everything to the files."""
    account = account_dataset(directory, per_shard=True)
    stats = files_of(directory)
    shards = sum(path.stat().st_size for path in shard_paths(directory))
    assert account.directory_bytes == sum(stat.st_size for stat in stats)
    assert account.directory_allocated_bytes == sum(stat.st_blocks * 512 for stat in stats)
    assert account.stored_bytes == sum(account.kinds.values())
    for by in ("by_class", "by_split", "by_copy", "by_target", "by_shard", "codecs"):
        assert sum(getattr(account, by).values()) == account.shards_bytes == shards
    assert sum(cell.num_bytes for cell in account.cells) == shards
    return account


def test_every_sum_is_that_of_the_files(digits):
    """By kind, class, split, copy, target, shard and cell, for every kind of codec."""
    account = assert_conserved(digits)
    assert account.directory_bytes == account.stored_bytes


def test_cells_apart_by_shard_sum_to_each_shard(digits):
    """With its container, every shard is as long as its file."""
    sums = {}
    for cell in account_dataset(digits, per_shard=True).cells:
        sums[cell.shard] = sums.get(cell.shard, 0) + cell.num_bytes
    assert sums == {path.name: path.stat().st_size for path in (digits / "shards").iterdir()}


def test_images_of_cells_are_those_of_the_labels(digits):
    """How many images a class has in a shard is what the labels in the shard say."""
    entry = load_latest(digits).shards[-1]
    with ShardReader(shard_path(digits, entry.file), entry) as reader:
        labels = reader.labels
        counts = {reader.class_names[i]: int((labels == i).sum()) for i in np.unique(labels)}
    cells = [c for c in account_dataset(digits, per_shard=True).cells if c.shard == entry.file]
    assert {c.class_name: c.num_images for c in cells if c.num_images} == counts


def test_a_class_takes_its_share_of_each_encoded_block(digits):
    """Within one byte for each block that it is in: the definition, block by block, in floats."""
    for entry in load_latest(digits).shards[:3]:
        if entry.images_offset is not None:
            continue
        expected = {}
        with ShardReader(shard_path(digits, entry.file), entry) as reader:
            blocks, labels = reader.blocks, reader.labels
            for block in range(blocks.num_blocks):
                rows = blocks.block_rows(block)
                each = len(blocks.region(block)) / len(rows)
                for label in labels[rows.start : rows.stop].tolist():
                    expected[label] = expected.get(label, 0) + each
        cells = account_dataset(digits, per_shard=True).cells
        found = {int(c.class_name): c.pixels_bytes for c in cells
                 if c.shard == entry.file and c.num_images}  # fmt: skip
        assert found.keys() == expected.keys()
        assert all(abs(found[k] - expected[k]) < blocks.num_blocks for k in found)


def test_raw_bytes_of_a_class_are_exactly_its_rows(tmp_path):
    """Rows of a raw shard are equally long: nothing is shared out."""
    build_photos(photos(tmp_path / "photos", 12), tmp_path / "dataset")
    cells = account_dataset(tmp_path / "dataset").cells
    images = [cell for cell in cells if cell.num_images]
    assert all(cell.pixels_bytes == cell.num_images * 16 * 16 * 3 for cell in images)
    assert sum(cell.num_images for cell in images) == 24


def test_the_container_is_a_line_of_its_own(digits):
    """What HDF5 takes is apportioned to no class, and named like none."""
    account = account_dataset(digits)
    container = account.by_class[account.container_name]
    assert container == account.kinds["container"] > 0
    assert all(c.container_bytes == 0 for c in account.cells if c.num_images)


def test_a_class_may_be_called_container(tmp_path):
    """Then the container has another name, and both keep their bytes."""
    names = {f"{'(container)' if i % 2 else 'b'}/{i}.png": png_bytes(i, (8, 8)) for i in range(6)}
    write_tree(tmp_path / "source", names)
    build_photos(tmp_path / "source", tmp_path / "dataset")
    account = assert_conserved(tmp_path / "dataset")
    assert account.container_name == "((container))"
    assert account.by_class["(container)"] == account.by_class["b"]


def test_logical_sizes_and_ratios_are_those_of_the_arrays(digits):
    """Digits are 8×8×1 uint8; their source holds the same."""
    account, counts = account_dataset(digits), load_latest(digits).populations[0].counts
    samples = sum(counts.values())
    assert account.logical_originals_bytes == 64 * samples
    assert account.logical_copies_bytes == 64 * 2 * counts["train"]
    assert account.decoded_source_bytes == 64 * samples
    assert account.amplification == account.stored_bytes / account.source_bytes
    assert account.compression == account.logical_bytes / account.kinds["pixels"]


def test_levels_of_a_sample_are_those_of_its_images(tmp_path):
    """Twelve photos, two raw copies each: pixels, label, id and draws, twice."""
    build_photos(photos(tmp_path / "photos"), tmp_path / "dataset")
    account = account_dataset(tmp_path / "dataset")
    (words,) = {len(e.spec.draw_words) for e in load_latest(tmp_path / "dataset").shards}
    each = 16 * 16 * 3 + 4 + 16 + 4 * words
    assert account.bytes_per_image == {"p50": each, "p95": each, "max": each}
    assert account.bytes_per_sample == {"p50": 2 * each, "p95": 2 * each, "max": 2 * each}


def test_samples_of_which_nothing_is_stored_do_not_count_as_small(tmp_path):
    """Without originals, images of the test split take no byte and are no level."""
    build_dataset("digits", tmp_path / "out", "digits", Recipe(copies=1), options=DIVIDED)
    levels = account_dataset(tmp_path / "out").bytes_per_sample
    assert levels["p50"] == levels["max"] > 0


def test_the_last_shards_hold_less_than_the_longest(tmp_path):
    """Eleven photos in runs of 4, 4 and 3: the last shard of each of two copies lacks one."""
    build_photos(photos(tmp_path / "photos", 11), tmp_path / "dataset")
    assert account_dataset(tmp_path / "dataset").last_shards_room_bytes == 2 * 16 * 16 * 3


def test_an_unlabelled_dataset_has_one_class_without_a_name(tmp_path):
    """All of its images stand under it."""
    names = {f"{i}.png": png_bytes(i, (8, 8)) for i in range(5)}
    build_photos(write_tree(tmp_path / "flat", names), tmp_path / "dataset")
    account = assert_conserved(tmp_path / "dataset")
    assert list(account.by_class) == ["(no label)", "(container)"]


def test_quarantined_inputs_are_listed_with_their_reason(tmp_path):
    """What is left out has a reason, a size in the source and a name."""
    photos(tmp_path / "photos")
    (tmp_path / "photos" / "a" / "bad.png").write_bytes(png_bytes(99)[:40])
    build_photos(tmp_path / "photos", tmp_path / "dataset", max_bad=0.5)
    ((reason, left_out),) = account_dataset(tmp_path / "dataset").quarantined.items()
    assert reason
    assert (left_out.num_records, left_out.num_bytes) == (1, 40)
    assert left_out.examples == ("a/bad.png",)


def test_converted_inputs_are_counted_by_how(tmp_path):
    """Grey images among coloured ones are brought to three channels."""
    names = {f"a/{i}.png": png_bytes(i, (8, 8), 1 if i == 0 else 3) for i in range(4)}
    build_photos(write_tree(tmp_path / "source", names), tmp_path / "dataset")
    dataset = tmp_path / "dataset"
    population = scan(open_source(tmp_path / "source"))
    assert account_dataset(dataset).conversions == population.conversion_counts()


def test_superseded_temporary_and_foreign_bytes_are_apart(dataset):
    """They are under the directory and not in what the dataset takes."""
    before = account_dataset(dataset)
    (dataset / "shards" / "copy-g0001-train-r00009-c00000-0123456789abcdef.h5").write_bytes(b"12")
    (dataset / ".tmp-nowhere-1-00").write_bytes(b"123")
    (dataset / "mine").write_bytes(b"1234")
    after = assert_conserved(dataset)
    sizes = (after.superseded_bytes, after.temporary_bytes, after.foreign_bytes)
    assert sizes == (2, 3, 4)
    assert after.stored_bytes == before.stored_bytes


def test_an_extended_dataset_is_conserved(dataset, tmp_path):
    """Two generations of images and of copies, each with its own population."""
    photos(tmp_path / "photos", 7, first=20)
    extend_dataset(dataset, copies=3, source=tmp_path / "photos")
    account = assert_conserved(dataset)
    assert list(account.by_copy) == [0, 1, 2]
    assert account.num_images == 3 * account.num_samples


def test_a_recipe_takes_no_shards(tmp_path):
    """A dataset of which nothing is stored has an account all the same."""
    recipe = Recipe(copies=2, storage="recipe")
    build_dataset(photos(tmp_path / "photos"), tmp_path / "dataset", "cifar10", recipe)
    account = account_dataset(tmp_path / "dataset")
    assert (account.shards_bytes, account.num_shards, account.bytes_per_copy) == (0, 0, 0)
    assert (account.by_class, account.bytes_per_sample, account.cells) == ({}, {}, ())
    assert account.stored_bytes > 0


def test_a_prefix_is_accounted_as_originals(tmp_path):
    """Untouched images of every split are stored, and no copies."""
    recipe = Recipe(copies=2, storage="prefix")
    build_dataset(photos(tmp_path / "photos"), tmp_path / "dataset", "cifar10", recipe)
    account = assert_conserved(tmp_path / "dataset")
    assert list(account.by_copy) == [-1]
    assert account.logical_copies_bytes == 0


def test_a_dataset_that_is_not_finished_says_how_to_go_on(tmp_path):
    """A plan without a manifest names the two commands that may finish it."""
    source, recipe = open_source(photos(tmp_path / "photos")), Recipe(copies=1)
    (tmp_path / "out").mkdir()
    claim(tmp_path / "out", first_plan(load("cifar10"), recipe, scan(source)))
    with pytest.raises(ManifestMissingError, match=r"materialize build.*materialize finish"):
        account_dataset(tmp_path / "out")


def test_a_shard_of_another_length_names_both_numbers(dataset):
    """An account that does not add up is no account."""
    path = next((dataset / "shards").iterdir())
    length = path.stat().st_size
    os.truncate(path, length - 7)
    with pytest.raises(AccountError) as caught:
        account_dataset(dataset)
    assert f"{length:,}" in str(caught.value)
    assert f"{length - 7:,}" in str(caught.value)


def test_a_missing_shard_is_named(dataset):
    """With the command that makes it again."""
    path = next((dataset / "shards").iterdir())
    path.unlink()
    with pytest.raises(ShardMissingError, match=f"{path.name}.*materialize repair"):
        account_dataset(dataset)


def test_an_account_writes_nothing(digits):
    """Neither stamps nor anything else."""
    before = {path: path.stat().st_mtime_ns for path in digits.rglob("*")}
    account_dataset(digits)
    assert {path: path.stat().st_mtime_ns for path in digits.rglob("*")} == before


def test_the_public_name_is_this_account(digits):
    """`materialize.account_dataset` gives a `materialize.StorageAccount`."""
    assert isinstance(materialize.account_dataset(digits), materialize.StorageAccount)


def test_the_summary_of_a_build_has_the_same_bytes(tmp_path):
    """One account, not two: what is printed after a build is what `storage` says."""
    from materialize.summary import summarize

    report = build_photos(photos(tmp_path / "photos"), tmp_path / "dataset")
    brief = summarize(report, report.manifest).account
    account = account_dataset(tmp_path / "dataset")
    assert brief.stored_bytes == account.stored_bytes
    assert brief.allocated_bytes == account.allocated_bytes
    assert brief.source_bytes == account.source_bytes
    assert brief.amplification == account.amplification


def test_a_build_again_after_an_extension_is_summed_up(dataset, tmp_path):
    """It ends with the manifest it began with, which is not the newest any more."""
    from materialize.summary import summarize

    extend_dataset(dataset, copies=3, source=tmp_path / "photos")
    report = build_photos(tmp_path / "photos", dataset)
    assert summarize(report, report.manifest).num_shards == len(report.manifest.shards)


@pytest.mark.parametrize("codec", ["raw", "zstd", "png"])
@pytest.mark.parametrize("name", REAL)
def test_real_images_are_conserved(real_data, tmp_path, name, codec):
    """Forty images of every dataset there is, hostile ones included: exact to the byte."""
    place, options = REAL[name]
    if name == "wbc_masks":
        options = options | {"labels": real_data / name / "Class Labels of Dataset 1.csv"}
    source = Subset(open_source(real_data / name / place, **options), 40)
    how = BuildOptions(max_bad=1.0, scan=ScanOptions(allow_split_leaks=True))
    recipe = Recipe(copies=2, shard_bytes=8192, codec=codec, originals=True)
    build_dataset(source, tmp_path / "out", SMALL, recipe, options=how)
    account = assert_conserved(tmp_path / "out")
    assert account.source_bytes > 0
    assert account.num_images > account.num_samples > 0


def test_a_copied_dataset_has_the_same_account(digits, tmp_path):
    """But for where it is and what the file system set aside."""
    first = account_dataset(digits)
    second = account_dataset(shutil.copytree(digits, tmp_path / "copy"))
    same = {"directory": second.directory, "allocated_bytes": 0, "states": {}}
    assert replace(first, **same) == replace(second, **same)


def test_room_is_that_of_the_last_shard_and_not_of_the_shortest(tmp_path):
    """Runs of 4, 4 and 4, of which the first lost two: the last lacks none."""
    build_photos(photos(tmp_path / "photos"), tmp_path / "dataset")
    (population,) = StandingDataset.open(tmp_path / "dataset").populations
    first = [population.ids[row].tobytes().hex() for row in (0, 1)]
    remove_samples(tmp_path / "dataset", first)
    rows = [entry.spec.num_rows for entry in load_latest(tmp_path / "dataset").shards]
    assert sorted(rows) == [2, 2, 4, 4, 4, 4]
    assert account_dataset(tmp_path / "dataset").last_shards_room_bytes == 0


def test_masks_and_objects_are_accounted_for_to_the_byte(tmp_path):
    source = TargetedArrays(11, schema=TargetSchema(KINDS, ("mask",)))
    recipe = Recipe(copies=2, originals=True, shard_bytes=5 * SIZE * SIZE * 3)
    for codec in ("raw", "png"):
        out = tmp_path / codec
        build_dataset(source, out, "cifar10", replace(recipe, codec=codec))
        account = account_dataset(out)  # its sums are checked there
        assert list(account.by_target) == ["image", "mask", "objects"]
        assert account.counted_one_by_one == "stored image or mask"
        assert account.num_images == 3 * 11
        lines = {line.names[0]: line for line in break_down(account, ["target"])}
        assert lines["mask"].num_images == 3 * 11
        assert lines["objects"].pixels_bytes == lines["objects"].container_bytes == 0
        assert sum(line.num_images for line in break_down(account, ["class"])) == 3 * 11
