"""Decimal arithmetic that loses no digit, and amounts as people read them."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

from materialize.errors import ConfigError

QUANTITY_PLACES = 30
"""Decimal places of a quantity: bytes ÷ 2^30 has so many, and what has more (hours ÷ 730) ends
here, so that quantity × price is the cost to the last digit that is written."""
EXACT = Context(prec=100)
"""Wide enough that no sum and no product of an invoice is rounded."""
_PLACE = Decimal(1).scaleb(-QUANTITY_PLACES)
_LARGEST = 60
"""Digits before the point of a quantity: with those behind it fewer than `EXACT` has."""


def added(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


def times(amount: Decimal, factor: Decimal | int) -> Decimal:
    """The product with all digits of an invoice."""
    with localcontext(EXACT):
        return amount * factor


def quantity(value: Decimal) -> Decimal:
    """A quantity with its decimal places; nothing of a whole number of bytes is lost."""
    if value and value.adjusted() >= _LARGEST:
        raise ConfigError(
            f"expected quantities below 10^{_LARGEST}, got one of about 10^{value.adjusted()}",
            {"expected": f"below 10^{_LARGEST}", "found": f"10^{value.adjusted()}"},
        )
    with localcontext(EXACT):
        return value.quantize(_PLACE).normalize()


def plain(value: Decimal) -> str:
    """All digits, without an exponent and without zeros at the end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(value: Decimal | float, *, places: int = 2) -> str:
    """For reading: thousands marked; below 1 as many places as show two digits."""
    number = Decimal(value)
    if number and abs(number) < 1:
        places = min(1 - number.adjusted(), 12)
    with localcontext(EXACT, rounding=ROUND_HALF_UP):
        text = f"{number:,.{places}f}"
    is_whole = number == number.to_integral_value()
    return text.rstrip("0").rstrip(".") if is_whole and "." in text else text


def counted(number: Decimal | int, noun: str) -> str:
    """A number and its noun: ``1 month``, ``0.50 months``, ``3 runs``."""
    return f"{shown(number)} {noun}{'' if number == 1 else 's'}"


def shown_money(amount: Decimal, currency: str) -> str:
    """For reading: ``$20.65``, ``20.65 EUR``; small amounts with two digits that count."""
    with localcontext(EXACT, rounding=ROUND_HALF_UP):
        text = shown(abs(amount)) if amount and abs(amount) < 1 else f"{abs(amount):,.2f}"
    sign = "−" if amount < 0 else ""
    return f"{sign}${text}" if currency == "USD" else f"{sign}{text} {currency}"
