"""The money lines of a contrast: computed from a stored result, compared at equal accuracy only."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from materialize.accounting.prices import GIB, read_prices
from materialize.contrast.cost import cost_of, epoch_use, generation_of, terms_of
from materialize.contrast.foundation import lay_foundation
from materialize.contrast.job_files import parse_contrast
from materialize.contrast.results import (
    ArmSummary,
    ContrastResult,
    KVerdict,
    Proof,
    ProofPair,
)
from materialize.contrast.terms import CostTerms
from materialize.errors import ConfigError
from materialize.report.cost_tables import comparison_table
from tests.contrast_cases import run, small_job

D = Decimal
TIMES = {"augment_s": 0.0, "read_s": 36.0, "wait_s": 0.3, "compute_s": 270.0}
LIVE_TIMES = {"augment_s": 3_600.0, "read_s": 36.0, "wait_s": 30.0, "compute_s": 270.0}


def _arm(name, **changes):
    """A summary of which only names, bytes and seconds matter."""
    arm, _, copies = name.partition(" K=")
    facts = {
        "name": name, "arm": arm, "copies": int(copies) if copies else None, "num_seeds": 2,
        "accuracy": 0.9, "train_accuracy": 0.9, "wall_s": 1.0, "cpu_s": 1.0, "augment_s": 0.0,
        "read_s": 0.0, "wait_s": 0.0, "compute_s": 1.0, "images_per_s": 1.0, "stall_fraction": 0.0,
        "stored_bytes": 0, "num_shards": 0, "generation_s": 0.0,
    }  # fmt: skip
    return ArmSummary(**(facts | changes))


def _verdict(copies, verdict="equivalent", **changes):
    return KVerdict(copies=copies, verdict=verdict, difference=0.0, **changes)


@pytest.fixture
def result():
    """Two seeds of three epochs each; K=2 is equivalent, K=1 is not decided."""
    names = {"offline K=1": TIMES, "offline K=2": TIMES, "on-the-fly": LIVE_TIMES, "prefix": TIMES}
    runs = tuple(run(name, seed, **times) for name, times in names.items() for seed in (0, 1))
    pairs = tuple(ProofPair(name="prefix", seed=s, weights="a", on_the_fly="a") for s in (0, 1))
    stored = {"build_s": 3_600.0, "generation_s": 7_200.0}
    return ContrastResult(
        title="small", form="full", command="", job={"training": {"epochs": 3}},
        dataset={"counts": {"train": 1_000}}, environment={"device": "cpu:0"}, runs=runs,
        arms=(
            _arm("offline K=1", stored_bytes=GIB, num_shards=10, **stored),
            _arm("offline K=2", stored_bytes=2 * GIB, num_shards=20, **stored),
            _arm("on-the-fly"),
            _arm("prefix", stored_bytes=GIB, num_shards=10, build_s=1_800.0, generation_s=1_800.0),
        ),
        verdicts=(_verdict(2), _verdict(1, "inconclusive")), smallest_sufficient=2,
        proof=Proof(holds=True, pairs=pairs, reason="prefix: 2 of 2"), date="2026-01-01",
    )  # fmt: skip


def _line(cost, name):
    return next(arm for arm in cost.arms if arm.name == name)


TERMS = CostTerms(months=D(1), epochs=3, gpu_price_per_hour=D("3.6"))


def test_an_epoch_is_the_mean_over_all_epochs_of_all_runs(result):
    """Two runs of three epochs with 3,636 CPU seconds and 30 s of waiting each."""
    use = epoch_use(result, result.arms[2])
    assert use.cpu_s == pytest.approx(1_212.0)
    assert use.gpu_stall_s == pytest.approx(10.0)
    assert use.gpu_compute_s == pytest.approx(90.0)


def test_an_epoch_of_stored_copies_reads_one_copy_by_whole_shards(result):
    """Half of K=2's 20 shards and 2 GiB."""
    use = epoch_use(result, result.arms[1])
    assert (use.get_requests, use.read_bytes) == (10, GIB)


def test_the_lines_of_an_arm_by_hand(result):
    """K=2 on S3 Standard for a month, one run of three epochs."""
    costs = {
        c.what: c.cost for c in _line(cost_of(result, None, TERMS), "offline K=2").invoice.charges
    }
    # storage      2 GiB × 1 month × 0.023                 = 0.046
    # generation   7,200 s = 2 h × 0.048                   = 0.096
    # PUT          20 ÷ 1,000 × 0.005                      = 0.0001
    # GET          3 epochs × 10 ÷ 1,000 × 0.0004          = 0.000012
    # loading      3 × 12 s = 36 s = 0.01 h × 0.048        = 0.00048
    # stall        3 × 0.1 s × 3.60 ÷ 3,600                = 0.0003
    assert {what: float(cost) for what, cost in costs.items()} == pytest.approx({
        "storage": 0.046, "generation CPU": 0.096, "PUT requests": 0.0001,
        "GET requests": 0.000012, "retrieval": 0.0, "loading CPU": 0.00048, "GPU stall": 0.0003,
    }, rel=1e-12)  # fmt: skip


