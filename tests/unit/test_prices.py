"""Price books: what is read, what is refused, and what the book that ships says."""

import shutil
from decimal import Decimal
from importlib import resources

import pytest

from materialize.accounting.money import quantity
from materialize.accounting.prices import GIB, parse_prices, read_prices
from materialize.errors import ConfigError

BOOK = """
name = "ours"
date = "2026-03"
currency = "EUR"

[providers.us]
title = "Us"

[services.shelf]
title = "The shelf"
provider = "us"
kind = "objects"
[services.shelf.storage]
amount = 0.1
unit = "GB-month"
bytes_per_gb = 1000000000
source = "the caretaker"
date = "2026-03"
"""


def _prices(book):
    """Every price of a book."""
    for service in book.services.values():
        yield from (*service.storage, *service.put, *service.get, *service.retrieval)
    for provider in book.providers.values():
        yield from (*provider.egress, *provider.inter_region)
    yield from filter(None, (book.cpu_hour, book.gpu_hour))


def test_amounts_are_the_decimals_that_stand_in_the_file():
    """All of them, where a float keeps sixteen digits."""
    digits = "0.1234567890123456789012345"
    book = parse_prices(BOOK.replace("amount = 0.1", f"amount = {digits}"), "b")
    assert book.service("shelf").storage[0].amount == Decimal(digits)


def test_every_shipped_price_has_source_and_date():
    """A book of figures from nowhere is none."""
    found = list(_prices(read_prices()))
    assert len(found) > 30
    assert all(price.source and price.date for price in found)


def test_no_price_of_a_gpu_ships():
    """Public pages contradict each other; a user's book supplies it."""
    assert read_prices().gpu_hour is None


def test_unverified_shipped_prices_say_so():
    """Undated ones, and those of an unverified region."""
    book = read_prices()
    azure = book.service("azure-hot-lrs")
    doubtful = [p for p in _prices(book) if p.date == "undated"] + [*azure.storage, *azure.get]
    assert doubtful
    assert all("unverified" in price.remark for price in doubtful)


def test_a_book_reads_from_a_file_as_from_the_package(tmp_path):
    """A copy of the shipped book is the same book."""
    copy = tmp_path / "copy.toml"
    with resources.as_file(resources.files("materialize.accounting") / "list_prices.toml") as path:
        shutil.copy(path, copy)
    assert read_prices(copy).digest() == read_prices().digest()


def test_another_price_is_another_digest():
    """A report names its book by it."""
    other = BOOK.replace("amount = 0.1", "amount = 0.2")
    assert parse_prices(BOOK, "b").digest() != parse_prices(other, "b").digest()


def test_one_table_is_one_tier():
    """Only several tiers need a list of tables."""
    assert len(parse_prices(BOOK, "b").service("shelf").storage) == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("bytes_per_gb =", "bytes_per_bg =",
         "b: services.shelf.storage.bytes_per_bg: no such key; did you mean 'bytes_per_gb'"),
        ("[services.shelf]", "[servces.shelf]", "servces: no such key; did you mean 'services'"),
        ("amount = 0.1", "amount = -0.1",
         "b: services.shelf.storage: amount: expected a number of at least 0, found -0.1"),
        ("amount = 0.1", "amount = nan", "expected a number of at least 0, found NaN"),
        ("amount = 0.1", "amount = true", "storage.amount: expected decimal, got bool"),
        ('source = "the caretaker"\n', "",
         "b: services.shelf.storage.source: expected a value, found none"),
        ('source = "the caretaker"', 'source = ""', "source: expected a text, found an empty one"),
        ("bytes_per_gb = 1000000000", "bytes_per_gb = 1000", "expected 1000000000 or 1073741824"),
        ("bytes_per_gb = 1000000000\n", "", "found none"),
        ('unit = "GB-month"', 'unit = "GB"', "storage.unit: expected 'GB-month', found 'GB'"),
        ('kind = "objects"', 'kind = "boxes"', "kind: expected objects, files, volume, found"),
        ('provider = "us"', 'provider = "them"', "services.shelf.provider: expected us, found"),
        ('currency = "EUR"\n', "", "b: currency: expected a value, found none; add it"),
        ('name = "ours"', "name = [", "b: expected a price book in TOML"),
    ],
)  # fmt: skip
def test_a_wrong_book_is_refused_with_file_key_expected_and_found(before, after, message):
    """In one sentence."""
    assert before in BOOK
    with pytest.raises(ConfigError) as caught:
        parse_prices(BOOK.replace(before, after, 1), "b")
    assert message in str(caught.value)


def test_tiers_must_ascend():
    """Otherwise bytes would be billed twice."""
    tier = BOOK.partition("[services.shelf.storage]\n")[2]
    text = BOOK.replace("[services.shelf.storage]", "[[services.shelf.storage]]") + (
        f"\n[[services.shelf.storage]]\n{tier}"
    )
    with pytest.raises(ConfigError, match="expected tiers with ascending up_to"):
        parse_prices(text, "b")


def test_a_missing_file_is_named(tmp_path):
    """With why it cannot be read."""
    with pytest.raises(ConfigError, match=r"none\.toml: expected a price book in TOML, found: No"):
        read_prices(tmp_path / "none.toml")


def test_an_unknown_service_is_refused_with_the_nearest():
    """As unknown keys are."""
    with pytest.raises(ConfigError, match="did you mean 's3-standard'"):
        read_prices().service("s3-standart")


def test_a_gb_of_two_to_the_thirty_is_shown_as_gib():
    """So that nobody takes it for the other one."""
    price = read_prices().service("s3-standard").storage[0]
    assert (price.bytes_per_gb, price.shown_unit) == (GIB, "GiB-month")


@pytest.mark.parametrize(
    "amount",
    ["1e61", "1e-40", "1e999999", "1e99999999999999999999", "9" * 5_000, "0x" + "f" * 6_000,
     "[" * 5_000],
    ids=["large", "small", "huge", "beyond Decimal", "digits", "hexadecimal", "brackets"],
)  # fmt: skip
def test_a_hostile_number_is_one_clear_error(amount):
    """Neither a traceback nor a megabyte of digits."""
    with pytest.raises(ConfigError, match=r"^b: ") as caught:
        parse_prices(BOOK.replace("amount = 0.1", f"amount = {amount}"), "b")
    assert len(str(caught.value)) < 300


def test_a_tier_that_ends_beyond_all_bytes_is_refused():
    """Its length would have more digits than an invoice."""
    with pytest.raises(ConfigError, match="up_to: expected a number between"):
        parse_prices(f"{BOOK}up_to = 1e40\n", "b")


@pytest.mark.parametrize("months", ["1e60", "1e70", "1e999999"])
def test_a_quantity_beyond_all_digits_is_refused(months):
    """An invoice rounds nothing, so there is an end to what it takes."""
    with pytest.raises(ConfigError, match=r"expected quantities below 10\^60"):
        quantity(Decimal(months))
