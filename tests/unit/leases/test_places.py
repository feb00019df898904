"""Where `cleanup` looks, and what it leaves alone there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos_locust.backends.base import Backend
from chaos_locust.backends.registry import BUILT_IN, Backends
from chaos_locust.errors import BackendError, ChaosError
from chaos_locust.leases.alive import Alive
from chaos_locust.leases.claims import Claims
from chaos_locust.leases.cleanup import cleanup
from chaos_locust.leases.places import DEFAULT_PROXY_API, searches
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.probes.process import ProcessId, identify


def own() -> ProcessId:
    found = identify(os.getpid())
    assert found is not None
    return found


def test_a_place_goes_to_those_who_can_look_there() -> None:
    def families(place: str) -> list[str]:
        return [search.family for search in searches(False, [], [place]) if search.asked]

    assert families("http://127.0.0.1:1") == ["proxy", "http"]
    assert families("postgresql://u@db/x") == ["postgres"]
    assert families("rediss://cache") == ["redis"]
    assert families("/srv/data") == ["files", "clock"]


def test_this_machine_is_looked_at_by_every_family() -> None:
    here = {search.family for search in searches(True, [], []) if search.place == ""}
    assert here == set(BUILT_IN) - {"proxy", "http"}
    assert all(not search.asked for search in searches(True, [], []))


def test_the_usual_proxy_is_looked_at_unless_one_is_given() -> None:
    def proxies(*arguments: list[str]) -> list[str]:
        return [search.place for search in searches(True, *arguments) if search.family == "proxy"]

    assert proxies([], []) == [DEFAULT_PROXY_API]
    assert proxies(["http://a"], []) == ["http://a"]
    assert proxies([], ["http://b"]) == ["http://b"]


@pytest.mark.parametrize("place", ["ftp://x", "data", "", "postgres:5432", "mysql://u:secret@db"])
def test_what_is_no_place(place: str, tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="is no place to look at; allowed: ") as told:
        cleanup(scan=False, places=[place], store=LeaseStore(tmp_path))
    assert "secret" not in str(told.value)


def test_a_place_that_cannot_be_reached_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"redis://:\*\*\*@127.0.0.1:1"):
        cleanup(scan=False, places=["redis://:secret@127.0.0.1:1"], store=LeaseStore(tmp_path))


def test_a_package_that_is_missing_matters_only_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(self: Backends, name: str) -> Backend:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(Backends, "named", named)
    told: list[str] = []
    assert cleanup(scan=True, store=LeaseStore(tmp_path / "leases"), tell=told.append) == []
    assert told == []
    with pytest.raises(BackendError) as error:
        cleanup(scan=False, places=["postgres://db"], store=LeaseStore(tmp_path / "leases"))
    expected = "postgres://db: No module named 'psycopg'; pip install 'chaos-locust[postgres]'"
    assert str(error.value) == expected


def alive(folder: Path, undo: dict[str, object], deadline_s: float) -> Alive:
    store = LeaseStore(folder / "leases")
    store.save(Lease("run-1", "fault.slow", own(), deadline_s, {"backend": "x", **undo}))
    return Alive(store, Claims(store))


def test_marks_of_living_runs_are_left_alone(tmp_path: Path) -> None:
    found = alive(tmp_path, {"mark": "chaos-0123456789abcdef"}, boottime_s() + 100)
    assert found.without({"mark": "chaos-0123456789abcdef"}) is None
    assert found.without({"mark": "chaos-run-1-another"}) is None, "also what no lease tells of"
    assert found.without({"mark": "chaos-run-12-slow"}) == {"mark": "chaos-run-12-slow"}
    assert found.without({"proxy": "chaos-run-1-web", "action": "proxy"}) is None
    toxics = [{"name": "chaos-run-1-slow-upstream"}, {"name": "chaos-old-slow-upstream"}]
    assert found.without({"proxy": "web", "toxics": toxics}) == {"proxy": "web", "toxics": toxics[1:]}
    assert found.without({"proxy": "web", "toxics": toxics[:1]}) is None


def test_marks_whose_time_is_over_are_not(tmp_path: Path) -> None:
    found = alive(tmp_path, {"mark": "chaos-0123456789abcdef"}, boottime_s() - 1)
    assert found.without({"mark": "chaos-0123456789abcdef"}) is not None
