"""The page of a dataset: what it says is what the dataset is, takes and costs."""

import base64
import io
import json
import os
import re
import shlex
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from materialize import build, extend
from materialize.accounting.foresight import Foresight, Prediction
from materialize.accounting.prices import read_prices
from materialize.audit.standing import StandingDataset
from materialize.builder import build_dataset
from materialize.commands.building import build as build_command
from materialize.errors import ConfigError
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.removal import remove_samples
from materialize.report import dataset_charts, dataset_sentences, dataset_tables, stored_copies
from materialize.report.dataset_facts import gather_facts
from materialize.report.dataset_figures import key_figures
from materialize.report.dataset_page import dataset_json, render_dataset
from materialize.shards.reader import ShardReader
from pipelines import from_dict, load
from pipelines.serialization import fingerprint
from tests.jobs import build_photos, photos
from tests.report_cases import write_photos

SERVICES = ("s3-standard", "s3-glacier-instant")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Thirty images of three classes, two copies and the originals."""
    place = tmp_path_factory.mktemp("dataset")
    words = np.random.Generator(np.random.PCG64(3))
    images = words.integers(0, 256, (30, 12, 12, 3), np.uint8)
    np.savez(place / "photos.npz", x_train=images, y_train=np.arange(30) % 3)
    build(place / "photos.npz", place / "photos", pipeline="cifar10", copies=2, seed=5,
          originals=True)  # fmt: skip
    return place / "photos"


@pytest.fixture(scope="module")
def facts(directory):
    """What the page is drawn from."""
    return gather_facts(directory, read_prices(), SERVICES, Decimal(6))


@pytest.fixture(scope="module")
def page(facts):
    """The page as text."""
    return render_dataset(facts).decode()


@pytest.fixture
def six(tmp_path):
    """The path of six images."""
    images = np.arange(6 * 8 * 8 * 3, dtype=np.uint64).astype(np.uint8).reshape(6, 8, 8, 3)
    np.savez(tmp_path / "photos.npz", x_train=images, y_train=np.arange(6) % 2)
    return tmp_path / "photos.npz"


def _texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def _built_again(facts, tmp_path, monkeypatch):
    """What the command and the file on the page build."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.toml").write_text(dataset_sentences.pipeline_file(facts), "utf-8")
    words = shlex.split(dataset_sentences.build_command(facts).replace("\\\n", " "))
    outcome = CliRunner().invoke(
        build_command, [*words[2:], "--workers", "1"], standalone_mode=False
    )
    assert outcome.exception is None
    return StandingDataset.open(tmp_path / "AGAIN").manifest


def test_the_first_sentence_says_what_it_is_takes_and_costs(facts):
    """Images, bytes, money and what a copy is of both."""
    said = dataset_sentences.summary_line(facts)
    assert said.startswith("photos has 30 images of 3 classes, with 2 augmented copies of each of "
                           "30 training images and the untouched images stored.")  # fmt: skip
    assert "times the" in said
    assert "A month at Amazon S3 Standard costs $0.000" in said
    assert "one copy of every training image" in said


def test_without_a_price_nothing_is_said_to_cost(directory):
    """Unpriced is not free."""
    book = read_prices()
    services = {"s3-standard": replace(book.services["s3-standard"], storage=())}
    unpriced = gather_facts(directory, replace(book, services=services))
    assert "unpriced" in dataset_sentences.what_it_costs(unpriced)
    assert "$" not in dataset_sentences.summary_line(unpriced)
    assert "unpriced" in dataset_charts.cost_chart(unpriced).wide
    assert "data-value" not in dataset_charts.cost_chart(unpriced).wide


def test_the_kinds_add_up_to_the_files(facts, directory):
    """In the table as on the disk."""
    rows = dataset_tables.kinds_table(facts).rows
    sizes = [int(row[1].parts[0].value) for row in rows]
    on_disk = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    assert sum(sizes[:-1]) == sizes[-1] == on_disk


def test_a_copy_costs_its_share_of_the_month(facts):
    """By the bytes of the shards."""
    month = facts.month.services[0].storage
    share = Decimal(dataset_sentences.copy_bytes(facts)) / facts.month.stored_bytes
    assert dataset_sentences.copy_cost(facts, month) == pytest.approx(month.total * share)


def test_every_figure_says_how_it_came_about(facts):
    """Formula, inputs, source."""
    figures = key_figures(facts)
    assert len(figures) >= 8
    for figure in figures:
        assert figure.derivation.formula
        assert figure.derivation.source
        assert figure.derivation.inputs


def test_keyed_figures_are_the_facts_at_that_place(facts):
    """So that a program finds them."""
    known = dataset_json(facts)
    keyed = [figure for figure in key_figures(facts) if figure.key]
    assert keyed
    for figure in keyed:
        section, name = figure.key.split(".")
        assert figure.value.parts[0].value == known[section][name]