def test_only_arms_at_equal_accuracy_have_a_break_even(result):
    """K=2 was found equivalent, K=1 was not, and prefix ends with the same weights."""
    cost = cost_of(result, None, TERMS)
    assert [arm.name for arm in cost.arms if arm.break_even] == ["offline K=2", "prefix"]
    assert _line(cost, "offline K=1").accuracy_remark == "not at equal accuracy: inconclusive"
    assert _line(cost, "offline K=1").invoice.total > 0


def test_a_verdict_after_the_sequence_stopped_is_not_one(result):
    """A larger K had failed already."""
    other = replace(result, verdicts=(_verdict(2, "worse"), _verdict(1, is_tested=False)))
    cost = cost_of(other, None, TERMS)
    assert [arm.name for arm in cost.arms if arm.break_even] == ["prefix"]
    assert "a larger K already failed" in _line(cost, "offline K=1").accuracy_remark


def test_equal_weights_say_nothing_of_longer_runs(result):
    """K=3 equals on-the-fly in three epochs because no copy is seen twice; 90 epochs see them."""
    arms = (_arm("offline K=3", stored_bytes=GIB, num_shards=9), *result.arms[2:])
    runs = tuple(replace(r, name="offline K=3", copies=3) if r.name == "offline K=2" else r
                 for r in result.runs)  # fmt: skip
    other = replace(result, arms=arms, runs=runs, verdicts=(_verdict(3),))
    assert _line(cost_of(other, None, TERMS), "offline K=3").break_even is not None
    longer = _line(cost_of(other, None, replace(TERMS, epochs=90)), "offline K=3")
    assert longer.break_even is None
    assert longer.accuracy_remark.endswith("and 90 epochs see 3 copies again")


def test_a_prefix_with_other_weights_is_not_compared(result):
    """Something differed, so its accuracy was not shown to be equal."""
    pair = ProofPair(name="prefix", seed=0, weights="a", on_the_fly="b")
    other = replace(result, proof=Proof(holds=False, pairs=(pair,), reason="differs"))
    assert _line(cost_of(other, None, TERMS), "prefix").break_even is None


def test_without_on_the_fly_nothing_is_compared(result):
    """There is nothing to compare with."""
    arms = tuple(arm for arm in result.arms if arm.name != "on-the-fly")
    cost = cost_of(replace(result, arms=arms, verdicts=()), None, TERMS)
    assert not [arm for arm in cost.arms if arm.break_even]
    assert cost.sentence.startswith("No arm is as accurate as on-the-fly")


def test_the_line_of_an_arm_is_a_point_of_its_curve(result):
    """Money lines and break-even tell one story."""
    cost = cost_of(result, None, replace(TERMS, training_runs=4))
    arm, live = _line(cost, "offline K=2"), _line(cost, "on-the-fly")
    (point,) = [point for point in arm.break_even.curve if point[0] == 3.0]
    assert float(arm.invoice.total) == pytest.approx(float(point[1]), rel=1e-12)
    assert float(live.invoice.total) == pytest.approx(float(point[2]), rel=1e-12)


def test_stall_without_a_price_is_unpriced(result):
    """And a note says how to give one."""
    cost = cost_of(result, None, replace(TERMS, gpu_price_per_hour=None))
    assert cost.gpu_hour is None
    assert _line(cost, "on-the-fly").invoice.unpriced == ("GPU stall",)
    assert any("--gpu-hour" in note for note in cost.notes)


def test_the_book_is_named_by_its_digest(result):
    """With the price that was given, which is another book."""
    cost = cost_of(result, None, TERMS)
    assert cost.book_digest == read_prices().with_gpu_hour(D("3.6")).digest()
    assert json.loads(json.dumps(cost.to_json()))["book_digest"] == cost.book_digest


