"""Operations of users as they are written down, and as they arrive in the history's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import GreenletExit

import chaos_locust
from chaos_locust.errors import ChaosError
from chaos_locust.locust_plugin.history import HistoryFile
from chaos_locust.locust_plugin.operations import Operations, operation, request_failed
from chaos_locust.measure.clock import ClockError
from chaos_locust.testing import FakeClock
from invariants.history import History, InvalidHistory, Operation, read_history

EXACT = ClockError(0.0, 0.0, 0.0, 0.0, 0.0)


class Run:
    """A run in this process that writes operations."""

    def __init__(self, folder: Path) -> None:
        self.now = FakeClock()
        self.operations = Operations("w", self.now)
        self.folder = folder

    def history(self, clock: ClockError = EXACT) -> History:
        file = HistoryFile(self.folder / "history.jsonl")
        file.add(self.operations.take()[1], clock)
        file.close()
        return read_history(file.path)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    with made.operations.write():
        yield made


def outcomes(history: History) -> list[tuple[str, int, str, str]]:
    return [(op.process, op.number, op.outcome, op.error) for op in history]


def test_it_is_one_line_an_operation(run: Run) -> None:
    with chaos_locust.operation("write", value={"a": [1, "ä"]}, key='k"1'):
        run.now.advance(2)
    with chaos_locust.operation("read", key="k") as op:
        run.now.advance(1)
        op.result = 7
    first, second = run.history()
    assert first == Operation("w.0", 0, "write", 'k"1', {"a": [1, "ä"]}, "ok", None, 0.0, 2.0)
    assert second == Operation("w.0", 1, "read", "k", None, "ok", 7, 2.0, 3.0)


def test_a_failed_request_or_an_exception_is_no_answer_and_ends_the_process(run: Run) -> None:
    with operation("write", 1):
        request_failed(TimeoutError())
    with operation("write", 2):
        run.now.advance(1)
    with pytest.raises(ConnectionResetError), operation("write", 3):
        raise ConnectionResetError
    with operation("write", 4):
        run.now.advance(1)
    assert outcomes(run.history()) == [
        ("w.0", 0, "info", "timeout"),
        ("w.1", 0, "ok", ""),
        ("w.1", 1, "info", "connection reset"),
        ("w.2", 0, "ok", ""),
    ]


def test_what_was_refused_certainly_did_not_happen(run: Run) -> None:
    with operation("write", 1) as op:
        request_failed(ValueError("409"))
        op.fail("conflict")
    with operation("write", 2) as op:
        op.fail("conflict")
        request_failed(TimeoutError())
    assert outcomes(run.history()) == [("w.0", 0, "fail", "conflict"), ("w.0", 1, "fail", "conflict")]


def test_a_failure_belongs_to_the_operation_of_its_user(run: Run) -> None:
    def user(fails: bool) -> None:
        with operation("write", fails):
            gevent.sleep(0)
            if fails:
                request_failed(TimeoutError())

    gevent.joinall([gevent.spawn(user, fails) for fails in (True, False)], raise_error=True)
    request_failed(TimeoutError())  # of nobody's operation
    assert {op.value: (op.process, op.outcome) for op in run.history()} == {
        True: ("w.0", "info"),
        False: ("w.1", "ok"),
    }


def test_users_that_are_stopped_leave_no_answer(run: Run) -> None:
    def user() -> None:
        with operation("write", 1):
            gevent.sleep(60)

    stuck, stopped = gevent.spawn(user), gevent.spawn(user)
    gevent.sleep(0)
    stopped.kill(GreenletExit, timeout=5)
    run.operations.give_up()
    stuck.kill(timeout=5)  # after the run: it has been told already
    assert outcomes(run.history()) == [("w.0", 0, "info", "unanswered"), ("w.1", 0, "info", "GreenletExit")]


def test_operations_in_one_another_are_recorded_and_named(run: Run) -> None:
    with operation("write", 1), operation("read"):
        run.now.advance(1)
    with pytest.raises(InvalidHistory, match=r"two operations are open in one process: w\.0: write 1"):
        run.history()


def test_what_is_no_json_is_refused_at_once(run: Run) -> None:
    with pytest.raises(TypeError, match="the value of 'add' cannot be JSON"), operation("add", {1, 2}):
        raise AssertionError("nothing must be sent")
    with pytest.raises(TypeError, match="the result of 'read' cannot be JSON"), operation("read") as op:
        op.result = float("nan")
    (read,) = run.history()
    assert (read.kind, read.outcome, read.number) == ("read", "info", 0)


def test_batches_follow_one_another(run: Run) -> None:
    for _ in range(3):
        with operation("read"):
            pass
    assert run.operations.take()[0] == 0
    with operation("read"):
        pass
    before, rows = run.operations.take()
    assert (before, len(rows)) == (3, 1)


def test_nothing_is_written_outside_a_run() -> None:
    with operation("read") as op:
        op.result = {1, 2}  # whatever it is
        op.fail("no")
    assert op.outcome == "fail"


def test_every_interval_is_widened_by_what_the_clock_may_be_off(run: Run) -> None:
    run.now.advance(100)
    with operation("write", 1):
        run.now.advance(10)
    with operation("write", 2):
        request_failed(TimeoutError())
    clock = ClockError(5.0, 0.25, 0.001, origin_s=1000.0, now_s=1000.0)
    first, second = run.history(clock)
    assert first.widened_s == pytest.approx(0.25 + 0.110)
    assert (first.start_s, first.end_s) == pytest.approx((100 - 0.36, 110 + 0.36))
    assert first.lasted_s == pytest.approx(10)
    assert (second.start_s, second.widened_s) == pytest.approx((110 - 0.36, 0.36))


def test_secrets_in_errors_are_not_written(run: Run) -> None:
    with operation("write", 1) as op:
        op.fail("refused by http://user:sesame@host.example/")
    assert "sesame" not in next(iter(run.history())).error


def test_a_history_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="cannot create the history"):
        HistoryFile(tmp_path / "missing" / "history.jsonl")
    full: Any = HistoryFile(tmp_path / "history.jsonl")
    full.close()
    with pytest.raises(ChaosError, match="cannot write the history"):
        full.add([(0.0, 1.0, '{"kind":"read"}')], EXACT)
