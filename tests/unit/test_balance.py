"""Balanced datasets: each class is shown as often as was asked for, and every command knows whose
rows a shard holds."""

import json
import shutil

import numpy as np
import pytest

from materialize.accounting.account import account_dataset
from materialize.accounting.bills import bill_dataset
from materialize.accounting.prices import read_prices
from materialize.assembly import class_numbers, resized
from materialize.audit.explanation import explain_sample
from materialize.audit.restoration import repair_dataset
from materialize.audit.standing import StandingDataset
from materialize.audit.verification import verify_dataset
from materialize.builder import build_dataset
from materialize.cli import main
from materialize.errors import ConfigError
from materialize.extension import extend_dataset
from materialize.loader.opening import OpenDataset
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest, shard_path
from materialize.planning import checked_population
from materialize.population import Population
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.removal import remove_samples
from materialize.shards.reader import ShardReader
from materialize.transcoding import transcode_dataset
from pipelines import load
from tests.dataset_states import shards_of, stored_images
from tests.image_files import png_bytes, write_tree
from tests.jobs import LOKY, contents, copied, flip_byte

SIZES = {"a": 13, "b": 5, "c": 2}
"""Images of each class."""


def unequal(root, sizes=SIZES, *, first=0):
    """A folder of small pictures, more of some classes than of others."""
    files, number = {}, first
    for name, count in sizes.items():
        for _ in range(count):
            files[f"{name}/{number:03d}.png"] = png_bytes(number, (16, 16))
            number += 1
    return write_tree(root, files)


def make(place, source, **recipe):
    """Four pictures to a run."""
    chosen = {"copies": 3, "shard_bytes": 4096, "balance": "max"} | recipe
    build_dataset(source, place, "cifar10", Recipe(**chosen))
    return place


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return unequal(tmp_path_factory.mktemp("source") / "photos")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, source):
    return make(tmp_path_factory.mktemp("built") / "out", source)


def stored_of_each_class(directory):
    names = [name for name, _ in stored_images(directory).values()]
    return {name: names.count(name) for name in sorted(set(names))}


@pytest.mark.parametrize(
    ("balance", "cap", "expected"),
    [
        ("max", None, {"a": 39, "b": 39, "c": 39}),
        ("max", 3, {"a": 39, "b": 39, "c": 18}),
        (4, None, {"a": 12, "b": 12, "c": 12}),
        ({"c": 7}, None, {"a": 39, "b": 15, "c": 21}),
    ],
)
def test_as_many_copies_as_epochs_show(tmp_path, source, balance, cap, expected):
    out = make(tmp_path / "out", source, balance=balance, balance_cap=cap)
    assert stored_of_each_class(out) == expected


def test_a_copy_is_drawn_with_its_number(tmp_path, dataset, source):
    plain = make(tmp_path / "out", source, balance=None, copies=20)
    everything = stored_images(plain)
    stored = stored_images(dataset)
    assert stored == {key: everything[key] for key in stored}


def test_neither_workers_nor_parts_change_a_byte(tmp_path, dataset, source):
    recipe = Recipe(copies=3, shard_bytes=4096, balance="max")
    options = BuildOptions(crew=LOKY)
    build_dataset(source, tmp_path / "workers", "cifar10", recipe, options=options)
    assert contents(tmp_path / "workers") == contents(dataset)


def test_without_a_balance_the_bytes_are_those_of_before(tmp_path, source):
    """Every field that came with balancing is left out of plans, manifests and populations."""
    out = make(tmp_path / "out", source, balance=None)
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert not [name for name, data in files.items() if b"balance" in data or b"ranks" in data]


def test_a_deep_verification_makes_every_row_again(dataset, source):
    report = verify_dataset(dataset, depth="pixels", source=source)
    assert not report.damages
    assert report.num_rows_compared == 3 * 39


def test_a_damaged_shard_is_made_again(tmp_path, dataset):
    out = copied(dataset, tmp_path)
    before = shards_of(out)
    last = max(load_latest(out).shards, key=lambda entry: entry.spec.copy)
    flip_byte(shard_path(out, last.file), last.images_offset)
    assert repair_dataset(out).is_whole
    assert shards_of(out) == before


@pytest.mark.parametrize("removed", [(), ("a/003.png",)])
def test_a_lost_population_is_scanned_again(tmp_path, dataset, removed):
    out = copied(dataset, tmp_path)
    if removed:
        remove_samples(out, removed)
    entry = load_latest(out).populations[0]
    path = out / entry.file
    before = path.read_bytes()
    path.unlink()
    assert repair_dataset(out).is_whole
    assert Population.from_bytes(path.read_bytes()).rates.ranks.tolist() == (
        Population.from_bytes(before).rates.ranks.tolist()
    )


