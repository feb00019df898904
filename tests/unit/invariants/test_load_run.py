"""A load run's history judged: outcomes, what the findings say, and when nothing can be said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.companions import companion_findings, companion_problems
from chaos_locust.events import (
    HISTORY_TOPIC,
    Event,
    FaultEvent,
    GeneratorSample,
    LoadStopped,
    Note,
    Recording,
    RunEnded,
    RunStarted,
    WorkerEvent,
)
from chaos_locust.judge.judge import judge
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.model import Plan
from invariants.checkers.catalogue import CHECKERS as ALL
from invariants.history import Operation, write_history
from invariants.load_checkers import CHECKERS, made

from .histories import history, operation

WRITE, OVERWRITE = (
    operation("a.0", "write", 1, key="x", at=(10, 11)),
    operation("a.0", "write", 2, key="x", at=(21, 22)),
)
FRESH = operation("b.0", "read", result=2, key="x", at=(30, 31))
STALE = operation("b.0", "read", result=1, key="x", at=(30, 31))
SLOW_DB = {"name": "slow-db", "kind": "latency", "target": "db", "latency": "1ms", "at": "20s", "for": "5s"}
ACTED = [
    FaultEvent(at_s, "slow-db", state)  # type: ignore[arg-type]
    for at_s, state in ((20.0, "asked"), (20.1, "active"), (25.0, "revert_asked"), (25.1, "reverted"))
]


def plan(*invariants: Any, **more: Any) -> Plan:
    load = [{"step": "base", "rate": "50/s", "for": "60s"}]
    given = {"targets": {"db": {"proxy": "db"}}, "faults": [SLOW_DB], "load": load, "warm_up": "4s"}
    return Plan(name="a plan", host="http://127.0.0.1:1", invariants=invariants, **(given | more))


def judged(
    folder: Path, given: Plan, *operations: Operation, events: Sequence[Event] = (), complete: bool = True
) -> Finding:
    """The one finding of the plan's one invariant."""
    write_history(folder / "history.jsonl", history(*operations))
    (found,) = companion_findings(given, recording(folder, given, events, complete))
    return found


def recording(folder: Path | None, given: Plan, events: Sequence[Event], complete: bool = True) -> Recording:
    header = RunStarted(0.0, "run", 0.0, given.to_json(), 1, "", {}, 1)
    ended = [LoadStopped(60.0, 60.0), RunEnded(60.0, "finished")]
    return Recording(header, (header, *events, *ended), {}, complete, folder)


def test_it_is_upheld_by_what_was_seen(tmp_path: Path) -> None:
    found = judged(tmp_path, plan("linearizable"), WRITE, OVERWRITE, FRESH)
    assert (found.source, found.text, found.outcome) == ("invariants", "linearizable", Outcome.UPHELD)
    assert found.samples == 3
    assert "3 operations" in found.reason


def test_it_deviates_with_the_operations_and_the_faults_that_acted(tmp_path: Path) -> None:
    found = judged(tmp_path, plan("cache-consistency"), WRITE, OVERWRITE, STALE, events=ACTED)
    assert found.outcome is Outcome.DEVIATED
    for told in (
        "a.0: write x 1 -> ok at 10.000 s",
        "b.0: read x -> ok 1 at 30.000 s",
        "slow-db 20.0-25.1 s acted",
    ):
        assert told in found.reason
    assert found.stretch == (10, 31)
    verdict = judge(plan("cache-consistency"), recording(tmp_path, plan(), ()), [found])
    assert verdict.exit_code == 3
    assert "cache-consistency" in verdict.sentence


def test_a_fault_at_another_time_is_told_as_that(tmp_path: Path) -> None:
    later = [FaultEvent(event.t_s + 30, event.fault, event.state) for event in ACTED]
    found = judged(tmp_path, plan("cache-consistency"), WRITE, OVERWRITE, STALE, events=later)
    assert "while no fault acted (slow-db 50.0-55.1 s at other times)" in found.reason


def fault(name: str, from_s: float, to_s: float) -> list[FaultEvent]:
    return [
        FaultEvent(at_s, name, state)  # type: ignore[arg-type]
        for at_s, state in ((from_s, "asked"), (from_s, "active"), (to_s, "revert_asked"), (to_s, "reverted"))
    ]


