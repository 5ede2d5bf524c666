"""export, metadata and card on the command line."""

import json

import numpy as np
import pytest

from materialize.cli import main
from materialize.exit_codes import ExitCode
from tests.export_cases import build


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exporting") / "dataset"
    build(directory)
    return directory


@pytest.fixture
def run(capsys):
    """Runs a command line in this process; gives exit code, standard output and error."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


def test_an_export_says_what_it_wrote_and_shows_its_progress(run, dataset, tmp_path):
    code, out, err = run("export", dataset, tmp_path / "out", "--to", "folder", "--workers", 2)
    assert code == ExitCode.DONE
    assert "64 images (48 train, 8 val, 8 test) in 65 files" in out
    assert json.loads(err.splitlines()[-1])["done"] == 64
    assert "there already" in run("export", dataset, tmp_path / "out", "--to", "folder")[1]


def test_the_options_choose_what_is_exported(run, dataset, tmp_path):
    code, out, _ = run(
        "export", dataset, tmp_path / "out", "--to", "npz", "--split", "train", "--copies", "1",
        "--json",
    )  # fmt: skip
    assert code == ExitCode.DONE
    assert json.loads(out)["images_by_split"] == {"train": 24}
    with np.load(tmp_path / "out" / "train.npz") as archive:
        assert set(archive["copies"]) == {1}


def test_a_wrong_form_is_a_wrong_option(run, dataset, tmp_path):
    code, _, err = run("export", dataset, tmp_path / "out", "--to", "zip")
    assert code == ExitCode.USAGE
    assert "expected one of folder, npz, tfrecord, webdataset" in err


def test_another_folder_is_a_conflict(run, dataset, tmp_path):
    (tmp_path / "mine").write_text("mine")
    code, _, err = run("export", dataset, tmp_path, "--to", "npz")
    assert code == ExitCode.PLAN_CONFLICT
    assert "choose another output" in err


def test_metadata_needs_what_only_people_know(run, dataset):
    code, out, err = run("metadata", dataset, "--licence", "MIT")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "no metadata was written: Croissant needs creator, date" in err
    assert not (dataset / "croissant.json").exists()


def test_metadata_from_a_file_and_options(run, dataset, tmp_path):
    (tmp_path / "about.toml").write_text('licence = "MIT"\ncreator = "X"\ndate = "2026-01-01"\n')
    code, out, _ = run(
        "metadata", dataset, "--about", tmp_path / "about.toml", "--name", "noise", "--output",
        tmp_path, "--json",
    )  # fmt: skip
    assert code == ExitCode.DONE
    assert json.loads(out)["num_records"] == 88
    assert json.loads((tmp_path / "croissant.json").read_bytes())["name"] == "noise"


def test_a_card_is_written_where_it_says(run, dataset, tmp_path):
    code, out, _ = run("card", dataset, "--license", "MIT", "--output", tmp_path / "CARD.md")
    assert (code, out.strip()) == (ExitCode.DONE, str(tmp_path / "CARD.md"))
    assert 'license: "mit"' in (tmp_path / "CARD.md").read_text()


@pytest.mark.parametrize("command", ["export", "metadata", "card"])
def test_the_help_has_examples(run, command):
    code, out, _ = run(command, "--help")
    assert code == ExitCode.DONE
    assert f"materialize {command} photos-augmented" in out
