"""Laws of invoices and break-evens, over all quantities."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from materialize.accounting.breakeven import EpochUse, Generation, break_even
from materialize.accounting.invoices import Usage, invoice
from materialize.accounting.prices import GB, GIB, read_prices

BOOK = read_prices()
ONE_TIER = [name for name, service in BOOK.services.items()
            if len(service.storage) == 1 and service.kind != "volume"
            and not service.minimum_object_bytes]  # fmt: skip

counts = st.integers(0, 10**12)
byte_counts = st.integers(0, 2**60)
months = st.integers(0, 120).map(Decimal)
seconds = st.floats(0, 1e9, allow_nan=False)
services = st.sampled_from(sorted(BOOK.services))

usages = st.builds(
    Usage, stored_bytes=byte_counts, put_requests=counts, get_requests=counts,
    retrieved_bytes=byte_counts,
)  # fmt: skip


@given(usages, usages, months, st.sampled_from(ONE_TIER))
def test_cost_is_additive_over_datasets(one, two, lasting, service):
    """On one tier, two datasets together cost what they cost apart, to the last digit."""
    both = Usage(
        stored_bytes=one.stored_bytes + two.stored_bytes, months=lasting,
        put_requests=one.put_requests + two.put_requests,
        get_requests=one.get_requests + two.get_requests,
        retrieved_bytes=one.retrieved_bytes + two.retrieved_bytes,
    )  # fmt: skip
    apart = [invoice(replace(use, months=lasting), BOOK, service).total for use in (one, two)]
    assert Fraction(invoice(both, BOOK, service).total) == sum(map(Fraction, apart))


@given(usages, byte_counts, months, services)
def test_more_bytes_never_cost_less(usage, more, lasting, service):
    """On every service of the book, tiers and minimum sizes included."""
    small = replace(usage, months=lasting)
    large = replace(small, stored_bytes=small.stored_bytes + more)
    assert invoice(small, BOOK, service).total <= invoice(large, BOOK, service).total


@given(usages, months, months, services)
def test_more_months_never_cost_less(usage, lasting, more, service):
    """Minimum durations included."""
    short = replace(usage, months=lasting)
    long = replace(usage, months=lasting + more)
    assert invoice(short, BOOK, service).total <= invoice(long, BOOK, service).total


@given(st.integers(1, 2**60))
def test_the_two_gb_differ_by_seven_point_four_percent(num_bytes):
    """The same price per GB costs 2^30 / 10^9 = 1.073741824 as much where a GB is the smaller."""
    costs = {}
    for per_gb in (GB, GIB):
        service = BOOK.service("s3-standard")
        price = replace(service.storage[0], bytes_per_gb=per_gb)
        services_then = {**BOOK.services, "s3-standard": replace(service, storage=(price,))}
        book = replace(BOOK, services=services_then)
        costs[per_gb] = Fraction(invoice(Usage(stored_bytes=num_bytes), book, "s3-standard").total)
    assert costs[GB] / costs[GIB] == Fraction(1073741824, 10**9)


epochs_used = st.builds(
    EpochUse, cpu_s=st.floats(0, 1e6), gpu_stall_s=st.floats(0, 1e5),
    gpu_compute_s=st.floats(0, 1e6), get_requests=st.integers(0, 10**6),
    read_bytes=st.integers(0, 2**45),
)  # fmt: skip
generations = st.builds(
    Generation, cpu_s=st.floats(0, 1e7), put_requests=st.integers(0, 10**6),
    stored_bytes=st.integers(1, 2**50), num_objects=st.integers(0, 10**5),
)  # fmt: skip
WITH_GPU = BOOK.with_gpu_hour(Decimal("2.5"))


def _found(generation, offline, online, **changes):
    """A break-even on S3 Standard."""
    facts = {"months": 12, "epochs": 90, "training_runs": 2} | changes
    return break_even(generation, offline, online, WITH_GPU, "s3-standard", **facts)


@given(generations, epochs_used, epochs_used)
def test_both_ways_cost_the_same_at_the_break_even(generation, offline, online):
    """That is what the word means."""
    found = _found(generation, offline, online)
    assume(found.epochs is not None)
    passed = Fraction(found.epochs) * found.training_runs
    stored = Fraction(found.offline_fixed) + passed * Fraction(found.offline_epoch)
    assert float(stored) == pytest.approx(float(passed * Fraction(found.online_epoch)), rel=1e-9)


@given(generations, epochs_used, epochs_used)
def test_storage_never_pays_where_it_saves_nothing(generation, offline, online):
    """Never, exactly where the divisor is not above zero."""
    found = _found(generation, offline, online)
    assert (found.outcome == "never") == (found.saved_per_epoch <= 0)
    assert (found.epochs is None) == (found.outcome == "never")


@given(generations, epochs_used, epochs_used, st.integers(1, 60))
def test_longer_storage_pays_later(generation, offline, online, more):
    """The divisor is the same, what is paid once is more."""
    soon, late = (_found(generation, offline, online, months=m) for m in (12, 12 + more))
    assume(soon.epochs is not None)
    assert soon.epochs <= late.epochs


@given(generations, epochs_used, epochs_used, st.floats(0, 1e6))
def test_dearer_augmenting_pays_sooner(generation, offline, online, more):
    """And never turns a break-even into none."""
    dear = replace(online, cpu_s=online.cpu_s + more)
    late, soon = (_found(generation, offline, use) for use in (online, dear))
    assume(late.epochs is not None)
    assert soon.epochs <= late.epochs


@given(generations, epochs_used, epochs_used, st.integers(1, 50))
def test_runs_that_share_the_copies_pay_sooner(generation, offline, online, runs):
    """In proportion."""
    alone = _found(generation, offline, online, training_runs=1)
    assume(alone.epochs is not None)
    shared = _found(generation, offline, online, training_runs=runs)
    assert shared.epochs == pytest.approx(alone.epochs / runs, rel=1e-12)
    assert shared.runs == pytest.approx(alone.runs, rel=1e-12)
