"""Invoices under FOCUS' column names."""

import csv
import io
import json
from decimal import Decimal
from fractions import Fraction

import pytest

from materialize.accounting.focus import COLUMNS, focus_csv, focus_rows
from materialize.accounting.invoices import Usage, invoice
from materialize.accounting.prices import GIB, read_prices

USAGE = Usage(
    stored_bytes=3 * GIB + 1, num_objects=9, months=Decimal(1) / 3, put_requests=9, cpu_s=100.0,
    gpu_s=10.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Of a small use, read back from the CSV."""
    found = invoice(USAGE, read_prices(), "s3-standard")
    text = focus_csv(focus_rows(found, resource_id="sha256:abc", tags={"arm": "offline K=4"}))
    return list(csv.DictReader(io.StringIO(text)))


def test_the_columns_are_those_of_focus_and_our_own_begin_with_x(rows):
    """Own columns come last."""
    assert tuple(rows[0]) == COLUMNS
    own = [name for name in COLUMNS if name.startswith("x_")]
    assert COLUMNS[-len(own) :] == tuple(own)
    assert {"ChargeCategory", "ServiceName", "PricingQuantity", "PricingUnit", "ListUnitPrice",
            "ListCost", "BillingCurrency", "ResourceId", "Tags"} <= set(COLUMNS)  # fmt: skip


def test_nobody_was_billed(rows):
    """So BilledCost is null in every row."""
    assert {row["BilledCost"] for row in rows} == {""}


def test_list_cost_is_quantity_times_price_to_the_last_digit(rows):
    """As decimals without exponents."""
    priced = [row for row in rows if row["ListCost"]]
    assert len(priced) == 3
    for row in priced:
        product = Fraction(row["PricingQuantity"]) * Fraction(row["ListUnitPrice"])
        assert Fraction(row["ListCost"]) == product
        assert "E" not in row["ListCost"] + row["PricingQuantity"]


def test_what_is_unpriced_is_null_and_not_zero(rows):
    """The accelerator's seconds are there, their cost is not."""
    (gpu,) = [row for row in rows if row["ChargeDescription"] == "GPU"]
    assert (gpu["ListCost"], gpu["ListUnitPrice"]) == ("", "")
    assert Fraction(gpu["PricingQuantity"]) == pytest.approx(Fraction(10, 3600), rel=1e-20)


def test_units_are_in_the_form_of_focus(rows):
    """Compound units with a hyphen and a plural, a GB of 2^30 bytes as GiB."""
    assert [row["PricingUnit"] for row in rows] == [
        "GiB-Months", "1000 Requests", "vCPU-Hours", "GPU-Hours",
    ]  # fmt: skip


def test_rows_name_what_they_are_of(rows):
    """A resource, tags as JSON, the price's source and the book's digest."""
    row = rows[0]
    assert row["ResourceId"] == "sha256:abc"
    assert json.loads(row["Tags"]) == {"arm": "offline K=4"}
    assert row["x_PriceBookDigest"] == read_prices().digest()
    assert row["x_PriceSource"]
    assert row["ServiceName"] == "Amazon S3 Standard"


def test_who_computes_is_not_who_stores(rows):
    """The book names no seller of processors."""
    (cpu,) = [row for row in rows if row["ChargeDescription"] == "CPU"]
    assert (cpu["ServiceName"], cpu["ProviderName"]) == ("Compute", "")
