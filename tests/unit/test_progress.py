"""Progress is read off the disk: exact at the end, and cheap however many shards are missing."""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from materialize.progress import Watch
from materialize.receipts import RECEIPTS_DIRECTORY, receipt_path

MANY = 3000
ROWS = 2


@dataclass(frozen=True)
class Spec:
    """What a watch asks of a shard's specification."""

    number: int
    num_images: int = ROWS

    def file_name(self):
        return f"copy-{self.number:05d}.h5"


@pytest.fixture
def shards(tmp_path):
    (tmp_path / RECEIPTS_DIRECTORY).mkdir()
    return [Spec(number) for number in range(MANY)]


def finish(directory, specs):
    for spec in specs:
        receipt_path(directory, spec.file_name()).touch()


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_the_last_look_is_exact_wherever_the_receipts_are(tmp_path, shards):
    calls = []
    with Watch(tmp_path, shards, lambda *call: calls.append(call)):
        finish(tmp_path, shards[::7])
    assert calls[-1] == ("build", len(shards[::7]) * ROWS, MANY * ROWS)


@pytest.mark.parametrize("where", [slice(100), slice(2500)])
def test_receipts_in_the_order_of_the_shards_are_met_in_one_look(tmp_path, shards, where):
    """So a resumed build starts from where it was."""
    finish(tmp_path, shards[where])
    calls = []
    with Watch(tmp_path, shards, lambda *call: calls.append(call)):
        assert wait_until(lambda: calls)
    assert calls[0] == ("build", len(shards[where]) * ROWS, MANY * ROWS)


def test_receipts_far_from_the_front_are_met_in_their_turn(tmp_path, shards, monkeypatch):
    monkeypatch.setattr("materialize.progress._LONGEST_PAUSE_S", 0.01)
    finish(tmp_path, shards[-5:])
    calls = []
    with Watch(tmp_path, shards, lambda *call: calls.append(call)):
        assert wait_until(lambda: calls and calls[-1][1] == 5 * ROWS)


def test_one_look_asks_for_few_receipts_that_are_missing(tmp_path, shards, monkeypatch):
    asked, calls = [], []
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: asked.append(path) or exists(path))
    with Watch(tmp_path, shards, lambda *call: calls.append(call)):
        assert wait_until(lambda: calls)
        per_look = len(asked) / len(calls)
    assert per_look <= 512


def test_pauses_grow_to_two_seconds_while_nothing_is_new(tmp_path, shards, monkeypatch):
    pauses = []

    class Clockless:
        """An event that nobody sets and that is over at once."""

        def wait(self, pause):
            pauses.append(pause)
            if len(pauses) == 12:
                finish(tmp_path, shards[:1])
            return len(pauses) > 12

        def set(self):
            pass

    monkeypatch.setattr("materialize.progress.threading.Event", Clockless)
    monkeypatch.setattr("materialize.progress._PAUSE_PER_LOOK", 0)
    watch = Watch(tmp_path, shards, lambda *call: None)
    watch._run()
    assert pauses[0] == 0.2
    assert pauses == sorted(pauses[:12]) + pauses[12:]
    assert pauses[11] == 2.0
    assert pauses[12] == 0.2


def test_without_anybody_to_tell_nothing_is_looked_at(tmp_path, shards, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: pytest.fail("looked"))
    with Watch(tmp_path, shards, None):
        pass