def test_a_copy_that_only_few_have_is_explained(dataset):
    standing = StandingDataset.open(dataset)
    entry = max(load_latest(dataset).shards, key=lambda entry: entry.spec.copy)
    with ShardReader(shard_path(dataset, entry.file), entry) as reader:
        sample, stored = reader.sample_ids[-1].tobytes().hex(), reader.images[-1].copy()
    explained = explain_sample(dataset, sample, copy=entry.spec.copy)
    assert explained.shard == entry.file
    assert (explained.recomputed == stored).all()
    assert standing.populations[0].label_name(standing.rows_of(entry.spec)[-1]) == "c"


@pytest.mark.parametrize("balance", ["max", 4])
def test_more_copies_are_those_of_a_build_in_one_go(tmp_path, source, balance):
    out = make(tmp_path / "out", source, balance=balance, copies=2)
    extend_dataset(out, copies=5)
    whole = make(tmp_path / "whole", source, balance=balance, copies=5)
    assert shards_of(out) == shards_of(whole)


def test_new_images_are_balanced_among_themselves(tmp_path, source):
    place = tmp_path / "photos"
    shutil.copytree(source, place)
    out = make(tmp_path / "out", place)
    before = shards_of(out)
    unequal(place, {"a": 1, "b": 4, "d": 2}, first=100)
    extend_dataset(out)
    after = shards_of(out)
    assert before.items() <= after.items()
    new = StandingDataset.open(out).populations[1].rates
    assert (new.periods.tolist(), new.draws.tolist()) == ([1, 4, 0, 2], [4, 4, 0, 4])
    assert stored_of_each_class(out) == {"a": 51, "b": 51, "c": 39, "d": 12}


def test_removal_moves_nobodys_draws(tmp_path, dataset):
    out = copied(dataset, tmp_path)
    before = stored_images(out)
    report = remove_samples(out, ["a/004.png", "c/018.png"])
    after = stored_images(out)
    assert after == {key: v for key, v in before.items() if key[0] not in report.removed}
    again = remove_samples(out, ["b/013.png"])
    gone = {*report.removed, *again.removed}
    assert stored_images(out) == {key: v for key, v in before.items() if key[0] not in gone}
    assert not verify_dataset(out, depth="pixels").damages


def test_images_that_no_epoch_shows_are_removed_too(tmp_path, source):
    out = make(tmp_path / "out", source, balance=1, copies=1)
    standing = StandingDataset.open(out)
    shown = {key[0] for key in stored_images(out)}
    ids = [standing.populations[0].ids[row].tobytes().hex() for row in range(20)]
    unseen = next(one for one in ids if one not in shown)
    remove_samples(out, [unseen])
    extend_dataset(out, copies=20)
    assert {key[0] for key in stored_images(out)} == {*ids} - {unseen}


@pytest.mark.parametrize("change", [{"codec": "zstd"}, {"storage": "prefix"}])
def test_there_and_back_gives_the_same_shards(tmp_path, dataset, change):
    out = copied(dataset, tmp_path)
    before = shards_of(out)
    transcode_dataset(out, **change)
    transcode_dataset(out, codec="raw", storage="pixels")
    assert shards_of(out) == before


def test_the_account_adds_up_and_says_what_stands_behind(dataset):
    found = account_dataset(dataset)
    assert [(r.class_name, r.num_images, r.draws_per_epoch) for r in found.balance] == [
        ("a", 13, 13), ("b", 5, 13), ("c", 2, 13)
    ]  # fmt: skip
    shown = {c.class_name: 0 for c in found.cells}
    for cell in found.cells:
        shown[cell.class_name] += cell.num_images
    assert [shown[name] for name in SIZES] == [39, 39, 39]


def test_a_population_keeps_its_rates(dataset):
    entry = load_latest(dataset).populations[0]
    population = checked_population(dataset / entry.file, entry.digest)
    assert population.rates.periods.tolist() == [13, 5, 2]
    assert population.rates.draws.tolist() == [13, 13, 13]
    again = Population.from_bytes(population.to_bytes())
    assert again.rates.num_draws(3).tolist() == population.rates.num_draws(3).tolist()


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ("most", "balance: expected 'max', a number, or a number for each class, got 'most'"),
        (0, r"balance: expected a whole number in \[1, "),
        ({"a": 0.5}, "balance of 'a': expected a whole number"),
        ({"zebra": 5}, "balance: expected classes of the source, such as 'a', got 'zebra'"),
    ],
)
def test_what_is_no_balance_is_refused(tmp_path, source, balance, message):
    with pytest.raises(ConfigError, match=message):
        make(tmp_path / "out", source, balance=balance)
    assert not (tmp_path / "out").exists()