def test_the_terms_of_the_job_are_taken(result):
    """And the contrast's own number of epochs."""
    terms = CostTerms(months=D(6), training_runs=2, gpu_price_per_hour=D("2.5"))
    job = parse_contrast(
        'title = "t"\nsource = "digits"\npipeline = "digits"\n[training]\nepochs = 3\n'
        "[cost]\nmonths = 6\ntraining-runs = 2\ngpu-price-per-hour = 2.5\n", "t.toml",
    )  # fmt: skip
    stored = replace(result, job=json.loads(json.dumps(job.to_json())))
    assert terms_of(stored) == job.cost == terms
    cost = cost_of(stored)
    assert (cost.months, cost.num_epochs, cost.training_runs) == (D(6), 3, 2)


def test_a_price_book_in_a_job_is_found_beside_it(tmp_path):
    """Relative paths start at the file's folder."""
    text = ('title = "t"\nsource = "digits"\npipeline = "digits"\n[training]\nepochs = 3\n'
            '[cost]\nprices = "ours.toml"\n')  # fmt: skip
    job = parse_contrast(text, "t.toml", folder=tmp_path)
    assert job.cost.prices == str(tmp_path / "ours.toml")


@pytest.mark.parametrize(
    ("line", "message"),
    [("month = 6", r"\[cost\]: unknown key 'month'; did you mean 'months'"),
     ("months = -6", r"\[cost\]: months: expected at least 0, got -6"),
     ("training-runs = 0", r"\[cost\]: training-runs: expected at least 1, got 0")],
)  # fmt: skip
def test_wrong_terms_are_refused(line, message):
    """With the nearest key, or the interval."""
    text = ('title = "t"\nsource = "digits"\npipeline = "digits"\n[training]\nepochs = 3\n'
            f"[cost]\n{line}\n")  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        parse_contrast(text, "t.toml")


def test_a_result_of_an_earlier_release_is_read(result):
    """Without shards and generation: requests are in no line, decoding is counted whole."""
    facts = result.to_json()
    for arm in facts["arms"]:
        del arm["num_shards"], arm["generation_s"]
    old = ContrastResult.from_json(facts)
    # K=2: its own 3,600 s and the 1,800 s of the untouched images, which had the decoding
    assert generation_of(old, old.arms[1]).cpu_s == 5_400.0
    cost = cost_of(old, None, TERMS)
    assert "GET requests" not in [c.what for c in _line(cost, "offline K=2").invoice.charges]
    assert any("Requests are in no line" in note for note in cost.notes)


def test_generation_counts_the_decoding_that_another_arm_paid_for(tmp_path):
    """The untouched images are written first and decode; copies alone would have to as well."""
    job = small_job(arms=("none", "offline", "on-the-fly"), copies=(1, 2))
    foundation = lay_foundation(job, tmp_path)
    receipts = [
        json.loads(path.read_bytes()) for path in foundation.directory.glob("receipts/*train*.json")
    ]
    decoding = [receipt["timings_s"].pop("decode", 0.0) for receipt in receipts]
    assert max(decoding) > 0
    for arm, copies, kind in (("offline", 2, "copy"), ("none", None, "original")):
        own = [r["timings_s"].values() for r in receipts if r["entry"]["spec"]["kind"] == kind]
        assert len(own) == (copies or 1)
        expected = max(decoding) + sum(map(sum, own))
        assert foundation.generation_seconds(arm, copies) == pytest.approx(expected)
    assert foundation.num_shards("offline", 2) == 2 * foundation.num_shards("offline", 1) > 0
    assert foundation.generation_seconds("on-the-fly", None) == 0.0


def test_a_break_even_beyond_the_copies_is_told_in_runs(result):
    """50 GiB pay after 44 epochs, but only 3 epochs of K=3 show no copy twice."""
    arms = (_arm("offline K=3", stored_bytes=50 * GIB, num_shards=9), result.arms[2])
    runs = tuple(replace(r, name="offline K=3", copies=3) if r.name == "offline K=2" else r
                 for r in result.runs)  # fmt: skip
    cost = cost_of(replace(result, arms=arms, runs=runs, verdicts=(_verdict(3),)), None, TERMS)
    found = _line(cost, "offline K=3").break_even
    assert (found.outcome, found.epochs, found.curve[-1][0]) == ("runs", None, 3)
    assert "Storing pays from 14.8 runs of 3 epochs: " in cost.sentence
    cell = comparison_table(cost).rows[0][1]
    assert cell.text == "14.8 runs"


def test_fewer_copies_than_epochs_have_no_limit(result):
    """K=2 was as accurate although every copy was seen again."""
    cheap = replace(result.arms[1], stored_bytes=50 * GIB)
    other = replace(result, arms=(result.arms[0], cheap, *result.arms[2:]))
    found = _line(cost_of(other, None, TERMS), "offline K=2").break_even
    assert found.outcome == "epochs"
    assert found.epochs > 3
