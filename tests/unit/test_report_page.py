"""The page: valid, whole, self-contained, readable by machines that read aloud, and true."""

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from materialize.contrast.results import ContrastResult, EnsembleResult
from materialize.errors import ConfigError
from materialize.report.contrast_page import render_contrast
from tests.report_cases import ACCOUNT, full_result, minimal_result

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x01\x08\x02\x00\x00\x00"
    b"{@\xe8\xdd"
)
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.text = page.decode()
        self.open, self.problems = [], []
        self.tags = []  # (tag, attributes)
        self.tables = {}  # caption → rows of cells
        self.data = []  # (value, text) of every number in a table
        self._caption = self._cell = self._value = None
        self.feed(self.text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self.tables[self._caption].append([])
        elif tag in ("th", "td"):
            self._cell = ""
        elif tag == "data":
            self._value = dict(attrs)["value"]

    def handle_data(self, text):
        if "caption" in self.open and "small" not in self.open:
            self._caption += text
        if self._cell is not None and "span" not in self.open:
            self._cell += text
        if self._value is not None:
            self.data.append((self._value, text))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()}")
        if tag == "caption":
            self.tables[self._caption] = []
        elif tag in ("th", "td"):
            self.tables[self._caption][-1].append(self._cell.strip())
            self._cell = None
        elif tag == "data":
            self._value = None


@cache
def drawn(kind: str) -> bytes:
    """Each kind of page, drawn once."""
    if kind == "full":
        return render_contrast(full_result(), gallery=PNG, account=ACCOUNT)
    result = minimal_result()
    if kind == "one arm":
        result = replace(result, arms=result.arms[:1], verdicts=())
    return render_contrast(result)


@pytest.fixture(scope="module", params=["full", "minimal", "one arm"])
def page(request):
    """Each kind of page, parsed."""
    return Page(drawn(request.param))


@pytest.fixture(scope="module")
def full():
    """The page that has every part."""
    return Page(drawn("full"))


def _numbers(value):
    """Every number in some JSON."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return {number for item in items for number in _numbers(item)}
    return {float(value)} if isinstance(value, int | float) else set()


def test_every_element_is_closed_where_it_should_be(page):
    """A browser repairs what is not, each in its own way."""
    assert page.problems == []


def test_every_id_is_given_once_and_every_reference_has_its_id(page):
    """Charts come from one library, which numbers its parts alike in each of them."""
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|url\(#)([\w-]+)', page.text)
    used += [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
    assert set(used) <= set(ids)


def test_nothing_is_asked_of_a_network(page):
    """The file opens from disk; the policy in it forbids what it does not carry."""
    assert "default-src 'none'" in page.text
    scripts = [a for tag, a in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "facts"}]  # facts, which nobody runs
    drawn = re.sub(r"<script.*?</script>", "", page.text, flags=re.DOTALL)
    assert not re.search(r"https?:|//[a-z]|@import|<link|<iframe|\bon\w+=", drawn)
    addresses = [a[name] for _, a in page.tags for name in ("src", "href") if name in a]
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)


def test_headings_come_in_order(page):
    """One title, then sections; nothing is skipped."""
    levels = [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == "h1"
    assert set(levels[1:]) == {"h2"}


def test_every_chart_and_picture_says_what_it_shows(page):
    """Whoever cannot see a chart hears its figures."""
    charts = [a for _, a in page.tags if a.get("role") == "img"]
    assert charts
    assert all(len(chart["aria-label"]) > 20 for chart in charts)
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")


def test_every_box_that_scrolls_can_be_reached_and_has_a_name(page):
    """By keyboard, and read aloud."""
    boxes = [a for _, a in page.tags if a.get("class") == "scroll"]
    assert boxes
    assert all(b["tabindex"] == "0" and {"aria-label", "aria-labelledby"} & set(b) for b in boxes)


def test_the_contents_name_every_section(page):
    """And nothing else."""
    links = [a["href"][1:] for tag, a in page.tags if tag == "a"]
    assert links == [a["id"] for tag, a in page.tags if tag == "h2"]


def test_colours_come_from_the_page(page):
    """A colour written into a chart would stay light in the dark."""
    charts = "".join(re.findall(r"<svg.*?</svg>", page.text, re.DOTALL))
    assert "var(--" in charts
    assert not re.search(r"#[0-9a-f]{6}\b(?!-)|font-family", charts)


def test_every_number_in_a_table_is_one_of_the_result(full):
    """It carries the value, and is that value rounded; in percent where the column says so."""
    account = {float(getattr(ACCOUNT, name)) for name in dir(ACCOUNT) if name.endswith("_bytes")}
    known = _numbers(json.loads(json.dumps(full_result().to_json()))) | account | {0.0, 1.0}
    assert len(full.data) > 300
    for value, text in full.data:
        shown = text.replace("−", "-").replace(",", "")
        half = 0.5 * 10 ** -len(shown.partition(".")[2]) + 1e-9
        assert float(value) in known
        assert min(abs(float(shown) - scale * float(value)) for scale in (1, 100)) <= half


def test_a_row_says_what_its_arm_found(full):
    """Every figure in its column."""
    header, *rows = full.tables["Test accuracy by arm"]
    by_name = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert list(by_name) == [arm.name for arm in full_result().arms]
    for arm in full_result().arms:
        row = by_name[arm.name]
        assert row["Seeds"] == "5"
        assert row["Test accuracy, %"] == f"{100 * arm.accuracy:.1f}"
        low, high = 100 * arm.accuracy_low, 100 * arm.accuracy_high
        assert row["95 % interval, %"] == f"{low:.1f} … {high:.1f}"
    assert by_name["none"]["Difference, points"] == "−5.4"


def test_every_training_is_listed(full):
    """With its own figures, which the means come from."""
    assert len(full.tables["Every training"]) == 1 + len(full_result().runs)


def test_the_matrix_is_the_sum_over_the_best_arms_trainings(full):
    """Rows are true classes."""
    caption = next(name for name in full.tables if name.startswith("offline K=8: rows"))
    runs = [run for run in full_result().runs if run.name == "offline K=8"]
    rows = full.tables[caption][1:]
    assert len(rows) == 10
    assert rows[2][1:] == [str(sum(r.confusion[2][i] for r in runs)) for i in range(10)]


def test_digests_that_prove_are_there_in_full(full):
    """Anybody can compare them with their own."""
    for pair in full_result().proof.pairs:
        assert full.text.count(pair.weights) >= 2


def test_equal_results_give_equal_bytes():
    """Also through a file, whatever matplotlib is set to outside."""
    import matplotlib as mpl

    stored = json.loads(json.dumps(full_result().to_json()))
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        again = render_contrast(ContrastResult.from_json(stored), gallery=PNG, account=ACCOUNT)
        assert again == drawn("full")
        assert mpl.rcParams["font.size"] == 30


def test_what_a_result_does_not_have_is_left_out():
    """No empty sections, tables or columns."""
    page = Page(drawn("minimal"))
    sections = [a["id"] for tag, a in page.tags if tag == "h2"]
    assert sections == ["accuracy", "copies", "curves", "time", "storage", "reproduce"]
    assert page.tables["Test accuracy by arm"][0] == [
        "Arm", "Seeds", "Test accuracy, %", "Difference, points",
    ]  # fmt: skip
    assert page.tables["Accuracy in the last epoch"][0] == ["Arm", "Training, %"]
    seen = re.sub(r"<svg.*?</svg>|<script.*?</script>", "", page.text, flags=re.DOTALL)
    assert "None" not in seen


def test_names_cannot_become_markup():
    """Classes, notes and labels are the user's."""
    name = '<b>轉 $x$ & "q" and on and on and on and on and on'
    result = replace(
        minimal_result(), title=name, notes=(name,), dataset={"class_names": [name]},
        ablation=(replace(full_result().ablation[0], label=name),),
    )  # fmt: skip
    page = Page(render_contrast(result))
    assert page.problems == []
    assert "b" not in {tag for tag, _ in page.tags}


