"""Invoices, computed by hand in the comments."""

from decimal import Decimal
from fractions import Fraction

import pytest

from materialize.accounting.invoices import Usage, invoice
from materialize.accounting.money import shown_money
from materialize.accounting.prices import GIB, read_prices
from materialize.errors import ConfigError

KIB, GB_S3 = 2**10, GIB
D = Decimal

IMAGENET, IMAGE_BYTES, COPIES = 1_281_167, 224 * 224 * 3, 5
SHARD_BYTES = 256 * 2**20


@pytest.fixture(scope="module")
def book():
    """The book that ships."""
    return read_prices()


def _costs(found):
    """Cost by row."""
    return {charge.what: charge.cost for charge in found.charges}


def test_s3_standard(book):
    """100 GiB for 3 months, written in 400 requests, read once in 2,000."""
    usage = Usage(
        stored_bytes=100 * GIB, num_objects=400, months=D(3), put_requests=400, get_requests=2_000,
        retrieved_bytes=100 * GIB,
    )  # fmt: skip
    found = invoice(usage, book, "s3-standard")
    # storage    100 GiB × 3 months × 0.023 = 6.9
    # PUT        400 ÷ 1,000 × 0.005        = 0.002
    # GET        2,000 ÷ 1,000 × 0.0004     = 0.0008
    # retrieval  100 GiB × 0                = 0
    assert _costs(found) == {
        "storage": D("6.9"), "PUT requests": D("0.002"), "GET requests": D("0.0008"),
        "retrieval": D(0),
    }  # fmt: skip
    assert (found.total, found.unpriced) == (D("6.9028"), ())


def test_standard_ia_deleted_after_ten_days(book):
    """64 objects of 1 GiB and 1,000 of 10 KiB, stored for 240 hours, written and read once."""
    sizes = (GIB,) * 64 + (10 * KIB,) * 1000
    usage = Usage(
        object_bytes=sizes, months=D(240) / 730, put_requests=1064, get_requests=1064,
        retrieved_bytes=sum(sizes),
    )  # fmt: skip
    costs = _costs(invoice(usage, book, "s3-standard-ia"))
    # Small objects are billed as 128 KiB: 64 GiB + 1,000 × 128 KiB = 64.1220703125 GiB.
    # storage         64.1220703125 GiB × 240/730 months × 0.0125           = 0.263515357…
    # early deletion  64.1220703125 GiB × (30·24 − 240)/730 months × 0.0125 = 0.527030715…
    # PUT             1,064 ÷ 1,000 × 0.01                                  = 0.01064
    # GET             1,064 ÷ 1,000 × 0.001                                 = 0.001064
    # retrieval       (64 GiB + 1,000 × 10 KiB) = 64.0095367431640625 GiB × 0.01
    #                                                                       = 0.640095367431640625
    billed = Fraction("64.1220703125") * Fraction("0.0125")
    assert float(costs["storage"]) == pytest.approx(float(billed * 240 / 730), rel=1e-15)
    assert float(costs["early deletion"]) == pytest.approx(float(billed * 480 / 730), rel=1e-15)
    assert costs["PUT requests"] == D("0.01064")
    assert costs["GET requests"] == D("0.001064")
    assert costs["retrieval"] == D("0.640095367431640625")
    assert round(sum(costs.values()), 10) == D("1.4423454398")


def test_google_cloud_storage(book):
    """500 GiB for a month, and 2,000 GiB that leave for the Internet."""
    usage = Usage(
        stored_bytes=500 * GIB, num_objects=2_000, put_requests=20_000, get_requests=50_000,
        retrieved_bytes=2_000 * GIB, egress_bytes=2_000 * GIB,
    )  # fmt: skip
    found = invoice(usage, book, "gcs-standard")
    # storage  500 GiB × 1 month × 0.020          = 10
    # class A  20,000 ÷ 10,000 × 0.05             = 0.10
    # class B  50,000 ÷ 10,000 × 0.004            = 0.02
    # egress   1,024 GiB × 0.12                   = 122.88
    #          (2,000 − 1,024) GiB × 0.11         = 107.36
    assert _costs(found) == {
        "storage": D(10), "PUT requests": D("0.1"), "GET requests": D("0.02"), "retrieval": D(0),
        "egress, tier 1": D("122.88"), "egress, tier 2": D("107.36"),
    }  # fmt: skip
    assert found.total == D("240.36")


def test_gp3(book):
    """100.2 GiB for two and a half months, and two hours of a processor."""
    usage = Usage(
        stored_bytes=100 * GIB + GIB // 5, num_objects=400, months=D("2.5"), put_requests=400,
        get_requests=2_000, retrieved_bytes=100 * GIB, cpu_s=7_200.0,
    )  # fmt: skip
    found = invoice(usage, book, "ebs-gp3")
    # A volume is provisioned in whole GiB and has no requests: 101 GiB × 2.5 months × 0.08 = 20.2
    # CPU  7,200 s ÷ 3,600 × 0.048                                                         = 0.096
    assert _costs(found) == {"storage": D("20.2"), "CPU": D("0.096")}
    assert (found.total, found.unpriced) == (D("20.296"), ())


def test_storage_tiers(book):
    """60,000 GiB at Azure: the first 51,200 at one price, the rest at the next."""
    costs = _costs(invoice(Usage(stored_bytes=60_000 * GIB), book, "azure-hot-lrs"))
    # 51,200 × 0.0208 = 1,064.96; 8,800 × 0.019968 = 175.7184
    assert costs == {"storage, tier 1": D("1064.96"), "storage, tier 2": D("175.7184")}


