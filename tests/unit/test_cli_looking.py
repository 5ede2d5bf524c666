"""The commands that look: check, preview, transforms, verify, repair, explain, prove, demo."""

import json

import numpy as np
import pytest
from PIL import Image

from materialize.cli import _COMMANDS, cli, main
from materialize.exit_codes import MEANINGS, ExitCode
from pipelines import REGISTRY, preset_names


@pytest.fixture
def run(capsys):
    """Runs a command line in this process; gives exit code, standard output and error."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A small dataset with its source beside it."""
    folder = tmp_path_factory.mktemp("looking")
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    np.savez(folder / "photos.npz", x_train=images, y_train=np.arange(12) % 2)
    options = ["--pipeline", "cifar10", "--copies", "2", "--workers", "1"]
    out = str(folder / "out")
    assert main(["build", "--source", str(folder / "photos.npz"), *options, "--output", out]) == 0
    return folder / "out"


def test_check_ends_with_1_if_there_is_an_error(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    images[3] = images[0]
    np.savez(tmp_path / "photos.npz", x_train=images, y_train=np.arange(4) % 2)
    source = ("--source", tmp_path / "photos.npz", "--workers", 1)
    code, out, _ = run("check", *source)
    assert code == ExitCode.FAILED
    assert "error: labels: 1 images" in out
    code, out, _ = run("check", *source, "--allow-label-conflicts", "--json")
    assert code == ExitCode.DONE
    assert [f["severity"] for f in json.loads(out)["findings"]] == ["warning", "warning"]


def test_check_says_how_much_a_build_would_write(run):
    code, out, _ = run(
        "check", "--source", "digits", "--pipeline", "digits", "--copies", 3, "--workers", 1
    )
    assert code == ExitCode.DONE
    assert "1,797 images (1,797 train) of 8 × 8, grey, 10 classes" in out
    assert "5,391 images of 8 × 8 × 1 in 3 shards" in out


DIGITS = ("check", "--source", "digits", "--workers", 1)


def test_check_shows_splits_and_folds_and_proves_them(run):
    code, out, _ = run(*DIGITS, "--split", "0.8/0.1/0.1", "--folds", 5)
    assert code == ExitCode.DONE
    assert "1,797 contents and 0 groups compared: none is in two splits" in out
    assert "contents and 0 groups compared: none is in two folds" in out
    (total, folded) = (line.split() for line in out.splitlines() if line.startswith("all "))
    assert total == ["all", "1,437", "180", "180"]
    assert sum(map(int, folded[1:])) == 1437


def test_check_says_the_same_in_json(run):
    _, out, _ = run(*DIGITS, "--split", "80/20", "--folds", 3, "--json", "--near-duplicates")
    facts = json.loads(out)
    assert facts["splits"]["totals"] == [1438, 359, 0]
    assert sum(facts["folds"]["totals"]) == 1438
    assert facts["splits"]["is_whole"]
    assert facts["folds"]["is_whole"]
    assert facts["near_duplicates"] == []


def test_check_says_if_nobody_looked_for_near_duplicates(run):
    assert "near duplicates" not in run(*DIGITS)[1]
    _, out, _ = run(*DIGITS, "--no-near-duplicates")
    assert "Nobody looked for near duplicates; --near-duplicates does." in out


def test_check_finds_a_picture_that_was_encoded_again(run, tmp_path):
    coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    image = Image.fromarray(coarse).resize((90, 90))
    for split, name in (("train", "x.png"), ("test", "y.jpg")):
        (tmp_path / split / "a").mkdir(parents=True)
        image.save(tmp_path / split / "a" / name)
    given = ("check", "--source", tmp_path, "--workers", 1)
    code, out, _ = run(*given)
    assert code == ExitCode.DONE
    assert "1 of them in different splits or folds: train/a/x.png (train) ≈ test/a/y.jpg" in out
    (pair,) = json.loads(run(*given, "--json")[1])["near_duplicates"]
    assert (pair["first"], pair["second"]) == ("train/a/x.png", "test/a/y.jpg")


def test_dividing_what_is_divided_ends_with_2(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "photos.npz", x_train=images[:3], x_test=images[3:])
    code, _, err = run("check", "--source", tmp_path / "photos.npz", "--split", "0.8/0.2")
    assert code == ExitCode.USAGE
    assert "without splits of its own" in err


@pytest.mark.parametrize("folds", [0, 1, 128])
def test_folds_out_of_reach_end_with_2(run, folds):
    assert run(*DIGITS, "--folds", folds)[0] == ExitCode.USAGE


@pytest.mark.parametrize("kind", ["copies", "steps", "grid"])
def test_preview_writes_a_png(run, tmp_path, kind):
    png = tmp_path / "preview.png"
    code, out, _ = run(
        "preview", "--source", "digits", "--pipeline", "digits", "--kind", kind, "--output", png,
        "--workers", 1,
    )  # fmt: skip
    assert code == ExitCode.DONE
    with Image.open(png) as picture:
        assert picture.format == "PNG"
        assert f"{picture.width} × {picture.height}" in out


def test_preview_shows_named_images(run, tmp_path):
    given = ("preview", "--source", "digits", "--kind", "grid", "--output", tmp_path / "a.png")
    assert run(*given, "--image", "row:7", "--workers", 1)[0] == ExitCode.DONE
    assert run(*given, "--image", "row:x", "--workers", 1)[0] == ExitCode.USAGE


def test_preview_of_an_unknown_kind_ends_with_2(run, tmp_path):
    code, _, err = run("preview", "--source", "digits", "--kind", "film")
    assert code == ExitCode.USAGE
    assert "copies, steps, grid" in err


@pytest.mark.parametrize("name", ["x.jpg", "x", "x.png.jpeg"])
def test_preview_writes_nothing_but_png(run, tmp_path, name):
    given = ("--source", "digits", "--kind", "grid", "--output", tmp_path / name)
    code, _, err = run("preview", *given)
    assert code == ExitCode.USAGE
    assert "expected a .png" in err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("number", [0, -1])
def test_preview_of_no_image_ends_with_2(run, tmp_path, number):
    given = ("--source", "digits", "--kind", "grid", "--output", tmp_path / "x.png")
    assert run("preview", *given, "--num-images", number)[0] == ExitCode.USAGE


def test_transforms_lists_all_of_them_and_all_presets(run):
    _, out, _ = run("transforms")
    assert all(f"\n{name} " in out for name in (*REGISTRY, *preset_names()))
    _, out, _ = run("transforms", "--json")
    assert set(json.loads(out)["transforms"]) == set(REGISTRY)


def test_a_preset_is_shown_as_a_file_to_start_from(run, tmp_path):
    _, out, _ = run("transforms", "cifar10")
    mine = tmp_path / "mine.toml"
    mine.write_text(out)
    assert (
        run("check", "--source", "digits", "--pipeline", mine, "--workers", 1)[0] == ExitCode.DONE
    )


def test_a_transform_is_shown_with_its_options(run):
    assert "by, keep_aspect = false" in run("transforms", "zoom")[1]
    said = run("transforms", "elastic")[1]
    assert "alpha = [low, high], sigma_px" in said
    assert "\n    " not in said
    assert run("transforms", "zom")[0] == ExitCode.USAGE


def test_verify_of_an_intact_dataset_ends_with_0(run, dataset):
    code, out, _ = run("verify", dataset, "--deep", "--workers", 1)
    assert code == ExitCode.DONE
    assert out.startswith("intact: 2 shards")
    _, out, _ = run("verify", dataset, "--json", "--workers", 1)
    assert json.loads(out)["is_intact"] is True


def test_damage_ends_with_4_and_repair_mends_it(run, dataset):
    shard = next((dataset / "shards").iterdir())
    good = shard.read_bytes()
    shard.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    code, out, _ = run("verify", dataset, "--workers", 1)
    assert code == ExitCode.DAMAGE
    assert f"shard-bytes: shards/{shard.name}" in out
    code, out, _ = run("repair", dataset, "--workers", 1)
    assert code == ExitCode.DONE
    assert "repaired shard-bytes" in out
    assert shard.read_bytes() == good
    assert "nothing was damaged" in run("repair", dataset, "--workers", 1)[1]


def test_deep_contradicts_another_depth(run, dataset):
    assert run("verify", dataset, "--deep", "--depth", "hashes")[0] == ExitCode.USAGE
    assert run("verify", dataset, "--depth", "abyss")[0] == ExitCode.USAGE


def test_explain_draws_and_proves(run, dataset, tmp_path):
    png = tmp_path / "why.png"
    code, out, _ = run("explain", dataset, "--sample", "row:3", "--copy", 1, "--png", png)
    assert code == ExitCode.DONE
    assert "equal, byte for byte" in out
    assert png.stat().st_size > 100
    _, out, _ = run("explain", dataset, "--sample", "row:3", "--copy", 1, "--json")
    assert json.loads(out)["is_equal"] is True


def test_explain_of_a_damaged_shard_ends_with_4(run, dataset):
    _, out, _ = run("explain", dataset, "--sample", "row:3", "--copy", 1, "--json")
    shard = dataset / "shards" / json.loads(out)["shard"]
    good = shard.read_bytes()
    try:
        shard.write_bytes(good[: len(good) // 2])
        code, out, _ = run("explain", dataset, "--sample", "row:3", "--copy", 1)
        assert code == ExitCode.DAMAGE
        assert "problem  " in out
        shard.unlink()
        assert run("explain", dataset, "--sample", "row:3", "--copy", 1)[0] == ExitCode.DAMAGE
    finally:
        shard.write_bytes(good)


def test_explain_of_an_unknown_copy_ends_with_2(run, dataset):
    code, _, err = run("explain", dataset, "--sample", "row:3", "--copy", 9)
    assert code == ExitCode.USAGE
    assert "got 9" in err


def test_prove_compares_ways_to_build(run, monkeypatch):
    from materialize.audit import proof

    equal = proof.ProofRun("1 worker", "ab" * 32, "ab" * 32, 0.1)
    other = proof.ProofRun("2 workers", "cd" * 32, "ab" * 32, 0.1)
    given = ("prove", "--source", "digits", "--pipeline", "digits", "--copies", 2, "--limit", 0)
    told = {}

    def fake(source, pipeline, recipe, *, runs, **settings):
        told.update(settings)
        return proof.ProofReport(runs, 10, 2, ())

    monkeypatch.setattr(proof, "prove", lambda *a, **s: fake(*a, runs=(equal,), **s))
    assert run(*given)[0] == ExitCode.DONE
    assert told["limit"] is None
    monkeypatch.setattr(proof, "prove", lambda *a, **s: fake(*a, runs=(equal, other), **s))
    code, out, _ = run(*given)
    assert code == ExitCode.DAMAGE
    assert "DIFFER" in out


def test_the_demo_goes_all_the_way(run, tmp_path):
    code, out, _ = run("demo", "--output", tmp_path / "demo", "--seeds", 1)
    assert code == ExitCode.DONE
    assert "intact: 6 shards" in out
    assert "Equivalence holds" in out
    end = out[out.index("manifest ", out.index("intact")) :]
    for page in ("copies.png", "steps.png", "grid.png", "contrast/contrast.html"):
        assert f"  {tmp_path / 'demo' / page}\n" in end
    assert out.splitlines()[-1].startswith(f"  materialize extend {tmp_path / 'demo' / 'digits'}")
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {
        "contrast", "digits", "copies.png", "steps.png", "grid.png"
    }  # fmt: skip


def test_help_names_every_command_and_every_exit_code(run):
    code, out, _ = run("--help")
    assert code == ExitCode.DONE
    assert all(f"  {name} " in out for name in _COMMANDS)
    assert all(f"  {number.value} " in out for number in MEANINGS)
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_has_help_of_its_own(run, name):
    code, out, _ = run(name, "--help")
    assert code == ExitCode.DONE
    assert f"Usage: materialize {name}" in out
    assert cli.get_command(None, name).name == name


def test_every_option_of_a_build_is_a_key_of_the_job_file():
    """But for what concerns one call: how it reports, and what it may cost where it runs."""
    from materialize.config import OPTION_NAMES

    build = cli.get_command(None, "build")
    options = {parameter.name for parameter in build.params} - {"job_file", "as_json"}
    limits = {"budget_gb", "budget_money", "service", "prices_file", "estimate"}
    assert options == set(OPTION_NAMES) | limits


def test_the_version_is_the_distributions(run):
    from importlib import metadata

    assert metadata.version("materialize") in run("--version")[1]