def test_a_fault_between_the_operations_is_not_one_that_acted_on_them(tmp_path: Path) -> None:
    given = plan("set-full", faults=[SLOW_DB, SLOW_DB | {"name": "no-db", "at": "40s"}])
    events = [*fault("slow-db", 9, 12), *fault("no-db", 20, 25)]
    added = operation("a.0", "add", 1, at=(10, 11))
    missed = operation("b.0", "read", result=[], at=(30, 31))
    found = judged(tmp_path, given, added, missed, events=events)
    assert found.outcome is Outcome.DEVIATED
    assert "while slow-db 9.0-12.0 s acted, no-db 20.0-25.0 s acted in between" in found.reason
    between = judged(tmp_path, given, added, missed, events=events[4:])
    assert "], no-db 20.0-25.0 s acted in between" in between.reason


def test_of_many_violations_it_is_counted_in_which_each_fault_acted(tmp_path: Path) -> None:
    """Two of the four elements were added while it acted."""
    adds = [operation(f"a.{n}", "add", n, at=(at_s, at_s + 1)) for n, at_s in enumerate((5, 10, 21, 22))]
    missed = operation("b.0", "read", result=[], at=(30, 31))
    found = judged(tmp_path, plan("set-full"), *adds, missed, events=ACTED)
    assert "and 2 more violations (of all 4, slow-db acted in 2)" in found.reason
    quiet = judged(tmp_path, plan("set-full"), *adds, missed)
    assert "acted" not in quiet.reason


def test_a_warning_stays_one(tmp_path: Path) -> None:
    given = plan({"check": "cache-consistency", "stale": "1s", "severity": "warn"})
    found = judged(tmp_path, given, WRITE, OVERWRITE, STALE)
    assert (found.outcome, found.severity) == (Outcome.DEVIATED, "warn")
    assert found.text == "cache-consistency (stale 1s)"


def test_options_count(tmp_path: Path) -> None:
    lenient = plan({"check": "cache-consistency", "stale": "20s"})
    assert judged(tmp_path, lenient, WRITE, OVERWRITE, STALE).outcome is Outcome.UPHELD


def test_only_the_keys_that_are_named_are_judged(tmp_path: Path) -> None:
    fine = operation("c.0", "read", result=None, key="y", at=(1, 2))
    given = plan({"check": "linearizable", "keys": "y*"})
    assert judged(tmp_path, given, WRITE, OVERWRITE, STALE, fine).samples == 1
    assert judged(tmp_path, given, WRITE, OVERWRITE, STALE).outcome is Outcome.INCONCLUSIVE


LOST = (WorkerEvent(40.0, "host:7", "lost", "it left"), "host:7 did last is not known")
MISSED = (Note(40.0, HISTORY_TOPIC, "3 operations of worker host:7 never arrived"), "3 operations of worker")


@pytest.mark.parametrize(("event", "told"), [LOST, MISSED], ids=["a lost worker", "a lost message"])
@pytest.mark.parametrize("read", [FRESH, STALE], ids=["nothing found", "something found"])
def test_operations_that_are_missing_leave_it_open(
    tmp_path: Path, event: Event, told: str, read: Operation
) -> None:
    found = judged(tmp_path, plan("linearizable"), WRITE, OVERWRITE, read, events=[event])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert told in found.reason
    assert ("may be why it was seen that" in found.reason) == (read is STALE)


def test_a_run_that_broke_off_leaves_it_open(tmp_path: Path) -> None:
    found = judged(tmp_path, plan("linearizable"), WRITE, OVERWRITE, FRESH, complete=False)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "breaks off" in found.reason


@pytest.mark.parametrize(
    ("operations", "told"),
    [
        ((), "users wrote down no operation"),
        ((operation("a", "enqueue", 1, at=(0, 1)),), "users wrote down no operation that it looks at (read,"),
        ((WRITE, OVERWRITE), "nothing was read"),
        (
            (operation("a", "write", 1, at=(0, 1)), operation("a", "cas", 7, at=(2, 3))),
            "cannot judge: TypeError",
        ),
    ],
    ids=["none", "of another kind", "that tell nothing", "of another form"],
)
def test_operations_that_tell_nothing_leave_it_open(
    tmp_path: Path, operations: Sequence[Operation], told: str
) -> None:
    found = judged(tmp_path, plan("linearizable"), *operations)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert told in found.reason


