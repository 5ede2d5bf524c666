"""Cutting images into splits and folds: shares, clusters, and what the cut may depend on."""

import hashlib

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.population import Division, ScanOptions, fold_numbers, scan
from materialize.population.division import UNCUT, cluster_numbers, split_codes
from materialize.population.partition import partition_of
from materialize.sources import open_source
from materialize.sources.base import SPLITS
from tests.image_files import png_bytes, write_tree

CUT = Division.parse("0.8/0.1/0.1")


def digests_of(*names):
    rows = [hashlib.sha256(str(name).encode()).digest() for name in names]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)


def images(sizes, groups=None):
    """ids, labels, groups, digests of so many images of each class."""
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    digests = digests_of(*range(len(labels)))
    return digests[:, :16].copy(), labels, groups or [""] * len(labels), digests


def table(labels, parts, num_parts):
    """(classes, parts) counts."""
    cells = labels * num_parts + parts
    return np.bincount(cells, minlength=(labels.max() + 1) * num_parts).reshape(-1, num_parts)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("0.8/0.1/0.1", (8, 1, 1)),
        ("80/10/10", (8, 1, 1)),
        ("0.8/0.2", (4, 1, 0)),
        (" 0.70 / 0.15 / 0.15 ", (14, 3, 3)),
        ("1/0/0", (1, 0, 0)),
        ("100/0", (1, 0, 0)),
        ("0.333/0.333/0.334", (333, 333, 334)),
    ],
)
def test_shares_are_read_exactly(text, weights):
    assert Division.parse(text).weights == weights


@pytest.mark.parametrize(
    "text",
    ["", "0.8", "0.8/0.1", "0.8/0.1/0.2", "a/b", "8/1/1", "1.2/-0.2", "0.4/0.3/0.2/0.1", "1//0",
     "nan/1", "inf/1"],
)  # fmt: skip
def test_shares_that_do_not_add_up_are_refused(text):
    with pytest.raises(ConfigError, match=r"split: expected TRAIN/VAL/TEST.*got"):
        Division.parse(text)


def test_a_division_without_training_is_refused():
    with pytest.raises(ConfigError, match="leave more to training"):
        Division.parse("0/0.5/0.5")


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True])
def test_a_seed_out_of_reach_is_refused(seed):
    with pytest.raises(ConfigError, match="split-seed: expected a whole number"):
        Division.parse("0.8/0.2", seed)


def test_every_class_is_shared_out_by_largest_remainder():
    given = images([100, 50, 33])
    counts = table(given[1], split_codes(*given, division=CUT), 3)
    assert counts[:2].tolist() == [[80, 10, 10], [40, 5, 5]]
    exact = counts.sum(axis=1, keepdims=True) * np.array([0.8, 0.1, 0.1])
    assert (np.abs(counts - exact) < 1).all()


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_of_very_few_images_is_trained_on(size):
    given = images([size])
    assert table(given[1], split_codes(*given, division=CUT), 3).tolist() == [[size, 0, 0]]


def test_training_has_an_image_of_every_class_whatever_its_share():
    given = images([1, 2, 3, 1, 2])
    codes = split_codes(*given, division=Division.parse("0.1/0.45/0.45"))
    assert table(given[1], codes, 3)[:, 0].tolist() == [1, 1, 1, 1, 1]


def test_many_small_classes_give_every_split_its_share():
    """Rounding each class alone would give every odd image of 100 classes to the same split."""
    given = images([5] * 100)
    counts = table(given[1], split_codes(*given, division=CUT), 3)
    assert counts.sum(axis=0).tolist() == [400, 50, 50]


def test_a_split_without_a_share_gets_nothing():
    given = images([97], [f"g{i // 5}" for i in range(97)])
    codes = split_codes(*given, division=Division.parse("0.8/0.2"))
    assert set(codes.tolist()) == {0, 1}


def test_no_images_have_no_splits():
    empty = (np.empty((0, 16), np.uint8), np.empty(0, np.int32), [], np.empty((0, 32), np.uint8))
    assert len(split_codes(*empty, division=CUT)) == 0


def test_content_and_groups_are_joined_transitively():
    digests = digests_of("x", "y", "y", "z", "w", "v")
    groups = ["p", "p", "q", "q", "", ""]
    numbers = cluster_numbers(digests, groups)
    assert len(set(numbers[:4].tolist())) == 1
    assert len(set(numbers.tolist())) == 3


def test_images_of_no_group_are_not_a_group():
    assert len(set(cluster_numbers(digests_of("x", "y"), ["", ""]).tolist())) == 2


def test_large_groups_go_where_they_fit():
    """A patient with half of all images cannot be a tenth of them."""
    given = images([100], ["big"] * 50 + [f"g{i}" for i in range(50)])
    codes = split_codes(*given, division=CUT)
    assert set(codes[:50].tolist()) == {0}
    assert np.bincount(codes).tolist() == [80, 10, 10]


def test_another_seed_gives_another_division_of_the_same_shares():
    given = images([200])
    one, other = (split_codes(*given, division=Division((8, 1, 1), seed)) for seed in (0, 1))
    assert (one != other).any()
    assert np.bincount(one).tolist() == np.bincount(other).tolist()


