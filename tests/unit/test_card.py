"""A dataset card: true figures, code that runs, and the block that dataset hubs read."""

import re
import tomllib

import numpy as np
import pytest

from materialize import About, build, write_card
from materialize.errors import ConfigError
from materialize.manifest import load_latest
from pipelines import from_dict, load, preset_names
from pipelines.serialization import canonical_text, to_toml
from tests.export_cases import CLASSES, pictures
from tests.export_cases import build as build_cases

ABOUT = About(
    name="noise", licence="CC-BY-4.0", creator=("A Person",), date="2026-03-01",
    citation="@misc{noise}", tasks=("image-classification",),
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("card") / "noise-augmented"
    build_cases(directory)
    return directory


@pytest.fixture(scope="module")
def card(dataset):
    return write_card(dataset, ABOUT).read_text("utf-8")


def section(card, title):
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE)[1]


def test_the_python_lines_run(dataset, card, monkeypatch, capsys):
    """In the folder that holds the dataset, as the card says."""
    monkeypatch.chdir(dataset.parent)
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # it is our own card
    assert "(24, 8, 8, 3)" in capsys.readouterr().out


def test_the_toml_is_the_pipeline(dataset, card):
    (text,) = re.findall(r"```toml\n(.*?)```", card, re.DOTALL)
    assert canonical_text(from_dict(tomllib.loads(text))) == load_latest(dataset).pipeline


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_survives_being_written_down(name):
    text = to_toml(load(name))
    assert canonical_text(from_dict(tomllib.loads(text))) == canonical_text(load(name))


def test_what_differs_from_defaults_is_written_down():
    """Border, fill, interpolation, an id, intervals, steps within steps: none may be lost."""
    facts = {
        "border": "constant", "fill": [1.5, 2.0, 255.0], "interpolation": "nearest",
        "step": [{"transform": "rotation", "max_deg": 7.5, "id": 'a "b"'},
                 {"transform": "one_of", "weights": [1.0, 2.0], "probability": 0.5, "steps": [
                     {"transform": "erasing", "fill": "noise"},
                     {"transform": "sequence", "steps": [{"transform": "zoom", "by": 0.1}]}]},
                 {"transform": "brightness", "factor": [0.8, 1.2]}],
    }  # fmt: skip
    pipeline = from_dict(facts)
    again = from_dict(tomllib.loads(to_toml(pipeline)))
    assert canonical_text(again) == canonical_text(pipeline)


def test_the_table_counts_images_by_split_and_class(card):
    rows = [line.strip("| ").split(" | ") for line in section(card, "Images").splitlines()[2:]]
    counts = {name: numbers for name, *numbers in rows if name}
    assert counts["all"] == ["24", "8", "8"]
    assert counts["stored, with copies"] == ["72", "8", "8"]
    assert set(CLASSES) < set(counts)
    assert sum(int(counts[name][0]) for name in CLASSES) == 24


def test_the_storage_is_what_the_files_take(dataset, card):
    manifest = load_latest(dataset)
    total = sum(path.stat().st_size for path in (dataset / "shards").iterdir())
    assert manifest.totals.num_bytes == total
    assert f"| bytes of shards | {total:,} |" in section(card, "Storage")


def test_hubs_find_their_block_in_front(card):
    front = card.split("---\n")[1]
    assert front.splitlines() == [
        'pretty_name: "noise"',
        'license: "cc-by-4.0"',
        'task_categories: ["image-classification"]',
        'size_categories: ["n<1K"]',
        'tags: ["image", "augmented", "materialize"]',
    ]


def test_digest_rights_and_provenance_are_there(dataset, card):
    manifest = load_latest(dataset)
    assert manifest.digest() in section(card, "How to verify it")
    assert "https://spdx.org/licenses/CC-BY-4.0" in section(card, "Rights")
    assert "@misc{noise}" in section(card, "Citation")
    assert manifest.populations[0].digest in section(card, "Provenance")
    assert "| seed | 5 |" in section(card, "Provenance")


def test_nothing_is_said_of_rights_that_nobody_told(dataset, tmp_path):
    card = write_card(dataset, output=tmp_path / "CARD.md").read_text("utf-8")
    assert "## Rights" not in card
    assert "license:" not in card


def test_the_same_dataset_gives_the_same_card(dataset, card, tmp_path):
    build_cases(tmp_path / "noise-augmented")
    assert write_card(tmp_path / "noise-augmented", ABOUT).read_text("utf-8") == card


def test_a_readme_of_somebody_else_is_not_replaced(dataset, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="found another file"):
        write_card(dataset, output=tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_card_is_replaced(dataset, tmp_path):
    write_card(dataset, output=tmp_path / "README.md")
    write_card(dataset, ABOUT, output=tmp_path / "README.md")
    assert "# noise\n" in (tmp_path / "README.md").read_text("utf-8")


def test_many_classes_end_in_one_line_and_odd_names_stay_in_their_cell(tmp_path):
    images, _ = pictures(80)
    names = [f"a|b {number:02d}" for number in range(40)]
    labels = np.array(names)[np.arange(80) % 40]
    build((images, labels), tmp_path / "dataset", pipeline="cifar10", copies=1)
    lines = section(write_card(tmp_path / "dataset").read_text("utf-8"), "Images").splitlines()
    assert "| a\\|b 00 | 2 |" in lines
    assert "| 10 more classes | 20 |" in lines
    assert {line.replace("\\|", "").count("|") for line in lines if line} == {3}


def test_the_commands_of_the_card_quote_the_name(tmp_path):
    """A shell takes it for one word."""
    build_cases(tmp_path / "my data; x")
    card = write_card(tmp_path / "my data; x", ABOUT).read_text("utf-8")
    assert "materialize verify 'my data; x'  " in card
    assert "materialize verify 'my data; x' --deep" in card
