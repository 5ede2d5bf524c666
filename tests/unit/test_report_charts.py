"""The charts: two widths, words for what colour says, and room for long names."""

import re
from dataclasses import replace

import pytest

from materialize.report import charts
from materialize.report.drawing import NARROW, WIDE
from tests.report_cases import full_result, minimal_result

EVERY = (charts.accuracy_chart, charts.copies_chart, charts.curves_chart, charts.time_chart,
         charts.storage_chart, charts.ablation_chart)  # fmt: skip


def _texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("draw", EVERY)
def test_a_chart_fits_a_page_and_a_phone(draw):
    """Text has one size in both, so it is drawn twice rather than shrunk."""
    chart = draw(full_result())
    for svg, width in ((chart.wide, WIDE), (chart.narrow, NARROW)):
        assert svg.startswith(f'<svg viewBox="0 0 {width} ')
        sizes = {float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)}
        assert sizes == {12.0}


@pytest.mark.parametrize("draw", EVERY[:-1])
def test_a_chart_does_without_what_one_seed_cannot_give(draw):
    """Intervals, validation, several panels."""
    assert draw(minimal_result()).narrow.endswith("</svg>")


def test_arms_are_named_at_their_rows():
    """In the order of the result, with the mean beside each."""
    texts = _texts(charts.accuracy_chart(full_result()).wide)
    names = [arm.name for arm in full_result().arms]
    assert [text for text in texts if text in names] == names
    assert {f"{100 * arm.accuracy:.1f}" for arm in full_result().arms} <= set(texts)


def test_verdicts_are_named_beside_their_shapes():
    """The shape of a mark is its verdict."""
    texts = _texts(charts.copies_chart(full_result()).narrow)
    assert {"equivalent", "worse", "inconclusive"} <= set(texts)


def test_descriptions_hold_the_figures():
    """They are read instead of the picture."""
    said = charts.copies_chart(full_result()).description
    assert "K = 1 worse, −4.7 points" in said
    assert "offline K=4 49.2 MB" in charts.storage_chart(full_result()).description


def test_a_long_name_leaves_room_for_the_marks():
    """It is cut; the table beside the chart has it in full."""
    full = full_result()
    row = replace(full.ablation[0], label="without " + "x" * 200)
    texts = _texts(charts.ablation_chart(replace(full, ablation=(row,))).narrow)
    assert any(re.fullmatch(r"without x+…", text) and len(text) < 40 for text in texts)


def test_a_training_of_one_epoch_is_a_dot():
    """A line through one point would be nothing."""
    full = minimal_result()
    runs = tuple(replace(run, epochs=run.epochs[:1]) for run in full.runs)
    assert "<use " in charts.curves_chart(replace(full, runs=runs)).wide