def test_the_pipeline_on_the_page_is_a_file_that_loads(facts, tmp_path):
    """With the fingerprint of the dataset's own."""
    path = tmp_path / "pipeline.toml"
    path.write_text(dataset_sentences.pipeline_file(facts), "utf-8")
    assert fingerprint(load(path)) == facts.dataset.manifest.pipeline_fingerprint


def test_the_command_on_the_page_builds_the_same_shards(facts, tmp_path, monkeypatch):
    """Its options decide every byte."""
    again = _built_again(facts, tmp_path, monkeypatch)
    assert [e.file_sha256 for e in again.shards] == [
        e.file_sha256 for e in facts.dataset.manifest.shards
    ]


def test_the_pictures_are_the_stored_pixels(facts, directory):
    """Of small images exactly, level by level."""
    row = facts.copies.rows[0]
    assert [picture.title for picture in row.pictures] == ["original", "copy 0", "copy 1"]
    for number, picture in zip((-1, 0, 1), row.pictures, strict=True):
        entry = next(e for e in facts.dataset.manifest.shards if e.spec.copy == number)
        with ShardReader(directory / "shards" / entry.file, entry) as reader:
            ids = [each.tobytes().hex() for each in reader.sample_ids]
            stored = np.array(reader.images[ids.index(row.sample_id)])
        shown = Image.open(io.BytesIO(base64.b64decode(picture.url.partition(",")[2])))
        assert np.array_equal(np.asarray(shown), stored)


def test_the_pictures_say_what_was_drawn(facts):
    """Every step of the pipeline but flips that did not happen."""
    for row in facts.copies.rows:
        for picture in row.pictures[1:]:
            assert any(line.startswith("rotation ") for line in picture.lines)
            assert all(line in picture.alternative for line in picture.lines)


def test_the_pictures_have_a_limit(facts, monkeypatch):
    """Rows that do not fit are left out, whole ones."""
    assert sum(p.num_bytes for row in facts.copies.rows for p in row.pictures) <= 300_000
    one = sum(picture.num_bytes for picture in facts.copies.rows[0].pictures)
    monkeypatch.setattr(stored_copies, "LIMIT_BYTES", one)
    assert len(stored_copies.stored_copies(facts.dataset).rows) == 1


def test_an_original_that_is_lost_is_left_out(six, tmp_path):
    """The copies are shown without it."""
    build(six, tmp_path / "out", pipeline="cifar10", copies=1)
    six.unlink()
    found = stored_copies.stored_copies(StandingDataset.open(tmp_path / "out")).rows
    assert {tuple(p.title for p in row.pictures) for row in found} == {("copy 0",)}


@pytest.mark.parametrize("storage", ["prefix", "recipe"])
def test_a_dataset_without_copies_has_no_pictures_of_them(six, tmp_path, storage):
    """And says when they are made."""
    build(six, tmp_path / "out", pipeline="cifar10", copies=2, storage=storage)
    facts = gather_facts(tmp_path / "out", read_prices(), SERVICES)
    assert 'id="images"' not in render_dataset(facts).decode()
    assert "when they are read" in dataset_sentences.what_it_is(facts)


def test_an_estimate_is_held_against_what_came(facts):
    """Error, and whether the interval holds it."""
    seen = Prediction(value=95.0, low=90.0, high=99.0, actual=100.0)
    foresight = Foresight(shards_bytes=seen, seconds=None, remark="")
    account = replace(facts.account, foresight=foresight)
    (row,) = _texts(dataset_tables.foresight_table(account))
    assert row == ["bytes of the shards", "95 B", "90 B", "99 B", "100 B", "−5.0 %", "no"]
    assert "95.0 %" in dataset_charts.foresight_chart(account).description


def test_many_classes_end_in_one_line():
    """The largest are shown; the rest is a sum, and nothing is lost."""
    parts = {f"class {number}": 1000 - number for number in range(200)}
    table = dataset_tables.parts_table("Bytes in the shards by class", parts)
    assert len(table.rows) == dataset_tables.CLASSES_SHOWN + 2
    assert _texts(table)[-2][0] == "170 others"
    sizes = [int(row[1].parts[0].value) for row in table.rows]
    assert sum(sizes[:-1]) == sizes[-1] == sum(parts.values())


def test_what_is_left_out_is_listed_with_its_reason(tmp_path):
    """By name."""
    write_photos(tmp_path / "photos")
    build(tmp_path / "photos", tmp_path / "out", pipeline="cifar10", copies=1,
          options=BuildOptions(max_bad=0.5))  # fmt: skip
    facts = gather_facts(tmp_path / "out", read_prices(), SERVICES)
    (row,) = _texts(dataset_tables.quarantine_table(facts))
    assert row[0] == "cat/broken.png"
    assert row[1]
    assert 'id="inputs"' in render_dataset(facts).decode()


