"""build, extend and finish on the command line: files equal options, and exit codes tell."""

import itertools
import json

import numpy as np
import pytest

from materialize.cli import main
from materialize.exit_codes import ExitCode
from materialize.manifest import load_latest

IMAGES = 24


@pytest.fixture
def photos(tmp_path):
    """An .npz of 24 images of two classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "photos.npz", x_train=images, y_train=np.arange(IMAGES) % 2)
    return tmp_path / "photos.npz"


@pytest.fixture
def run(capsys):
    """Runs a command line in this process; gives exit code, standard output and error."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


def build_arguments(photos, out, **more):
    given = {
        "source": photos, "pipeline": "cifar10", "copies": 2, "seed": 7, "workers": 1, "output": out
    } | more  # fmt: skip
    return ["build", *(word for name, value in given.items() for word in (f"--{name}", value))]


def test_a_build_prints_its_account_and_ends_with_0(run, photos, tmp_path):
    code, out, err = run(*build_arguments(photos, tmp_path / "out"))
    assert code == ExitCode.DONE
    assert load_latest(tmp_path / "out").digest() in out
    assert all(json.loads(line)["stage"] in ("scan", "build") for line in err.splitlines())


def test_a_job_file_equals_the_options(run, photos, tmp_path):
    run(*build_arguments(photos, tmp_path / "by-options", codec="zstd"))
    job = tmp_path / "job.toml"
    job.write_text(
        'source = "photos.npz"\npipeline = "cifar10"\ncopies = 2\nseed = 7\nworkers = 1\n'
        'codec = "zstd"\noutput = "by-file"\n'
    )
    assert run("build", "--job", job)[0] == ExitCode.DONE
    digests = {load_latest(tmp_path / name).digest() for name in ("by-options", "by-file")}
    assert len(digests) == 1


def test_options_beat_the_job_file(run, photos, tmp_path):
    job = tmp_path / "job.toml"
    job.write_text(
        'source = "photos.npz"\npipeline = "cifar10"\ncopies = 2\noutput = "out"\noriginals = true'
    )
    run("build", "--job", job, "--copies", 3, "--no-originals", "--workers", 1)
    manifest = load_latest(tmp_path / "out")
    assert (manifest.copies, manifest.totals.num_shards) == (3, 3)


def test_json_is_the_only_thing_on_standard_output(run, photos, tmp_path):
    _, out, _ = run(*build_arguments(photos, tmp_path / "out"), "--json")
    facts = json.loads(out)
    assert facts["num_images_written"] == 2 * IMAGES
    assert facts["manifest_digest"] == load_latest(tmp_path / "out").digest()


def test_the_same_command_again_builds_nothing(run, photos, tmp_path):
    run(*build_arguments(photos, tmp_path / "out"))
    code, out, _ = run(*build_arguments(photos, tmp_path / "out"), "--json")
    assert (code, json.loads(out)["num_built"]) == (ExitCode.DONE, 0)


def test_another_plan_on_the_same_output_ends_with_5(run, photos, tmp_path):
    run(*build_arguments(photos, tmp_path / "out"))
    code, _, err = run(*build_arguments(photos, tmp_path / "out", seed=8))
    assert code == ExitCode.PLAN_CONFLICT
    assert "seed is 7 there and 8 here" in err


def test_no_time_ends_with_75_and_the_next_run_goes_on(run, photos, tmp_path, monkeypatch):
    answers = itertools.chain([False, False], itertools.repeat(True))  # late after one shard
    monkeypatch.setattr("materialize.job._is_late", lambda _: next(answers))
    arguments = build_arguments(photos, tmp_path / "out", **{"max-seconds": 9})
    code, _, err = run(*arguments, "--no-estimate")  # whose trial would use up the answers
    monkeypatch.undo()
    assert code == ExitCode.AGAIN
    assert "Run the same command again" in err
    assert run(*build_arguments(photos, tmp_path / "out"))[0] == ExitCode.DONE


def test_folds_of_a_pipeline_that_mixes_nothing_are_answered(run, photos, tmp_path):
    """They change no byte; so say a build, a part of one, and a job file."""
    job = tmp_path / "job.toml"
    job.write_text(
        'source = "photos.npz"\npipeline = "cifar10"\ncopies = 2\nseed = 7\nworkers = 1\n'
        'folds = 5\noutput = "by-file"\n'
    )
    code, _, err = run("build", "--job", job)
    assert code == ExitCode.DONE
    assert "so the 5 folds changed nothing" in err
    _, _, err = run(*build_arguments(photos, tmp_path / "parts", part="1/2", folds=3))
    assert "so the 3 folds changed nothing" in err
    _, out, _ = run(*build_arguments(photos, tmp_path / "whole", folds=4), "--json")
    assert "so the 4 folds changed nothing" in json.loads(out)["warnings"][0]
    run(*build_arguments(photos, tmp_path / "without"))
    digests = {load_latest(tmp_path / name).digest() for name in ("by-file", "whole", "without")}
    assert len(digests) == 1


