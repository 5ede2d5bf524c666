"""The pages in a real browser: nothing complains, nothing is fetched, and what is shown is true."""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from materialize import build
from materialize.accounting.prices import read_prices
from materialize.contrast.cost import cost_of
from materialize.contrast.terms import CostTerms
from materialize.production import BuildOptions
from materialize.report.contrast_page import contrast_facts, render_contrast
from materialize.report.dataset_facts import gather_facts
from materialize.report.dataset_page import dataset_json, render_dataset
from tests.browser import NAMES, Browser, find_chromium
from tests.report_cases import ACCOUNT, full_result, write_photos

WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
CHARTS = {
    "dataset": {"kinds", "classes", "copies", "sizes", "cost", "time"},
    "contrast": {"accuracy", "copies", "curves", "time", "storage", "ablation", "money", "epochs",
                 "runs"},
}  # fmt: skip
BARS = {"dataset": ("classes", "copies", "cost", "time"), "contrast": ("money",)}
"""Charts whose bars begin at zero."""


@dataclass
class Page:
    """One page on the disk."""

    kind: str
    path: Path
    facts: dict


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium, if there is one."""
    program = find_chromium()
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    with Browser(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="session")
def dataset_page(tmp_path_factory):
    """Of a small dataset with classes, originals, copies and an image left out."""
    place = tmp_path_factory.mktemp("report")
    write_photos(place / "photos")
    build(
        place / "photos", place / "animals", pipeline="cifar10", copies=3, seed=7, originals=True,
        options=BuildOptions(max_bad=0.5),
    )  # fmt: skip
    facts = gather_facts(place / "animals", read_prices(), months=Decimal(3))
    path = place / "dataset.html"
    path.write_bytes(render_dataset(facts))
    return Page("dataset", path, json.loads(json.dumps(dataset_json(facts))))


@pytest.fixture(scope="session")
def contrast_page(tmp_path_factory):
    """Of a contrast that has every part, with costs."""
    result = full_result()
    cost = cost_of(result, terms=CostTerms(gpu_price_per_hour=Decimal("2.5")))
    path = tmp_path_factory.mktemp("report") / "contrast.html"
    path.write_bytes(render_contrast(result, account=ACCOUNT, cost=cost))
    facts = contrast_facts(result, account=ACCOUNT, cost=cost)
    return Page("contrast", path, json.loads(json.dumps(facts)))


@pytest.fixture(params=["dataset_page", "contrast_page"])
def page(request):
    """Each kind of page."""
    return request.getfixturevalue(request.param)


def embedded(browser):
    """The facts that a page carries."""
    return json.loads(browser.evaluate("document.getElementById('facts').textContent"))


def numbers(value):
    """Every number in some JSON, also those that stand as exact decimal text."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return {number for item in items for number in numbers(item)}
    try:
        return {float(value)}
    except (TypeError, ValueError):
        return set()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_complains_and_nothing_is_fetched(browser, page, width, scheme):
    """No exception, no message, no violated policy; no address but the file's and data's."""
    browser.open(page.path, width=width, scheme=scheme)
    assert browser.of("Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    assert browser.of("Log.entryAdded") == []
    urls = {each["request"]["url"] for each in browser.of("Network.requestWillBeSent")}
    assert {url for url in urls if not url.startswith("data:")} == {page.path.as_uri()}


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser, page, width):
    """Also with everything unfolded: what is wide scrolls in a box of its own."""
    browser.open(page.path, width=width)
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    outside = browser.evaluate(
        "[...document.querySelectorAll('body *')].filter(each => !each.closest('.scroll, .unseen')"
        " && each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML)"
    )
    assert outside == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_is_drawn_and_named(browser, page, width):
    """One of its two drawings is seen, and whoever cannot see it hears its figures."""
    browser.open(page.path, width=width)
    drawn = browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('figure[data-chart]')].map(each => "
        "[each.dataset.chart, [...each.querySelectorAll('svg')].map(svg => "
        "svg.getBoundingClientRect().height > 20)]))"
    )
    assert set(drawn) == CHARTS[page.kind]
    assert all(sorted(seen) == [False, True] for seen in drawn.values())
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree
             if not n["ignored"]]  # fmt: skip
    names = [name for role, name in roles if role in ("image", "img", "figure image")]
    assert len([name for name in names if len(name) > 20]) >= len(drawn)
    assert all(names)
    assert {"banner", "navigation", "main"} <= {role for role, _ in roles}


