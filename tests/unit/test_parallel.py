"""One function over many items, by every backend that joblib has."""

import os
import signal

import pytest

from materialize.audit.parallel import unordered
from materialize.audit.verification import verify_dataset
from materialize.errors import BuildFailedError, ConfigError, MaterializeError
from materialize.executor import Crew
from materialize.parallel import BrokenProcessPool, spread
from materialize.population import scan
from materialize.sources import FolderSource
from tests.jobs import build_photos, contents, photos

BACKENDS = ["loky", "threading", "sequential", "multiprocessing"]


def squared(number):
    return number**2


def refused(number):
    raise LookupError(number)


def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("workers", [1, 2, -1])
def test_results_come_in_order_if_that_is_asked_for(backend, workers):
    found = spread(squared, range(20), workers=workers, backend=backend, in_order=True)
    assert list(found) == [number**2 for number in range(20)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_result_comes_once(backend):
    found = unordered(squared, range(20), Crew(3, backend))
    assert sorted(found) == [number**2 for number in range(20)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_of_the_function_come_through(backend):
    with pytest.raises(LookupError):
        list(spread(refused, range(3), workers=2, backend=backend))


def test_no_items_give_no_results():
    assert list(spread(squared, [], workers=2, backend="loky")) == []


def test_a_killed_worker_is_told():
    with pytest.raises(BrokenProcessPool):
        list(spread(killed, range(2), workers=2, backend="loky"))
    with pytest.raises(MaterializeError, match="worker processes was killed"):
        list(unordered(killed, range(2), Crew(2, "loky")))


@pytest.mark.parametrize("backend", BACKENDS)
def test_scan_build_and_audit_run_by_every_backend(tmp_path, backend):
    source = photos(tmp_path / "source")
    crew = Crew(2, backend)
    build_photos(source, tmp_path / "alone")
    build_photos(source, tmp_path / "out", crew=crew)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert verify_dataset(tmp_path / "out", depth="pixels", crew=crew).is_intact


def test_a_backend_that_joblib_has_not_is_refused_by_name(tmp_path):
    source = photos(tmp_path / "source")
    build_photos(source, tmp_path / "out")
    crew = Crew(2, "steam")
    with pytest.raises(ConfigError, match=r"backend: .*'steam'"):
        scan(FolderSource(source), n_jobs=2, backend="steam")
    with pytest.raises(ConfigError, match=r"backend: .*'steam'"):
        build_photos(source, tmp_path / "other", crew=crew)
    with pytest.raises(ConfigError, match=r"backend: .*'steam'"):
        verify_dataset(tmp_path / "out", crew=crew)


class Unreadable(FolderSource):
    """Pictures that can be scanned, and of which one cannot be read later."""

    scanned = False

    def identity_bytes(self, index):
        if self.scanned and self.record(index).locator == "a/000.png":
            raise MemoryError
        return super().identity_bytes(index)


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_errors_of_a_build_come_together(tmp_path, backend, monkeypatch):
    source = Unreadable(photos(tmp_path / "source"))
    population = scan(source)
    source.scanned = True
    monkeypatch.setattr("materialize.builder.scan", lambda *_, **__: population)
    with pytest.raises(BuildFailedError, match="tasks failed"):
        build_photos(source, tmp_path / "out", crew=Crew(2, backend))