def test_parts_are_published_by_finish(run, photos, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run(*build_arguments(photos, out, part="1/2"))
    assert code == ExitCode.DONE
    assert f"materialize finish {out}" in said
    code, _, err = run("finish", out)
    assert code == ExitCode.AGAIN
    assert "not built yet" in err
    run(*build_arguments(photos, out, part="2/2"))
    assert run("finish", out)[0] == ExitCode.DONE
    run(*build_arguments(photos, tmp_path / "whole"))
    assert load_latest(out).digest() == load_latest(tmp_path / "whole").digest()


def test_extend_adds_copies_and_equals_a_build_in_one_go(run, photos, tmp_path):
    run(*build_arguments(photos, tmp_path / "out"))
    code, said, _ = run("extend", tmp_path / "out", "--copies", 4, "--workers", 1, "--json")
    assert (code, json.loads(said)["copies"]) == (ExitCode.DONE, 4)
    run(*build_arguments(photos, tmp_path / "whole", copies=4))
    files = [
        {entry.file_sha256 for entry in load_latest(tmp_path / name).shards}
        for name in ("out", "whole")
    ]
    assert files[0] == files[1]


def test_too_many_bad_images_end_with_3_and_are_listed(run, tmp_path):
    images = np.zeros((4, 8, 8, 3), np.float32)
    images[2, 0, 0, 0] = np.inf
    np.savez(tmp_path / "bad.npz", x_train=images)
    code, _, err = run(*build_arguments(tmp_path / "bad.npz", tmp_path / "out"))
    assert code == ExitCode.BAD_IMAGES
    assert "  row:2: not-finite: 1 values are NaN or infinite" in err
    assert not (tmp_path / "out").exists()


def test_bad_images_can_be_accepted_but_not_strictly(run, tmp_path):
    images = np.random.default_rng(0).random((4, 8, 8, 3), np.float32) * 50
    images[2, 0, 0, 0] = np.inf
    np.savez(tmp_path / "bad.npz", x_train=images)
    pipeline = tmp_path / "flip.toml"
    pipeline.write_text('[[step]]\ntransform = "horizontal_flip"')
    some = build_arguments(tmp_path / "bad.npz", tmp_path / "out", pipeline=pipeline)
    assert run(*some, "--strict")[0] == ExitCode.BAD_IMAGES
    code, out, _ = run(*some, "--max-bad", 0.5, "--json")
    assert (code, json.loads(out)["quarantined"]) == (ExitCode.DONE, {"not-finite": 1})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"copies": 0}, "copies: expected a whole number"),
        ({"workers": 0}, "workers: expected a whole number"),
        ({"batch-size": 0}, "batch-size: expected a whole number"),
        ({"shard-mb": 0}, "shard-mb: expected a number"),
        ({"max-seconds": 0}, "expected more than 0"),
        ({"codec": "zst"}, "did you mean 'zstd'? known are raw"),
        ({"pipeline": "cifar"}, "did you mean 'cifar10'"),
        ({"part": "x"}, "part: expected i/n"),
        ({"parameters": "all"}, "parameters: expected one of"),
        ({"max-bad": 2}, "max_bad: expected a fraction"),
        ({"resize": "8"}, "expected HEIGHTxWIDTH"),
        ({"layout": "flat"}, "has no option layout"),
        ({"color": "blue"}, "color must be one of"),
    ],
)
def test_wrong_values_end_with_2_and_one_line(run, photos, tmp_path, change, match):
    code, out, err = run(*build_arguments(photos, tmp_path / "out", **change))
    assert code == ExitCode.USAGE
    assert match in err
    assert (out, len(err.splitlines())) == ("", 1)


@pytest.mark.parametrize("missing", ["source", "pipeline", "copies", "output"])
def test_what_is_missing_is_named(run, photos, tmp_path, missing):
    given = build_arguments(photos, tmp_path / "out")
    at = given.index(f"--{missing}")
    code, _, err = run(*given[:at], *given[at + 2 :])
    assert code == ExitCode.USAGE
    assert f"add --{missing}" in err


@pytest.mark.parametrize(
    "arguments",
    [["bild"], ["build", "--coppies", "3"], ["build", "--copies", "three"], ["finish"]],
)
def test_usage_errors_end_with_2(run, arguments):
    assert run(*arguments)[0] == ExitCode.USAGE


def test_a_source_that_is_not_there_ends_with_1(run, tmp_path):
    code, _, err = run(*build_arguments(tmp_path / "absent", tmp_path / "out"))
    assert code == ExitCode.FAILED
    assert "does not exist" in err
    assert "expected a folder, a .csv" in err
    _, _, err = run(*build_arguments("digts", tmp_path / "out"))
    assert "did you mean digits?" in err


def test_a_dataset_that_is_not_there_ends_with_1(run, tmp_path):
    assert run("finish", tmp_path / "absent")[0] == ExitCode.FAILED
    code, _, err = run("explain", tmp_path / "absent", "--sample", "row:0")
    assert (code, "absent does not exist" in err) == (ExitCode.FAILED, True)
    assert run("extend", tmp_path / "absent", "--copies", 3)[0] == ExitCode.FAILED