def test_images_without_classes_cannot_be_balanced(tmp_path):
    images = np.zeros((4, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(4)
    with pytest.raises(ConfigError, match="balance: expected images with classes, found none"):
        make(tmp_path / "out", images)


def test_a_cap_needs_a_balance():
    with pytest.raises(ConfigError, match="balance-cap: expected with balance"):
        Recipe(copies=1, balance_cap=2)


def test_the_summary_says_which_classes_are_capped(tmp_path, source, capsys):
    out = str(tmp_path / "out")
    command = ["build", "--source", str(source), "--output", out, "--pipeline", "cifar10",
               "--copies", "2", "--balance", "8", "--balance-cap", "3", "--workers", "1",
               "--no-estimate"]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in said.splitlines() if " capped: " in line}
    assert list(lines) == ["c"]
    assert lines["c"][1:6] == ["2", "6", "3.00", "2", "2"]
    assert main(["storage", out, "--json"]) == 0
    rates = json.loads(capsys.readouterr().out)["balance"]
    assert [rate["originals_per_epoch"] for rate in rates] == [8, 5, 2]
    assert [rate["originals_per_run"] for rate in rates] == [13, 5, 2]


@pytest.mark.parametrize(
    ("name", "text"), [("n.toml", 'b = 4\n"c" = 3\n'), ("n.csv", "b,4\nc,3\n")]
)
def test_a_file_gives_each_class_its_number(tmp_path, source, name, text):
    (tmp_path / name).write_text(text)
    job = tmp_path / "job.toml"
    job.write_text(
        f'source = "{source}"\noutput = "out"\npipeline = "cifar10"\ncopies = 2\n'
        f'balance = "{name}"\nworkers = 1\nshard-mb = 0.00390625\n'
    )
    assert main(["build", "--job", str(job), "--no-estimate"]) == 0
    assert stored_of_each_class(tmp_path / "out") == {"a": 26, "b": 8, "c": 6}


def test_a_bill_reads_what_an_epoch_shows(tmp_path):
    """Ten of each class: one of which there are two is shown five times."""
    images = np.zeros((12, 8, 8, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(12)
    labels = np.array([0] * 10 + [1] * 2)
    build_dataset((images, labels), tmp_path, "cifar10", Recipe(copies=2, balance="max"))
    loader = StreamingLoader(tmp_path, batch_size=20)
    copies = {int(copy) for batch in loader.epoch(0) for copy in batch.copies}
    assert bill_dataset(tmp_path, read_prices()).epoch_shards == len(copies) == 5


def test_a_header_of_a_table_is_named(tmp_path):
    path = tmp_path / "n.csv"
    path.write_text("class,number\nb,4\n")
    with pytest.raises(ConfigError, match="the line 'class,number'; a header has no place there"):
        class_numbers(path)


@pytest.mark.parametrize("text", ["b = 1.5", "", "b = 4\nb = 5", "b"])
def test_a_file_that_is_no_table_is_refused(tmp_path, source, text, capsys):
    path = tmp_path / "n.toml"
    path.write_text(text)
    command = ["build", "--source", str(source), "--output", str(tmp_path / "out"),
               "--pipeline", "cifar10", "--copies", "2", "--balance", str(path)]  # fmt: skip
    assert main(command) != 0
    assert "balance: expected" in capsys.readouterr().err


def test_folds_of_real_books_show_every_class_alike(tmp_path, real_data):
    """Six classes of eight to twenty-seven photographs, five folds."""
    source = real_data / "books73_512" / "train"
    build_dataset(
        source, tmp_path / "out", resized(load("photos224"), "24x24"),
        Recipe(copies=2, balance="max"),
    )  # fmt: skip
    opened = OpenDataset.open(tmp_path / "out")
    whole = opened.samples()
    sizes = np.bincount(whole.labels)
    assert len(set(sizes.tolist())) > 1
    for fold in range(5):
        training, held_out = opened.fold(fold, folds=5)
        with StreamingLoader(tmp_path / "out", batch_size=16, samples=training) as loader:
            labels = np.concatenate([batch.labels for batch in loader.epoch(fold)])
        there = np.unique(training.labels)
        assert np.bincount(labels)[there].tolist() == [sizes.max()] * len(there)
        assert len(held_out) == len(whole) - len(training)
