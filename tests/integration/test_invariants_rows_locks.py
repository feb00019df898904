"""PostgreSQL's own locks under pressure: readers together, a writer alone, and how long they waited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import pytest

from invariants import Step
from invariants.catalogue import machine_of
from invariants.checkers.exclusion import together, waits_s
from invariants.execute import execute
from invariants.targets.sql_client import SqlClient, SqlTarget
from tests.servers.postgres import PostgresServer, running_postgres

from .at_once import LIMIT_S, at_once

READERS, WRITERS = 24, 8


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(max_connections=80) as running:
        yield running


@dataclass(repr=False)
class AdvisoryLocks(SqlTarget):
    """twin: a writer takes the lock of a reader."""

    twin: bool = False

    def connect(self, scope: str) -> Advisory:
        return Advisory(self, scope, self.twin)


class Advisory(SqlClient):
    def __init__(self, target: SqlTarget, scope: str, twin: bool) -> None:
        super().__init__(target, scope)
        self._key, self._writers = crc32(scope.encode()), "_shared" if twin else ""

    def acquire(self) -> None:
        self._ask(f"pg_advisory_lock{self._writers}")

    def release(self) -> None:
        self._ask(f"pg_advisory_unlock{self._writers}")

    def acquire_shared(self) -> None:
        self._ask("pg_advisory_lock_shared")

    def release_shared(self) -> None:
        self._ask("pg_advisory_unlock_shared")

    def _ask(self, function: str) -> None:
        with self.statements() as connection:
            connection.execute(f"SELECT {function}(%s)".encode(), (self._key,))


@pytest.mark.parametrize("twin", [False, True])
def test_readers_are_together_and_a_writer_is_alone(
    server: PostgresServer, twin: bool, record_property: Any
) -> None:
    target = AdvisoryLocks(server.app, answer_limit_s=LIMIT_S, twin=twin)
    machine = machine_of("writers_are_alone")(target, "readers", hold_s=0.01)
    readers = [Step(100 * lane + n, "share", {}, lane) for lane in range(READERS) for n in range(10)]
    writers = [Step(10_000 + 100 * w + n, "hold", {}, READERS + w) for w in range(WRITERS) for n in range(5)]
    history = execute(machine, readers + writers, None, LIMIT_S).history
    checked = machine.checker.check(history)
    shared = max(map(len, together(history.of("share"))))
    record_property("readers at once", shared)
    record_property("longest wait (s)", max(waits_s(history)))
    assert checked.seen["holds"] == 10 * READERS + 5 * WRITERS, "all were served in the end"
    assert shared > 1
    if twin:
        assert {found.anomaly for found in checked.violations} <= {"shared", "overlap"}
        assert checked.violations
    else:
        assert checked.passed, checked
        assert max(map(len, together(history.of("hold")))) == 1
    target.forget("readers")


@pytest.mark.parametrize("twin", [False, True])
def test_fifty_who_want_one_lock_have_it_one_after_the_other(
    server: PostgresServer, twin: bool, record_property: Any
) -> None:
    target = AdvisoryLocks(server.app, answer_limit_s=LIMIT_S, twin=twin)
    machine = machine_of("locks_exclude")(target, "mutex", hold_s=0.002)
    history = at_once(machine, *[("hold", {})] * 4, lanes=50)
    checked = machine.checker.check(history)
    waits = sorted(waits_s(history))
    record_property("p50 and longest wait (s)", (waits[len(waits) // 2], waits[-1]))
    assert len(waits) == 200
    if twin:
        assert {found.anomaly for found in checked.violations} == {"overlap"}
    else:
        assert checked.passed, checked
    target.forget("mutex")
