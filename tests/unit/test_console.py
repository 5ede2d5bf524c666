"""Progress: how fast, how long still, and one JSON line a second where there is no terminal."""

import io
import json

import pytest

from materialize.console import JsonLines, Meter, duration, progress_shown, size


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_what_stood_already_does_not_count_into_the_speed():
    clock = Clock()
    meter = Meter(clock)
    meter.update(900, 1000)
    clock.now += 2
    meter.update(950, 1000)
    assert (meter.images_per_s, meter.left_s) == (25.0, 2.0)


def test_the_time_left_runs_down_between_shards():
    clock = Clock()
    meter = Meter(clock)
    meter.update(0, 100)
    clock.now += 1
    meter.update(50, 100)
    clock.now += 0.75
    meter.update(50, 100)
    assert (meter.images_per_s, meter.left_s) == (50.0, 0.25)


def test_nothing_is_claimed_before_something_is_done():
    meter = Meter(Clock())
    meter.update(0, 100)
    assert meter.images_per_s is None
    assert meter.left_s is None


def lines_of(calls):
    """The lines for (seconds, stage, done, total) calls."""
    clock, stream = Clock(), io.StringIO()
    lines = JsonLines(stream, clock)
    for seconds, stage, done, total in calls:
        clock.now = 100 + seconds
        lines(stage, done, total)
    lines.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_a_second_and_one_at_the_end():
    calls = [(0.2 * i, "build", i, 20) for i in range(21)]
    assert [line["done"] for line in lines_of(calls)] == [0, 5, 10, 15, 20]


def test_the_end_is_told_once():
    calls = [(0, "build", 0, 2), (0.1, "build", 2, 2), (0.2, "build", 2, 2)]
    assert [line["done"] for line in lines_of(calls)] == [0, 2]


def test_a_stage_that_ends_early_is_told_before_the_next():
    calls = [(0, "scan", 0, 9), (0.1, "scan", 5, 9), (0.2, "build", 1, 1)]
    told = [(line["stage"], line["done"]) for line in lines_of(calls)]
    assert told == [("scan", 0), ("scan", 5), ("build", 1)]


def test_a_stream_that_is_no_terminal_gets_json_lines():
    stream = io.StringIO()
    with progress_shown(stream) as progress:
        progress("scan", 5, 10)
    assert json.loads(stream.getvalue())["stage"] == "scan"


class Unread(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


def test_lost_progress_stops_nothing():
    done = []
    with progress_shown(Unread()) as progress:
        for number in range(3):
            progress("build", number, 2)
            done.append(number)
        progress("verify", 1, 1)
    assert done == [0, 1, 2]


class UnreadTerminal(Unread):
    def isatty(self):
        return True


def test_a_lost_terminal_stops_nothing():
    with progress_shown(UnreadTerminal()) as progress:
        progress("build", 2, 2)


def test_a_process_without_standard_error_shows_no_progress(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with progress_shown() as progress:
        progress("build", 2, 2)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar():
    stream = Terminal()
    with progress_shown(stream) as progress:
        progress("scan", 5, 10)
        progress("repair", 1, 2)
    assert "5 of 10 images" in stream.getvalue()
    assert "1 of 2 shards" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_seconds_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (3100, "3.1 kB"), (246e6, "246.0 MB"), (2e15, "2.0 PB")],
)
def test_bytes_in_words(count, words):
    assert size(count) == words