def test_many_classes_are_told_by_their_most_frequent_confusions():
    """A matrix of a hundred columns says nothing."""
    minimal, size = minimal_result(), 40
    confusion = tuple(
        tuple(9 * (i == j) + (j == i + 1) * i for j in range(size)) for i in range(size)
    )
    names = [f"class {i}" for i in range(size)]
    result = replace(
        minimal, runs=tuple(replace(run, confusion=confusion) for run in minimal.runs),
        dataset={**minimal.dataset, "class_names": names},
    )  # fmt: skip
    rows = Page(render_contrast(result)).tables["The most frequent confusions"]
    assert rows[1] == ["class 38", "class 39", "38", f"{100 * 38 / 47:.1f}"]


def test_folds_show_their_averaged_models():
    """Each seed of each arm, beside the arms."""
    ensemble = EnsembleResult(name="none", seed=0, num_models=5, test_accuracy=11 / 12,
                              test_loss=0.3, num_correct=11, num_images=12)  # fmt: skip
    page = Page(render_contrast(replace(minimal_result(), ensembles=(ensemble,))))
    assert page.tables["The folds' models averaged"][1] == [
        "none", "0", "5", "91.7", "0.3000", "11", "12",
    ]  # fmt: skip


def test_a_gallery_must_be_a_png():
    """The page names its type, and gives it room before it is decoded."""
    assert 'width="2" height="1"' in render_contrast(minimal_result(), gallery=PNG).decode()
    with pytest.raises(ConfigError, match="expected the bytes of a PNG"):
        render_contrast(minimal_result(), gallery=b"GIF89a")


def test_the_facts_are_in_the_page(full):
    """As JSON that no name or note can end."""
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', full.text, re.DOTALL).group(1))
    assert facts["result"] == json.loads(json.dumps(full_result().to_json()))
    name = "</script><b>"
    page = Page(render_contrast(replace(minimal_result(), title=name)))
    assert page.problems == []
    assert "b" not in {tag for tag, _ in page.tags}


def test_an_interval_ends_where_accuracies_do():
    """Student's t knows no bounds; nobody is right more often than always."""
    minimal = minimal_result()
    arm = replace(minimal.arms[0], accuracy=0.97, accuracy_low=-0.2, accuracy_high=1.04)
    page = Page(render_contrast(replace(minimal, arms=(arm, *minimal.arms[1:]))))
    assert page.tables["Test accuracy by arm"][1][3] == "0.0 … 100.0"
    chart = re.search(r'data-chart="accuracy".*?</figure>', page.text, re.DOTALL).group()
    ticks = re.findall(r"<text[^>]*>([−\d.]+)</text>", chart)
    assert all(0 <= float(tick.replace("−", "-")) <= 100 for tick in ticks)


def test_long_class_names_head_no_column(full):
    """A letter does; the name stands beside it in its row, and is read aloud in both."""
    caption = next(name for name in full.tables if name.startswith("offline K=8: rows"))
    assert full.tables[caption][0][1:4] == ["A", "B", "C"]
    assert full.text.count('<span class="unseen"> airplane</span>') == 1


def test_a_table_that_is_wider_than_a_phone_says_that_it_scrolls(full):
    """Also where it has few columns but long ones."""
    assert re.search(r"The dataset on disk[^<]*<small> \(scrolls", full.text)
    assert not re.search(r"Stored bytes by arm<small>", full.text)
