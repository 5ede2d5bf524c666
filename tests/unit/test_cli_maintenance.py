"""transcode, remove and gc on the command line: what they print, and how they end."""

import json

import pytest

from materialize.audit.standing import StandingDataset
from materialize.builder import build_dataset
from materialize.cli import main
from materialize.exit_codes import ExitCode
from materialize.manifest import load_latest
from materialize.metadata.about import About
from materialize.metadata.croissant import write_metadata
from materialize.recipe import Recipe
from tests.jobs import photos


@pytest.fixture
def out(tmp_path):
    source = photos(tmp_path / "source", 12)
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, shard_bytes=4096))
    return tmp_path / "out"


@pytest.fixture
def run(capsys):
    """Runs a command line in this process; gives exit code, standard output and error."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


def test_a_transcode_says_what_there_is_now_and_what_still_lies_there(run, out):
    code, said, _ = run("transcode", out, "--codec", "zstd", "--workers", 1)
    assert code == ExitCode.DONE
    assert "pixels in zstd: 6 shards, 6 of them written" in said
    assert "taken from what stood" in said
    assert load_latest(out).digest() in said
    assert f"materialize gc {out}" in said


def test_a_transcode_is_json_for_programs(run, out):
    facts = json.loads(run("transcode", out, "--storage", "recipe", "--json", "--workers", 1)[1])
    assert facts["storage"] == "recipe"
    assert facts["num_shards"] == 0
    assert facts["manifest_digest"] == load_latest(out).digest()
    assert facts["superseded_bytes"] > 0


def test_a_source_that_moved_is_named(run, out, tmp_path):
    run("transcode", out, "--storage", "recipe", "--workers", 1)
    run("gc", out)
    (tmp_path / "source").rename(tmp_path / "moved")
    code, _, complaint = run("transcode", out, "--storage", "pixels", "--workers", 1)
    assert code == ExitCode.FAILED
    assert "--source" in complaint
    arguments = ("--storage", "pixels", "--source", tmp_path / "moved", "--workers", 1)
    code, said, _ = run("transcode", out, *arguments)
    assert code == ExitCode.DONE
    assert "rendered from the source" in said


def test_asking_for_what_there_is_is_a_usage_error(run, out):
    for arguments in ((), ("--codec", "raw")):
        code, _, complaint = run("transcode", out, *arguments, "--workers", 1)
        assert code == ExitCode.USAGE
        assert "pixels in raw" in complaint


def test_a_removal_says_what_is_left_to_do(run, out):
    code, said, _ = run("remove", out, "--sample", "a/004.png", "--workers", 1)
    assert code == ExitCode.DONE
    assert "removed 1 image; 2 of 6 shards written again" in said
    assert f"materialize gc {out}" in said


def test_a_removal_is_json_for_programs(run, out):
    arguments = ("--sample", "a/004.png", "--json", "--workers", 1)
    facts = json.loads(run("remove", out, *arguments)[1])
    assert [len(identity) for identity in facts["removed"]] == [32]
    assert facts["num_written"] == 2


def test_a_removal_warns_of_equal_images_that_stay(run, tmp_path):
    source = photos(tmp_path / "pictures", 12)
    (source / "b" / "same.png").write_bytes((source / "a" / "004.png").read_bytes())
    out = tmp_path / "twins"
    build_dataset(source, out, "cifar10", Recipe(copies=2, shard_bytes=4096))
    _, _, complaint = run("remove", out, "--sample", "a/004.png", "--workers", 1)
    (kept,) = (
        population.ids[list(population.locators).index("b/same.png")].tobytes().hex()
        for population in StandingDataset.open(out).populations
    )
    assert "of the same content" in complaint
    assert kept in complaint


def test_a_removal_says_that_a_catalogue_names_it_until_gc(run, out):
    about = About(licence="CC0-1.0", creator=("somebody",), date="2026-01-01")
    write_metadata(out, about)
    said = run("remove", out, "--sample", "a/004.png", "--workers", 1)[1]
    assert "croissant-records.csv, croissant.json still name what was removed" in said
    assert "2 catalogue files, 1 population, 2 receipts, 2 shards" in run("gc", out)[1]


def test_a_job_file_names_codec_and_storage(run, out, tmp_path):
    job = tmp_path / "job.toml"
    job.write_text('codec = "zstd"\nworkers = 1\n')
    assert "pixels in zstd" in run("transcode", out, "--job", job)[1]
    assert "pixels in gzip" in run("transcode", out, "--job", job, "--codec", "gzip")[1]
    job.write_text('storage = "recipe"\nworkers = 1\n')
    assert "recipe in gzip: 0 shards" in run("transcode", out, "--job", job)[1]


def test_names_that_mean_nobody_are_a_usage_error(run, out):
    code, _, complaint = run("remove", out, "--sample", "nobody.png", "--workers", 1)
    assert code == ExitCode.USAGE
    assert "nobody.png" in complaint
    assert run("remove", out, "--samples-file", out / "nothing.txt")[0] == ExitCode.USAGE
    assert run("remove", out)[0] == ExitCode.USAGE
    assert load_latest(out).number == 1


def test_a_collection_lists_and_sums_what_goes(run, out):
    run("transcode", out, "--codec", "zstd", "--workers", 1)
    code, said, _ = run("gc", out)
    assert code == ExitCode.DONE
    assert said.count("shards/copy-") == 6
    assert "removed 6 receipts, 6 shards: " in said
    lines = [line.split() for line in said.splitlines() if line.startswith(" ")]
    total = sum(int(size.replace(",", "")) for size, _ in lines)
    assert f"({total:,} bytes)" in said
    assert "removed nothing: 0" in run("gc", out)[1]


def test_a_collection_says_that_a_plan_is_unfinished(run, out):
    arguments = ("--copies", 3, "--part", "1/2", "--workers", 1)
    run("extend", out, *arguments)
    assert "plan-000002.json was begun and not finished" in run("gc", out)[1]
    assert json.loads(run("gc", out, "--json")[1])["pending_plan"] == "plan-000002.json"


@pytest.mark.parametrize("command", ["transcode", "remove", "gc"])
def test_the_help_has_examples(run, command):
    assert f"materialize {command} photos-augmented" in run(command, "--help")[1]