@pytest.mark.parametrize(
    ("service", "gb", "thousands", "expected"),
    [
        ("s3-standard", 10_000, 10, ("230", "0.05", "0.004", "0")),
        ("s3-standard-ia", 30_000, 30, ("375", "0.3", "0.03", "300")),
        ("s3-one-zone-ia", 40_000, 40, ("400", "0.4", "0.04", "400")),
    ],
)
def test_the_figures_of_infracosts_goldens(book, service, gb, thousands, expected):
    """Monthly costs of storage, PUT, GET and retrieval that another tool prints."""
    usage = Usage(
        stored_bytes=gb * GB_S3, num_objects=1, put_requests=thousands * 1000,
        get_requests=thousands * 1000, retrieved_bytes=gb * GB_S3,
    )  # fmt: skip
    assert [charge.cost for charge in invoice(usage, book, service).charges] == [
        D(text) for text in expected
    ]


def test_five_copies_of_imagenet_cost_what_economics_say(book):
    """898 GiB are $20.65 a month; read whole, $0.0014; read sample by sample, $2.56."""
    num_bytes = IMAGENET * COPIES * IMAGE_BYTES
    # 1,281,167 × 5 × 150,528 B = 898.03 GiB; × 0.023 = 20.65
    month = invoice(Usage(stored_bytes=num_bytes), book, "s3-standard")
    assert (round(D(num_bytes) / GIB), shown_money(month.total, "USD")) == (898, "$20.65")
    # 898.03 GiB ÷ 256 MiB = 3,593 shards; ÷ 1,000 × 0.0004 = 0.0014, for all five copies
    whole = Usage(months=D(0), get_requests=-(-num_bytes // SHARD_BYTES))
    assert shown_money(invoice(whole, book, "s3-standard").total, "USD") == "$0.0014"
    # 1,281,167 × 5 ÷ 1,000 × 0.0004 = 2.56
    single = Usage(months=D(0), get_requests=IMAGENET * COPIES)
    assert shown_money(invoice(single, book, "s3-standard").total, "USD") == "$2.56"


def test_what_has_no_price_is_unpriced_and_not_nothing(book):
    """Requests of a class without a source for them, and an accelerator."""
    usage = Usage(stored_bytes=GIB, num_objects=1, put_requests=5, gpu_s=60.0)
    found = invoice(usage, book, "s3-glacier-instant")
    assert found.unpriced == ("PUT requests", "GPU")
    assert [c.cost for c in found.charges if c.what in found.unpriced] == [None, None]
    assert [c.formula for c in found.charges if c.what == "PUT requests"] == [
        "5 requests: unpriced"
    ]


def test_bytes_beyond_the_last_tier_are_unpriced(book):
    """The book knows the first 10 TB of egress and no more."""
    found = invoice(Usage(months=D(1), egress_bytes=10_241 * GIB), book, "s3-standard")
    assert _costs(found) == {"egress": D("921.6"), "egress beyond 10,240 GiB": None}


def test_tiers_of_egress_begin_anew_each_month(book):
    """Twice 10,240 GiB over two months are all in the first tier."""
    usage = Usage(months=D(2), egress_bytes=20_480 * GIB)
    assert _costs(invoice(usage, book, "s3-standard")) == {"egress": D("1843.2")}


def test_sizes_bill_small_objects_exactly(book):
    """A large and a small object are not two of middle size: 1 MiB + 128 KiB are billed."""
    sizes = (2**20, 1)
    by_size = invoice(Usage(object_bytes=sizes), book, "s3-standard-ia")
    by_mean = invoice(Usage(stored_bytes=sum(sizes), num_objects=2), book, "s3-standard-ia")
    assert by_size.charges[0].quantity == D(2**20 + 128 * KIB) / GIB
    assert by_mean.charges[0].quantity == D(2**20 + 1) / GIB


def test_a_long_stay_has_no_early_deletion(book):
    """From 30 days on."""
    found = invoice(Usage(stored_bytes=GIB, months=D(1)), book, "s3-standard-ia")
    assert [charge.what for charge in found.charges] == ["storage"]


def test_each_row_is_quantity_times_price_with_its_source(book):
    """To the last digit, whatever the quantity."""
    usage = Usage(
        stored_bytes=123_456_789_123, num_objects=77, months=D(1) / 7, put_requests=77,
        get_requests=3, retrieved_bytes=99_999, cpu_s=1.1,
    )  # fmt: skip
    for charge in invoice(usage, book, "s3-standard-ia").charges:
        assert Fraction(charge.cost) == Fraction(charge.quantity) * Fraction(charge.unit_price)
        assert charge.source
        assert charge.date
        assert charge.formula.endswith(shown_money(charge.cost, "USD"))


@pytest.mark.parametrize("name", ["stored_bytes", "months", "cpu_s", "get_requests"])
def test_a_negative_quantity_is_refused_by_name(name):
    """It would be a credit."""
    with pytest.raises(ConfigError, match=f"{name}: expected a number of at least 0"):
        Usage(**{name: -1})


def test_seconds_that_are_no_number_are_refused():
    """NaN would spread through every sum."""
    with pytest.raises(ConfigError, match="cpu_s: expected a number of at least 0, got nan"):
        Usage(cpu_s=float("nan"))


@pytest.mark.parametrize(
    ("amount", "text"),
    [("20.654", "$20.65"), ("0.00144", "$0.0014"), ("1234567.891", "$1,234,567.89"), ("0", "$0.00"),
     ("-0.5", "−$0.50")],
)  # fmt: skip
def test_money_is_rounded_when_it_is_shown(amount, text):
    """Small amounts keep two digits that count."""
    assert shown_money(D(amount), "USD") == text