def test_equal_datasets_give_equal_pages(directory, page):
    """As long as the disk does not change."""
    again = gather_facts(directory, read_prices(), SERVICES, Decimal(6))
    assert render_dataset(again).decode() == page


def test_the_page_carries_its_facts(facts, page):
    """For programs."""
    found = re.search(r'id="facts">(.*?)</script>', page, re.DOTALL).group(1)
    assert json.loads(found) == json.loads(json.dumps(dataset_json(facts)))


def test_an_unknown_service_is_refused(directory):
    """By its name."""
    with pytest.raises(ConfigError, match="s3-standart"):
        gather_facts(directory, read_prices(), ("s3-standart",))


def test_many_copies_are_one_part_of_a_bar(facts):
    """A thousand hairlines say nothing; the sum is the same."""
    cell = facts.account.cells[0]
    cells = tuple(replace(cell, class_name="a", copy=copy) for copy in range(-1, 1000))
    account = replace(facts.account, cells=cells, by_class={"a": 1001 * cell.num_bytes})
    drawn = dataset_charts.classes_chart(account).wide
    values = re.findall(r'data-value="(\d+)"', drawn)
    assert ">all copies<" in drawn
    assert list(map(int, values)) == [cell.num_bytes, 1000 * cell.num_bytes]


def test_the_command_is_exact_to_the_last_bit(tmp_path, monkeypatch):
    """A rounded size of shards or range of values would be another digest."""
    images = np.random.default_rng(0).random((20, 8, 8, 3), np.float32) * 3.1
    np.savez(tmp_path / "f.npz", images=images, labels=np.arange(20) % 3)
    recipe = Recipe(copies=2, shard_bytes=12_945, value_range=(0.0, 3.14159265))
    pipeline = from_dict({"step": [{"transform": "rotation", "max_deg": 10}]})
    first = build_dataset(tmp_path / "f.npz", tmp_path / "out", pipeline, recipe).manifest
    facts = gather_facts(tmp_path / "out", read_prices(), SERVICES)
    again = _built_again(facts, tmp_path, monkeypatch)
    assert [e.file_sha256 for e in again.shards] == [e.file_sha256 for e in first.shards]


def test_no_command_builds_what_was_removed_from(six, tmp_path):
    """The page says why instead."""
    build(six, tmp_path / "out", pipeline="cifar10", copies=1)
    sample = StandingDataset.open(tmp_path / "out").populations[0].ids[0].tobytes().hex()
    remove_samples(tmp_path / "out", [sample])
    page = render_dataset(gather_facts(tmp_path / "out", read_prices(), SERVICES)).decode()
    assert "materialize build" not in page
    assert "1 image was removed" in page


def test_no_command_builds_several_generations(six, tmp_path):
    """The page says why instead."""
    build(six, tmp_path / "out", pipeline="cifar10", copies=1)
    more = np.full((2, 8, 8, 3), 7, np.uint8) + np.arange(2, dtype=np.uint8)[:, None, None, None]
    np.savez(tmp_path / "more.npz", x_train=more, y_train=np.arange(2))
    extend(tmp_path / "out", source=tmp_path / "more.npz")
    page = render_dataset(gather_facts(tmp_path / "out", read_prices(), SERVICES)).decode()
    assert "materialize build" not in page
    assert "came in 2 generations" in page


def test_a_class_name_is_no_markup(tmp_path):
    """Whoever names a folder writes no page."""
    name = "<img src=x onerror=alert(1)>"
    source = photos(tmp_path / "photos")
    (source / "a").rename(source / name)
    build_photos(source, tmp_path / "out")
    page = render_dataset(gather_facts(tmp_path / "out", read_prices(), SERVICES)).decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_a_file_name_that_is_not_utf8_is_on_the_page(tmp_path):
    """Of an input that was left out; what cannot be written is a question mark."""
    source = photos(tmp_path / "photos")
    (source / "a" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    build_photos(source, tmp_path / "out", max_bad=1)
    page = render_dataset(gather_facts(tmp_path / "out", read_prices(), SERVICES)).decode("utf-8")
    assert "a/caf?.png" in page


def test_copies_are_shown_beside_their_own_original_where_classes_are_balanced(tmp_path):
    """Shards of later copies have fewer rows than those before them."""
    images = np.random.default_rng(4).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    still = from_dict({"step": [{"transform": "horizontal_flip", "probability": 0}]})
    build(
        (images, np.repeat([0, 1], [24, 6])), tmp_path / "out", pipeline=still, copies=2,
        balance="max", originals=True,
    )  # fmt: skip
    rows = stored_copies.stored_copies(StandingDataset.open(tmp_path / "out")).rows
    assert rows
    for row in rows:
        assert len({picture.url for picture in row.pictures}) == 1
