"""The break-even, computed by hand in the comments."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from materialize.accounting.breakeven import EpochUse, Generation, break_even
from materialize.accounting.prices import GIB, read_prices
from materialize.errors import ConfigError

D = Decimal
GENERATION = Generation(
    cpu_s=36_000.0, put_requests=1_000, stored_bytes=100 * GIB, num_objects=1_000
)
STORED = EpochUse(cpu_s=360.0, gpu_compute_s=1_800.0, get_requests=500, read_bytes=50 * GIB)
LIVE = EpochUse(cpu_s=36_000.0, gpu_stall_s=200.0, gpu_compute_s=1_800.0)


@pytest.fixture(scope="module")
def book():
    """The shipped prices, and an accelerator at 3.60 an hour: 0.001 a second."""
    return read_prices().with_gpu_hour(D("3.6"))


def _found(book, service="s3-standard", offline=STORED, online=LIVE, **changes):
    facts = {"months": 1, "epochs": 10, "training_runs": 1} | changes
    return break_even(GENERATION, offline, online, book, service, **facts)


def test_the_arithmetic_of_economics(book):
    """Generation and storage over what an epoch saves."""
    found = _found(book)
    # once     100 GiB × 1 month × 0.023 = 2.3; 1,000 PUTs = 0.005; 10 h × 0.048 = 0.48   → 2.785
    # stored   0.1 h × 0.048 = 0.0048; 500 GETs = 0.0002                                  → 0.005
    # live     10 h × 0.048 = 0.48; 200 s × 0.001 = 0.2                                   → 0.68
    assert found.offline_fixed == D("2.785")
    assert found.offline_epoch == D("0.005")
    assert float(found.online_epoch) == pytest.approx(0.68, rel=1e-15)
    # E* = 2.785 ÷ (0.68 − 0.005) = 4.125926
    assert found.epochs == pytest.approx(2.785 / 0.675, rel=1e-12)
    assert found.formula == "$2.79 ÷ ($0.68 − $0.0050) = 4.1 epochs"
    assert found.outcome == "epochs"


def test_retrieval_fees_make_a_cold_class_lose(book):
    """50 GiB × 0.01 = 0.50 in each epoch, and less CPU would not pay it back."""
    found = _found(book, "s3-standard-ia", online=replace(LIVE, gpu_stall_s=0.0))
    # stored 0.0048 + 500 GETs 0.0005 + 0.5 = 0.5053 against 0.48
    assert (found.outcome, found.epochs) == ("never", None)
    assert "Never: an epoch from storage costs $0.51, on the fly $0.48" in found.reason


def test_without_a_price_of_a_gpu_the_answer_says_so(book):
    """Break-even is then of CPU and storage alone: 2.785 ÷ (0.48 − 0.005)."""
    found = _found(read_prices())
    assert found.unpriced == ("GPU",)
    assert found.epochs == pytest.approx(2.785 / 0.475, rel=1e-12)
    assert "Of CPU and storage alone" in found.reason


def test_without_another_price_there_is_no_answer(book):
    """Requests of Glacier Instant have no price in the book, so their number says nothing."""
    found = _found(book, "s3-glacier-instant")
    assert (found.outcome, found.epochs, found.sensitivity) == ("unknown", None, ())
    assert "no price of PUT requests, GET requests" in found.reason


def test_sensitivity_changes_one_thing_at_a_time(book):
    """By hand: storage is 2.3 of 2.785, CPU 0.48 of it and 0.4752 of each epoch, GPU 0.2."""
    found = dict(_found(book).sensitivity)
    expected = {
        "storage price −50 %": (2.785 - 1.15) / 0.675,
        "storage price +50 %": (2.785 + 1.15) / 0.675,
        "CPU price −50 %": (2.785 - 0.24) / (0.675 - 0.2376),
        "CPU price +50 %": (2.785 + 0.24) / (0.675 + 0.2376),
        "GPU price −50 %": 2.785 / 0.575,
        "GPU price +50 %": 2.785 / 0.775,
        "on-the-fly stalls 0 %, storage 0 %": 2.785 / 0.475,
        # 10 % of the time: 1,800 s × 0.1 / 0.9 = 200 s × 0.001
        "on-the-fly stalls 10 %, storage 0 %": 2.785 / 0.675,
        # 30 %: 1,800 s × 0.3 / 0.7 = 771.43 s
        "on-the-fly stalls 30 %, storage 0 %": 2.785 / (0.475 + 0.001 * 1_800 * 3 / 7),
    }
    assert found.keys() == expected.keys()
    assert [found[name] for name in expected] == pytest.approx(list(expected.values()), rel=1e-12)


def test_the_curve_crosses_at_the_break_even(book):
    """Storing is dearer before it, cheaper after, and the point itself is on the curve."""
    found = _found(book)
    at = [point for point in found.curve if point[0] == found.epochs]
    assert len(at) == 1
    assert float(at[0][1]) == pytest.approx(float(at[0][2]), rel=1e-12)
    assert all((stored < live) == (epochs > found.epochs)
               for epochs, stored, live in found.curve if epochs != found.epochs)  # fmt: skip
    assert found.curve[-1][0] >= 10


def test_the_curve_over_runs_crosses_at_the_number_of_runs(book):
    """Runs of one epoch: 4.13 of them, so storing is cheaper from the fifth on."""
    found = _found(book, epochs=1)
    assert found.runs == pytest.approx(2.785 / 0.675, rel=1e-12)
    cheaper = [runs for runs, stored, live in found.runs_curve if stored < live]
    assert min(cheaper) == 5


def test_every_input_has_its_arithmetic_and_source(book):
    """What a reader asks for on demand."""
    inputs = _found(book).inputs
    assert inputs["once: storage"] == (
        "100 GiB × 1 month × 0.023 USD per GiB-month = $2.30; infracost test goldens; usage.ai "
        "2026-06 agrees, 2024-07"
    )
    assert read_prices().name in inputs["price book"]


def test_it_is_json(book):
    """Money as exact text."""
    facts = json.loads(json.dumps(_found(book).to_json()))
    assert facts["offline_fixed"] == "2.785"
    assert facts["fixed_invoice"]["total"] == "2.785"


@pytest.mark.parametrize("name", ["epochs", "training_runs"])
def test_no_epochs_are_refused(book, name):
    """There would be nothing to break even over."""
    with pytest.raises(ConfigError, match=f"{name}: expected at least 1, got 0"):
        _found(book, **{name: 0})


def test_early_deletion_moves_with_the_price_of_storage(book):
    """A cold class bills at least 90 days of storage: what is deleted early costs half as well."""
    stored = replace(STORED, read_bytes=0, get_requests=0)
    made = replace(GENERATION, put_requests=0)
    found = break_even(made, stored, LIVE, book, "s3-standard-ia", months=D("0.1"), epochs=10)
    held = found.fixed_invoice.cost_of("storage", "early deletion")
    assert found.fixed_invoice.cost_of("early deletion") > 0
    expected = (found.offline_fixed - held / 2) / found.saved_per_epoch
    assert dict(found.sensitivity)["storage price −50 %"] == pytest.approx(float(expected))


def test_no_answer_is_in_epochs_of_runs_that_may_not_be_compared(book):
    """Break-even is at 4.1 epochs; runs of more than 3 were not shown to be as accurate."""
    found = _found(book, epochs=2, most_epochs=3)
    assert (found.outcome, found.epochs) == ("runs", None)
    assert found.runs == pytest.approx(2.785 / 0.675 / 2, rel=1e-12)
    assert found.reason.startswith("Storing pays from 2.1 runs of 2 epochs: ")
    assert found.formula == "$2.79 ÷ (2 × ($0.68 − $0.0050)) = 2.1 runs"
    assert found.curve[-1][0] == 3
    assert all(epochs is None or epochs <= 3 for _, epochs in found.sensitivity)


def test_a_limit_beyond_the_break_even_ends_the_curve_alone(book):
    """The answer is 4.1 epochs, and nothing is drawn of more than 5."""
    found = _found(book, epochs=2, most_epochs=5)
    assert found.epochs == pytest.approx(2.785 / 0.675, rel=1e-12)
    assert found.curve[-1][0] == 5
    labels = dict(found.sensitivity)
    assert "storage price −50 %" in labels
    assert "storage price +50 %" not in labels  # 5.8 epochs