def test_what_stands_stays_and_its_kin_join_it():
    ids, labels, _, digests = images([6])
    digests = digests.copy()
    digests[3] = digests[0]
    groups = ["", "p", "", "", "p", ""]
    standing = np.array([2, 1, 0, UNCUT, UNCUT, UNCUT], np.int8)
    codes = split_codes(ids, labels, groups, digests, division=CUT, standing=standing)
    assert codes.tolist() == [2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_folds_are_even_overall_and_in_every_class(folds):
    given = images([50, 23, 4, 1])
    counts = table(given[1], fold_numbers(*given, folds=folds), folds)
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(counts.sum(axis=0)) <= 1


def test_classes_smaller_than_the_folds_fill_different_folds():
    given = images([1] * 10)
    assert np.bincount(fold_numbers(*given, folds=5)).tolist() == [2] * 5


@pytest.mark.parametrize("folds", [1, 0, -1, 128, 2.0, True])
def test_a_number_of_folds_out_of_reach_is_refused(folds):
    with pytest.raises(ConfigError, match=r"folds: expected a whole number in \[2, 127\]"):
        fold_numbers(*images([10]), folds=folds)


def test_more_folds_than_clusters_are_refused():
    with pytest.raises(ConfigError, match="at most the 2 groups of images"):
        fold_numbers(*images([6], ["a", "b"] * 3), folds=3)


def test_the_cut_of_these_images_never_changes():
    """Anyone who cut a dataset with an earlier version, and extends it, is hurt if this changes."""
    given = images([12, 5], ["", "", "g", "g", *[""] * 13])
    assert "".join(map(str, split_codes(*given, division=CUT).tolist())) == "20000000000100010"
    assert "".join(map(str, fold_numbers(*given, folds=3, seed=7).tolist())) == "20002021211101210"


def tree(tmp_path, count=20):
    names = {f"{'ab'[i % 2]}/{i:02}.png": png_bytes(i) for i in range(count)}
    return open_source(write_tree(tmp_path, names))


def test_a_scan_divides_a_source_without_splits(tmp_path):
    population = scan(tree(tmp_path), ScanOptions(division=CUT))
    assert [len(population.split_rows(split)) for split in SPLITS] == [16, 2, 2]
    assert (np.diff(population.splits.astype(int)) >= 0).all()


def test_renamed_files_stay_in_their_split(tmp_path):
    before = scan(tree(tmp_path), ScanOptions(division=CUT))
    for number, path in enumerate(sorted(tmp_path.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"new-{number}.png"))
    after = scan(open_source(tmp_path), ScanOptions(division=CUT))
    np.testing.assert_array_equal(after.ids, before.ids)
    np.testing.assert_array_equal(after.splits, before.splits)


def test_the_numbering_of_classes_changes_nothing(tmp_path):
    source = tree(tmp_path)
    plain = scan(source, ScanOptions(division=CUT))
    other = scan(source, ScanOptions(division=CUT), known_classes=("z", "b"))
    np.testing.assert_array_equal(other.ids, plain.ids)
    np.testing.assert_array_equal(other.splits, plain.splits)


def test_a_source_with_splits_of_its_own_is_not_divided(tmp_path):
    contents = {"train/a/x.png": png_bytes(0), "test/a/y.png": png_bytes(1)}
    source = open_source(write_tree(tmp_path, contents))
    with pytest.raises(ConfigError, match=r"found 1 of 2 images in val or test: test/a/y\.png"):
        scan(source, ScanOptions(division=CUT))


def test_a_partition_counts_classes_and_finds_what_is_torn(tmp_path):
    same = png_bytes(0)
    contents = {"a/p/1.png": same, "a/p/2.png": png_bytes(1), "b/3.png": same, "b/4.png": same}
    population = scan(open_source(write_tree(tmp_path, contents)))
    parts = np.array([int(name in ("a/p/2.png", "b/3.png")) for name in population.locators])
    found = partition_of(population, np.arange(4), parts, ("left", "right"))
    assert found.counts == ((1, 1), (1, 1))
    assert (found.num_contents, found.num_groups, found.totals) == (2, 1, (2, 2))
    assert found.torn_contents == ("a/p/1.png (left) = b/3.png (right) = b/4.png (left)",)
    assert found.torn_groups == ("a/p (left, right)",)
    assert not found.is_whole


def whole_and_even(population):
    """The partition of a divided population, once no class is more than 1 off its share."""
    found = partition_of(population, np.arange(len(population)), population.splits, SPLITS)
    assert found.is_whole
    counts = np.array(found.counts)
    exact = counts.sum(axis=1, keepdims=True) * np.array(CUT.weights) / sum(CUT.weights)
    assert (np.abs(counts - exact) < 2).all()
    return found


def test_flowers_are_divided_without_tearing_their_duplicates(real_data):
    """Six of them are there twice, four times under two labels."""
    source = open_source(real_data / "flowers128")
    population = scan(source, ScanOptions(division=CUT, trust_source=True))
    assert whole_and_even(population).num_contents == 4311


def test_white_cells_are_dealt_into_five_folds(real_data):
    """One class has 22 images, another a single one."""
    labels = real_data / "wbc_masks" / "Class Labels of Dataset 1.csv"
    source = open_source(real_data / "wbc_masks/dataset1", labels=labels, path_suffix=".bmp")
    population = scan(source)
    folds = fold_numbers(
        population.ids, population.labels, population.groups, population.digests, folds=5
    )
    names = [f"fold {fold}" for fold in range(5)]
    found = partition_of(population, np.arange(300), folds, names)
    assert found.is_whole
    assert found.totals == (60,) * 5
    assert np.ptp(found.counts, axis=1).max() <= 1


def test_books_are_divided_by_class(real_data):
    source = open_source(real_data / "books73_512" / "train")
    population = scan(source, ScanOptions(division=CUT, trust_source=True))
    assert whole_and_even(population).totals[0] == pytest.approx(0.8 * 71, abs=2)


def test_cifar_training_images_are_dealt_evenly(real_data):
    with np.load(real_data / "cifar10" / "cifar10_10k_2k.npz") as arrays:
        source = open_source((arrays["x_train"], arrays["y_train"]))
    population = scan(source, ScanOptions(division=CUT))
    assert set(whole_and_even(population).counts) == {(800, 100, 100)}