def test_holes_and_a_missing_history_are_named(tmp_path: Path) -> None:
    given = plan("linearizable", "total-queue")
    whole = history(WRITE, OVERWRITE).operations
    write_history(tmp_path / "history.jsonl", whole[1:])
    for found in companion_findings(given, recording(tmp_path, given, ())):
        assert found.outcome is Outcome.INCONCLUSIVE
        assert "process a.0 has a hole: operation 0 is missing" in found.reason
    (tmp_path / "history.jsonl").unlink()
    for folder, told in ((tmp_path, "cannot be read"), (None, "recorded nowhere")):
        found, _ = companion_findings(given, recording(folder, given, ()))
        assert found.outcome is Outcome.INCONCLUSIVE
        assert told in found.reason


def test_overlaps_that_come_of_widening_are_none(tmp_path: Path) -> None:
    """One user's operations, one just after the other, on a clock that may be 50 ms off."""
    operations = [
        operation("a.0", "write", 1, key="x", at=(1.00, 1.01), number=0).widened(0.05),
        operation("a.0", "read", result=1, key="x", at=(1.011, 1.02), number=1).widened(0.07),
        operation("b.0", "read", result=None, key="x", at=(1.04, 1.05)).widened(0.05),  # on another clock
    ]
    write_history(tmp_path / "history.jsonl", operations)
    given = plan("linearizable", "session-guarantees")
    for found in companion_findings(given, recording(tmp_path, given, ())):
        assert found.outcome is Outcome.UPHELD, found.reason


def test_the_generators_own_trouble_is_no_finding_about_the_targets_speed(tmp_path: Path) -> None:
    slow = [operation(f"a.{n}", "read", at=(10 + n / 100, 20 + n / 100)) for n in range(300)]
    given = plan({"check": "latency-bounded", "limit": "1s"}, load=None)
    assert judged(tmp_path, given, *slow).outcome is Outcome.DEVIATED
    stood_still = [GeneratorSample(t_s, "local", 1.0, 0.0, 2.0, 1, 1) for t_s in range(5, 60)]
    found = judged(tmp_path, given, *slow, events=stood_still)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "stood still" in found.reason


def test_the_warm_up_is_not_judged_for_speed(tmp_path: Path) -> None:
    early = [operation(f"a.{n}", "read", at=(1, 3.5)) for n in range(300)]
    later = [operation(f"b.{n}", "read", at=(10, 10.5)) for n in range(300)]
    given = plan({"check": "latency-bounded", "limit": "1s"}, load=None)
    found = judged(tmp_path, given, *early, *later)
    assert (found.outcome, found.samples) == (Outcome.UPHELD, 300)


def test_the_plan_is_checked_with_all_problems_at_once() -> None:
    given = plan(
        "total_queue",
        {"check": "total-queue", "at_least_once": "yes", "twice": True},
        {"check": "latency-bounded", "quantile": "101%"},
        {"check": "linearizable", "model": "stack", "budget": 1.5},
        {"check": "bank", "total": "all"},
        {"check": "error-rate-limited", "limit": "1%", "kinds": 7},
    )
    told = [str(problem) for problem in companion_problems(given)]
    assert [text.partition(" ")[0] for text in told] == [
        "invariants[0]:",
        "invariants[1].at_least_once:",
        "invariants[1]:",
        "invariants[2].quantile:",
        "invariants[2].limit:",
        "invariants[3].model:",
        "invariants[3].budget:",
        "invariants[4].total:",
        "invariants[5].kinds:",
    ]
    assert "did you mean total-queue?" in told[0]
    assert "allowed: true, false" in told[1]
    assert "did you mean at_least_once?" in told[2] or "allowed: at_least_once" in told[2]
    assert "register, counter" in told[5]


def test_options_become_those_of_the_checker() -> None:
    assert made("latency-bounded", {"limit": "250ms", "quantile": "95%", "kinds": ["read"]}) == made(
        "latency-bounded", {"limit": "0.25s", "quantile": 0.95, "kinds": "read"}
    )
    assert made("bank", {"total": 100, "may_be_negative": True}).name == "bank"
    assert set(CHECKERS) <= set(ALL)
    for name in CHECKERS:
        needed = {
            "bank": {"total": 1},
            "error-rate-limited": {"limit": "1%"},
            "latency-bounded": {"limit": "1s"},
        }
        needed["circuit-breaker"] = {"timeout": "1s"}
        assert made(name, needed.get(name, {})).name == name
