"""What readings of a PostgreSQL server prove, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.postgres.effect import postgres_effect
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import parse_fault

PARAMETERS: dict[str, dict[str, Any]] = {
    "lock_table": {"table": "t"},
    "slow_queries": {"table": "t", "delay": "1s"},
    "statement_timeout": {"limit": "5ms"},
    "serialization_failures": {"table": "t", "share": "50%"},
    "drop_index": {"index": "i"},
}


def fault(kind: str) -> Fault:
    common = {"name": "x", "target": "db", "at": "1s", "for": "5s"}
    found = parse_fault({"kind": f"postgres_{kind}", **common, **PARAMETERS.get(kind, {})}, "x")
    assert isinstance(found, Fault), found
    return found


def series(start_s: float, *readings: dict[str, Any]) -> list[Reading]:
    return [{"at_s": start_s + index, "error": "", **reading} for index, reading in enumerate(readings)]


def seen(kind: str, before: list[dict[str, Any]], during: list[dict[str, Any]]) -> tuple[Any, Any]:
    effect = postgres_effect(fault(kind), series(0, *before), series(10, *during))
    assert effect.detail
    return effect.mechanism, effect.use


LOCKED = {"granted": True, "waiters": [[7, 1.0]]}
FREE = {"granted": False, "waiters": []}


@pytest.mark.parametrize(
    ("during", "proof"),
    [
        ([LOCKED, LOCKED], (True, True)),
        ([{**LOCKED, "waiters": []}] * 2, (True, False)),
        ([LOCKED, FREE, FREE], (False, True)),
        ([FREE], (False, False)),
    ],
)
def test_a_lock(during: list[dict[str, Any]], proof: tuple[Any, Any]) -> None:
    assert seen("lock_table", [FREE], during) == proof


def test_one_who_waits_long_is_one() -> None:
    during = series(10, LOCKED, LOCKED, {**LOCKED, "waiters": [[7, 1.0], [8, 2.0]]})
    effect = postgres_effect(fault("lock_table"), [], during)
    assert "2 statements of others were seen waiting for it, 2 at once" in effect.detail


def test_nothing_is_said_of_what_could_not_be_read() -> None:
    failed = [{"at_s": 10.0, "error": "no answer"}]
    effect = postgres_effect(fault("lock_table"), [], failed)
    assert effect == Effect(None, None, "the server could not be looked at (no answer)")
    assert postgres_effect(fault("lock_table"), [], []).mechanism is None


def test_short_locks_again_and_again() -> None:
    def at(pulses: int, waited: int) -> dict[str, Any]:
        return {"pulses": pulses, "held_s": float(pulses), "waited": waited}

    assert seen("slow_queries", [], [at(1, 0), at(2, 3)]) == (True, True)
    assert seen("slow_queries", [], [at(1, 0), at(2, 0)]) == (True, False)
    assert seen("slow_queries", [], [at(1, 0), at(1, 0)]) == (None, False)
    assert seen("slow_queries", [], [at(2, 0), at(2, 0), at(2, 0)]) == (False, False)


def test_connections_used_up() -> None:
    def at(free: int, tries: int | None, sessions: int) -> dict[str, Any]:
        return {"free": free, "held": 20, "tries": tries, "sessions": sessions}

    assert seen("exhaust_connections", [], [at(0, 3, 5), at(0, 9, 5)]) == (True, True)
    assert seen("exhaust_connections", [], [at(0, 3, 5), at(0, 9, 11)]) == (True, False), "all came in"
    assert seen("exhaust_connections", [], [at(0, 3, 5), at(0, 3, 5)]) == (True, False)
    assert seen("exhaust_connections", [], [at(5, 3, 5), at(5, 4, 6)]) == (False, False)
    assert seen("exhaust_connections", [], [at(0, None, 5), at(0, None, 5)]) == (True, None)
    assert seen("exhaust_connections", [], [at(0, 3, 5)]) == (True, None)


def test_a_database_that_refuses() -> None:
    def at(tries: int, **more: Any) -> dict[str, Any]:
        reading = {"allowed": False, "refused": True, "tries": tries, "sessions": 1, "others": 0}
        return reading | {"ended": 4, "busy": 2} | more

    assert seen("refuse_connections", [], [at(1), at(2)]) == (True, True)
    accepted = {"allowed": True, "refused": None}
    assert seen("refuse_connections", [], [at(1, **accepted), at(1, **accepted)]) == (False, False)
    assert seen("unavailable", [], [at(1), at(1)]) == (True, True), "sessions at work were ended"
    assert seen("unavailable", [], [at(1, busy=0), at(1, busy=0)]) == (True, False)
    assert seen("unavailable", [], [at(1, others=1), at(1, others=2)]) == (False, True)


def test_sessions_that_are_ended() -> None:
    def at(ended: int, busy: int, survivors: int) -> dict[str, Any]:
        return {"ended": ended, "busy": busy, "survivors": survivors}

    assert seen("terminate_backends", [], [at(3, 1, 0)]) == (True, True)
    assert seen("terminate_backends", [], [at(3, 0, 1)]) == (True, False)
    assert seen("terminate_backends", [], [at(3, 0, 3)]) == (False, False)
    assert seen("terminate_backends", [], [at(0, 0, 0)]) == (False, False)


def test_an_index_that_is_not_planned_with() -> None:
    def at(own: int, others: int, valid: bool = False, planned: bool | None = False) -> dict[str, Any]:
        return {"own_scans": own, "other_scans": others, "valid": valid, "planned": planned}

    used = [at(0, 5, True, True), at(9, 6, True, True)]
    assert seen("drop_index", used, [at(9, 10), at(9, 80)]) == (True, True)
    assert seen("drop_index", used, [at(9, 6), at(9, 6)]) == (True, False)
    assert seen("drop_index", [at(0, 5, True), at(0, 6, True)], [at(0, 9), at(0, 80)]) == (True, False)
    assert seen("drop_index", used, [at(9, 6, planned=True)] * 2) == (False, False)
    assert seen("drop_index", used, [at(9, 6, valid=True)] * 2) == (False, False)
    assert seen("drop_index", [], [at(9, 6)] * 2) == (True, None)


@pytest.mark.parametrize(("kind", "count"), [("work_mem", "temp_files"), ("read_only", "rollbacks")])
def test_settings(kind: str, count: str) -> None:
    def at(shown: str, so_many: int) -> dict[str, Any]:
        return {"wanted": "new", "shown": shown, "temp_files": 0, "rollbacks": 0} | {count: so_many}

    before = [at("old", 0), at("old", 0), at("old", 1)]
    assert seen(kind, before, [at("new", 5), at("new", 40)]) == (True, True)
    assert seen(kind, before, [at("new", 1), at("new", 1)]) == (True, False)
    assert seen(kind, [at("old", 0), at("old", 20)], [at("new", 40), at("new", 60)]) == (True, False), (
        "as before"
    )
    assert seen(kind, before, [at("old", 5), at("old", 40)]) == (False, True)
    assert seen(kind, [at("new", 0), at("new", 0)], [at("new", 90), at("new", 99)]) == (False, True)
    assert seen(kind, [], [at("new", 5), at("new", 9)]) == (True, None)


def test_statements_that_fail() -> None:
    def at(of: int, failed: int, **more: Any) -> dict[str, Any]:
        return {"there": True, "held": True, "seen": of, "failed": failed} | more

    assert seen("serialization_failures", [], [at(10, 4)]) == (True, True)
    assert seen("serialization_failures", [], [at(3, 0)]) == (True, False)
    assert seen("serialization_failures", [], [at(50, 0)]) == (False, False), "at a share of a half"
    assert seen("serialization_failures", [], [at(0, 0, there=False)]) == (False, False)
    assert seen("serialization_failures", [], [at(0, 0, held=False)]) == (False, False)


def test_a_standby_that_stands_still() -> None:
    def at(behind: int | None, worked_s: float | None, paused: bool = True) -> dict[str, Any]:
        return {"paused": paused, "behind_bytes": behind, "server_s": 100.0, "worked_s": worked_s}

    assert seen("replication_lag", [], [at(0, 99.0), at(500, 101.0)]) == (True, True)
    assert seen("replication_lag", [], [at(0, 99.0), at(500, 99.0)]) == (True, False)
    assert seen("replication_lag", [], [at(0, 99.0), at(500, None)]) == (True, False)
    assert seen("replication_lag", [], [at(0, 99.0), at(0, 101.0)]) == (True, False)
    assert seen("replication_lag", [], [at(0, 99.0, False), at(9, 101.0, False)]) == (False, True)