def test_the_facts_in_the_page_are_those_of_the_json(browser, page):
    """What a program reads from the page is what `--json` writes."""
    browser.open(page.path, width=1280)
    assert embedded(browser) == page.facts


def test_every_number_that_is_shown_is_one_of_the_facts(browser, page):
    """In tables, figures and charts; those that name their place are the ones at that place."""
    browser.open(page.path, width=1280)
    shown = browser.evaluate(
        "[...document.querySelectorAll('data, [data-value]')].map(each => "
        "each.getAttribute('value') ?? each.dataset.value).map(Number)"
    )
    known = numbers(page.facts)
    assert len(shown) > 50
    assert [value for value in shown if value not in known] == []
    keyed = browser.evaluate(
        "[...document.querySelectorAll('[data-key]')].map(each => "
        "[each.dataset.key, Number(each.querySelector('data').value)])"
    )
    for key, value in keyed:
        place = page.facts
        for name in key.split("."):
            place = place[name]
        assert float(place) == value
    assert bool(keyed) == (page.kind == "dataset")


def test_a_bar_is_as_long_as_its_value(browser, page):
    """All bars of a chart are drawn to one scale, from zero."""
    browser.open(page.path, width=1280)
    for chart in BARS[page.kind]:
        bars = browser.evaluate(
            f"[...document.querySelectorAll('figure[data-chart={chart}] .wide [data-value]')].map("
            "each => [Number(each.dataset.value), each.getBBox().width])"
        )
        largest, length = max(bars)
        assert bars
        assert all(abs(px - length * value / largest) < 0.02 for value, px in bars), chart


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out_from_what_is_behind_it(browser, page, scheme):
    """By 4.5 to 1 at least, as WCAG 2.2 asks of text (success criterion 1.4.3)."""
    browser.open(page.path, width=1280, scheme=scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.evaluate(FAINT_TEXTS) == []


FAINT_TEXTS = """(() => {
  const parsed = text => {
    const found = text.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number);
    if (text.startsWith('color(srgb')) for (const i of [0, 1, 2]) found[i] *= 255;
    return found.length < 4 ? [...found.slice(0, 3), 1] : found;
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = each => {
    if (!each) return [255, 255, 255];
    const own = parsed(getComputedStyle(each).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(each.parentElement));
  };
  const light = rgb => rgb.slice(0, 3).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const each = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || each.closest('script, .unseen') || !each.getClientRects().length) continue;
    const style = getComputedStyle(each), below = behind(each);
    const color = parsed(each.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(over(color, below)), light(below)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push([text, (a + 0.05) / (b + 0.05)]);
  }
  return faint;
})()"""


def test_light_and_dark_differ(browser, page):
    """The page follows the system, and so do its charts."""
    seen = []
    for scheme in SCHEMES:
        browser.open(page.path, width=1280, scheme=scheme)
        seen.append(browser.evaluate(
            "[getComputedStyle(document.body).backgroundColor, "
            "getComputedStyle(document.querySelector('svg text')).fill]"
        ))  # fmt: skip
    assert all(light != dark for light, dark in zip(*seen, strict=True))


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser, page):
    """Tab goes on, what has the focus is outlined, and Enter unfolds."""
    browser.open(page.path, width=1280)
    seen = []
    for _ in range(12):
        browser.press("Tab")
        seen.append(browser.evaluate(
            "(each => [each.outerHTML, getComputedStyle(each).outlineStyle, "
            "parseFloat(getComputedStyle(each).outlineWidth)])(document.activeElement)"
        ))  # fmt: skip
    assert len({html for html, *_ in seen}) == len(seen)
    assert all(style == "solid" and width >= 2 for _, style, width in seen)
    browser.evaluate("document.querySelector('summary').focus()")
    browser.press("Enter")
    assert browser.evaluate("document.querySelector('details').open") is True


def test_tables_say_what_their_heads_are_heads_of(browser, page):
    """Every head has a scope, every table a name."""
    browser.open(page.path, width=1280)
    assert browser.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    tables = browser.evaluate("[...document.querySelectorAll('table')].map(each => !!each.caption)")
    assert tables
    assert all(tables)
