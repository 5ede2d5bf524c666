"""Invoices under the column names of FOCUS, the FinOps Open Cost and Usage Specification (1.x).

Nobody was billed, so ``BilledCost`` is empty, and so are ``ListUnitPrice`` and ``ListCost`` where
the book has no price. Columns that FOCUS does not have begin with ``x_``. Numbers are decimals with
all their digits and without exponents; ``ListCost`` is ``PricingQuantity`` × ``ListUnitPrice``.

Source: FOCUS specification 1.x, columns and the attributes NumericFormat, UnitFormat,
KeyValueFormat (https://focus.finops.org).
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping

from materialize.accounting.invoices import Charge, Invoice
from materialize.accounting.money import plain

COLUMNS = (
    "BilledCost", "BillingCurrency", "ChargeCategory", "ChargeDescription", "ListCost",
    "ListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName", "ResourceId", "ServiceName",
    "Tags", "x_Formula", "x_PriceBook", "x_PriceBookDigest", "x_PriceDate", "x_PriceSource",
)  # fmt: skip
"""In the order of the file: those of FOCUS, then our own."""

_UNITS = {
    "vCPU-hour": "vCPU-Hours", "GPU-hour": "GPU-Hours", "GB-month": "GB-Months",
    "GiB-month": "GiB-Months", "1000 requests": "1000 Requests",
    "10000 requests": "10000 Requests", "requests": "Requests",
}  # fmt: skip


def focus_rows(
    invoice: Invoice, *, resource_id: str, tags: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """One row for each charge, by column name.

    Args:
        invoice: to export.
        resource_id: what was stored or computed: a dataset's digest, an arm's name.
        tags: further facts of all rows.

    Returns:
        Texts; an empty one is FOCUS' null.
    """
    shared = {
        "BilledCost": "", "BillingCurrency": invoice.currency, "ChargeCategory": "Usage",
        "ResourceId": resource_id,
        "Tags": json.dumps(dict(tags or {}), sort_keys=True, ensure_ascii=False),
        "x_PriceBook": invoice.book, "x_PriceBookDigest": invoice.book_digest,
    }  # fmt: skip
    return [
        {name: facts[name] for name in COLUMNS}
        for facts in (shared | _row(charge, invoice) for charge in invoice.charges)
    ]


def focus_csv(rows: Iterable[Mapping[str, str]]) -> str:
    """Rows of `focus_rows` as CSV with a header, lines ending in LF."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(charge: Charge, invoice: Invoice) -> dict[str, str]:
    # Who computes is not who stores: the book names no seller of processors.
    is_storage = not charge.unit.endswith("-hour")
    return {
        "ChargeDescription": charge.what,
        "ListCost": "" if charge.cost is None else plain(charge.cost),
        "ListUnitPrice": "" if charge.unit_price is None else plain(charge.unit_price),
        "PricingQuantity": plain(charge.quantity),
        "PricingUnit": _UNITS.get(charge.unit, charge.unit),
        "ProviderName": invoice.provider if is_storage else "",
        "ServiceName": invoice.title if is_storage else "Compute",
        "x_Formula": charge.formula,
        "x_PriceDate": charge.date,
        "x_PriceSource": charge.source,
    }
