"""Locks, conditional updates and single flights as users of a load run write them down: with clocks that are
off and answers that are lost nothing right is called wrong, and planted defects are found."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.companions import companion_findings, companion_problems
from chaos_locust.events import LoadStopped, Recording, RunEnded, RunStarted
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.model import Plan
from invariants.checkers.base import Checked
from invariants.history import History, Operation, write_history
from invariants.load_checkers import made

from .histories import history, operation

CLOCK_ERROR_S = 0.02
LEASE_S = 3.0
LENGTH_S = 6.0
Answer = tuple[str, Any, str]
"""(outcome, result, error)"""
Effect = Callable[[float], Answer]
"""What a server does when a request comes to it, at that second."""
User = Generator[tuple[str, Any, Effect], Answer, None]
"""Asks for one thing after the other: (kind, value, effect)."""


def simulated(rng: random.Random, user: Callable[[random.Random, int], User], lost: float) -> History:
    """8 users of 4 workers whose clocks are off. lost: the share of requests that come late, again of those
    that never come, and of answers that are lost."""
    off_s = [rng.uniform(-CLOCK_ERROR_S, CLOCK_ERROR_S) for _ in range(4)]
    pending: list[tuple[float, int, float, float, tuple[str, Any, Effect]]] = []
    users, lives, done = [user(rng, number) for number in range(8)], [0] * 8, list[Operation]()

    def send(number: int, now_s: float, asked: tuple[str, Any, Effect]) -> None:
        start_s = now_s + rng.expovariate(100)
        at_s = start_s + rng.expovariate(200)
        heapq.heappush(pending, (at_s, number, start_s, at_s + rng.expovariate(200), asked))

    for number, each in enumerate(users):
        send(number, 0.0, next(each))
    while pending:
        at_s, number, start_s, end_s, (kind, value, effect) = heapq.heappop(pending)
        if number < 0:
            effect(at_s)  # nobody waits for it any more
            continue
        if start_s > LENGTH_S:
            continue
        luck = rng.random()
        if luck < lost:
            asked = (kind, value, effect)
            heapq.heappush(pending, (at_s + rng.uniform(0, 2), -len(done) - 1, start_s, end_s, asked))
        answer = effect(at_s) if luck >= 2 * lost else ("info", None, "")
        answer = ("info", None, "") if luck < 3 * lost else answer
        outcome, result, error = answer
        process, off = f"{number % 4}.{number}.{lives[number]}", off_s[number % 4]
        op = operation(process, kind, value, key="k", result=result, outcome=outcome, error=error,  # type: ignore[arg-type]
                       at=(start_s + off, end_s + off))  # fmt: skip
        done.append(op)
        lives[number] += outcome == "info"
        send(number, end_s if outcome != "info" else at_s + 0.3, users[number].send(answer))
    return History(tuple(each.widened(CLOCK_ERROR_S) for each in history(*done)))


class Lock:
    """planted: `opens` lets in one in ten beside the holder; `keeps` forgets one in ten releases."""

    def __init__(self, rng: random.Random, planted: str) -> None:
        self._rng, self._planted, self._holder, self._until_s = rng, planted, "", 0.0

    def ask(self, token: str, at_s: float) -> Answer:
        if self._holder and at_s < self._until_s and not self._shows("opens"):
            return ("fail", None, "held")
        self._holder, self._until_s = token, at_s + (1e9 if self._planted == "keeps" else LEASE_S)
        return ("ok", None, "")

    def give_back(self, token: str) -> Answer:
        if self._holder == token and not self._shows("keeps"):
            self._holder = ""
        return ("ok", None, "")

    def _shows(self, planted: str) -> bool:
        return self._planted == planted and self._rng.random() < 0.1


def locking(planted: str) -> Callable[[random.Random, int], User]:
    locks: list[Lock] = []

    def user(rng: random.Random, number: int) -> User:
        lock = locks[0] if locks else Lock(rng, planted)
        locks[:] = [lock]
        count = 0
        while True:
            token, count = f"{number}-{count}", count + 1
            outcome, _, _ = yield "acquire", token, lambda at_s, token=token: lock.ask(token, at_s)
            if outcome == "ok":
                for _ in range(rng.randrange(3)):
                    yield "work", None, lambda at_s: ("ok", None, "")
                yield "release", token, lambda at_s, token=token: lock.give_back(token)

    return user


def editing(planted: str) -> Callable[[random.Random, int], User]:
    """planted: `overwrites` takes one in ten that comes too late."""
    record: list[Any] = ["first", 0]

    def put(rng: random.Random, value: str, version: int) -> Answer:
        if record[1] != version and not (planted and rng.random() < 0.1):
            return ("fail", None, "conflict")
        record[:] = [value, record[1] + 1]
        return ("ok", record[1], "")

    def user(rng: random.Random, number: int) -> User:
        count = 0
        while True:
            outcome, found, _ = yield "read", None, lambda at_s: ("ok", list(record), "")
            if outcome != "ok":
                continue
            for _ in range(rng.randrange(8)):
                yield "think", None, lambda at_s: ("ok", None, "")
            value, count = f"{number}-{count}", count + 1
            version = int(found[1])
            yield "update", value, lambda at_s, value=value, version=version: put(rng, value, version)

    return user


SIMULATED: dict[str, tuple[Callable[[str], Callable[[random.Random, int], User]], dict[str, str]]] = {
    "exclusion": (locking, {"opens": "overlap", "keeps": "stuck"}),
    "conditional-updates": (editing, {"overwrites": "lost update"}),
}


def checked(name: str, planted: str, seed: int, lost: float = 0.02) -> Checked:
    wanted = {"exclusion": ("acquire", "release"), "conditional-updates": ("read", "update")}[name]
    told = simulated(random.Random(seed), SIMULATED[name][0](planted), lost).only(
        lambda op: op.kind in wanted
    )
    return made(name, {}).check(told)


@pytest.mark.parametrize("name", SIMULATED)
def test_lost_answers_and_clocks_that_are_off_are_no_false_alarm(name: str) -> None:
    upheld = 0
    for seed in range(25):
        found = checked(name, "", seed)
        assert found.violations == (), (seed, found.violations[:1])
        upheld += found.passed
    assert upheld > 20, "hardly anything could be said"


@pytest.mark.parametrize(
    ("name", "planted"), [(name, planted) for name, (_, twins) in SIMULATED.items() for planted in twins]
)
def test_a_defect_that_shows_in_one_of_ten_is_found(name: str, planted: str) -> None:
    """Where answers are lost, a lock that is not given back may be one that was given without a word."""
    for seed in range(20):
        told = checked(name, planted, seed, 0.0 if planted == "keeps" else 0.02)
        found = {violation.anomaly for violation in told.violations}
        assert SIMULATED[name][1][planted] in found, seed


def judged(folder: Path, invariant: Any, *operations: Operation) -> Finding:
    load = [{"step": "base", "rate": "50/s", "for": "60s"}]
    plan = Plan(name="a plan", host="http://127.0.0.1:1", invariants=[invariant], load=load, warm_up="4s")
    write_history(folder / "history.jsonl", history(*operations))
    header = RunStarted(0.0, "run", 0.0, plan.to_json(), 1, "", {}, 1)
    events = (header, LoadStopped(60.0, 60.0), RunEnded(60.0, "finished"))
    (found,) = companion_findings(plan, Recording(header, events, {}, True, folder))
    return found


def held(process: str, token: str, from_s: float, until_s: float, kind: str = "acquire") -> list[Operation]:
    return [
        operation(process, kind, token, key="k", at=(from_s - 0.1, from_s)),
        operation(process, "release", token, key="k", at=(until_s, until_s + 0.1)),
    ]


def refused(process: str, at_s: float) -> Operation:
    return operation(process, "acquire", "r", key="k", outcome="fail", error="held", at=(at_s, at_s + 0.1))


def test_two_that_hold_at_once_are_told_with_what_they_asked(tmp_path: Path) -> None:
    found = judged(tmp_path, "exclusion", *held("a.0", "one", 10, 12), *held("b.0", "two", 11, 13))
    assert found.outcome is Outcome.DEVIATED
    assert "2 held at the same time, 1 allowed" in found.reason
    for told in ('a.0: acquire k "one" -> ok', 'a.0: release k "one" -> ok', 'b.0: acquire k "two" -> ok'):
        assert told in found.reason
    two = judged(
        tmp_path, {"check": "exclusion", "capacity": 2}, *held("a", "1", 10, 12), *held("b", "2", 11, 13)
    )
    assert two.outcome is Outcome.INCONCLUSIVE, "nobody came while two held"


def test_readers_share_and_writers_do_not(tmp_path: Path) -> None:
    readers = [*held("a.0", "1", 10, 12, "acquire_shared"), *held("b.0", "2", 11, 13, "acquire_shared")]
    late = refused("c.0", 11)
    assert judged(tmp_path, "exclusion", *readers, late).outcome is Outcome.UPHELD
    found = judged(tmp_path, "exclusion", *readers, *held("c.0", "3", 11.5, 11.7))
    assert "2 shared what 1 held alone" in found.reason


@pytest.mark.parametrize(
    "within_s", [0.0, 0.6], ids=["clocks that agree", "clocks that are off by more than they met"]
)
def test_what_the_clocks_may_explain_is_no_overlap(within_s: float) -> None:
    operations = [*held("a.0", "1", 10, 12), *held("b.0", "2", 11, 13)]
    told = History(tuple(each.widened(within_s) for each in history(*operations)))
    assert bool(made("exclusion", {}).check(told).violations) is (within_s == 0.0)


@pytest.mark.parametrize("lost", ["acquire", "release", "no release", "both released"])
def test_a_lock_whose_end_is_not_known_may_still_be_held(tmp_path: Path, lost: str) -> None:
    acquire, release = held("a.0", "one", 10, 12)
    before = {
        "acquire": [replace(acquire, outcome="info", end_s=float("inf"))],
        "release": [acquire, replace(release, outcome="info", end_s=float("inf"))],
        "no release": [acquire],
        "both released": [acquire, release],
    }[lost]
    found = judged(tmp_path, "exclusion", *before, *held("b.0", "two", 30, 32), refused("c.0", 20))
    assert (found.outcome is Outcome.DEVIATED) is (lost == "both released"), found.reason
    assert ("nobody can have held it" in found.reason) is (lost == "both released")


def test_who_asks_again_with_the_same_token_may_have_been_given_it_before(tmp_path: Path) -> None:
    acquire, release = held("a.1", "one", 10, 12)
    first = operation("a.0", "acquire", "one", key="k", outcome="info", at=(9, 9))
    early = operation("a.1", "release", "one", key="k", at=(9.4, 9.5))
    operations = [first, early, acquire, release, refused("c.0", 20), *held("b.0", "two", 11, 13)]
    assert judged(tmp_path, "exclusion", *operations).outcome is Outcome.INCONCLUSIVE


def test_a_token_that_two_have_leaves_it_open(tmp_path: Path) -> None:
    found = judged(tmp_path, "exclusion", *held("a.0", "one", 10, 12), *held("b.0", "one", 11, 13))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "the token 'one' was given the lock 2 times; each needs its own" in found.reason


def test_one_user_after_the_other_shows_nothing(tmp_path: Path) -> None:
    operations = [op for number in range(5) for op in held("a.0", f"{number}", 10 + number, 10.5 + number)]
    wide = [each.widened(0.3) for each in history(*operations)]
    found = made("exclusion", {}).check(History(tuple(wide)))
    assert (found.violations, bool(found.inconclusive)) == ((), True)


@pytest.mark.parametrize(("off_s", "passes"), [(0.01, True), (0.3, False)])
def test_a_refusal_that_the_clocks_may_put_after_the_hold_shows_nothing(off_s: float, passes: bool) -> None:
    told = history(*held("a.0", "one", 10, 12), refused("c.0", 11.9))
    found = made("exclusion", {}).check(History(tuple(each.widened(off_s) for each in told)))
    assert (found.violations, found.passed) == ((), passes)


def test_holds_too_short_to_be_seen_at_once_show_nothing() -> None:
    """A lock that lets in everybody would not be noticed either."""
    operations = [op for n in range(9) for op in held(f"u.{n}", f"{n}", 10 + n / 100, 10.01 + n / 100)]
    found = made("exclusion", {}).check(History(tuple(each.widened(0.01) for each in history(*operations))))
    assert (found.violations, found.inconclusive) == ((), "nobody came while others had what excludes them")


def test_a_lock_that_was_refused_for_another_reason_met_nobody(tmp_path: Path) -> None:
    down = replace(refused("c.0", 11), error="not connected")
    assert judged(tmp_path, "exclusion", *held("a.0", "1", 10, 12), down).outcome is Outcome.INCONCLUSIVE
    assert (
        judged(tmp_path, "exclusion", *held("a.0", "1", 10, 12), refused("c.0", 11)).outcome is Outcome.UPHELD
    )


def test_turns_are_no_promise_that_a_load_run_can_judge() -> None:
    load = [{"step": "base", "rate": "50/s", "for": "60s"}]
    wanted = {"check": "exclusion", "most_overtaken": 0}
    (problem,) = companion_problems(Plan(name="p", host="http://127.0.0.1:1", invariants=[wanted], load=load))
    assert "exclusion has no option 'most_overtaken'" in str(problem)


def edit(process: str, read_s: float, update_s: float, **more: Any) -> list[Operation]:
    return [
        operation(process, "read", result="A", key="k", at=(read_s - 0.1, read_s)),
        operation(process, "update", process, key="k", at=(update_s, update_s + 0.1), **more),
    ]


def test_a_lost_update_is_told_with_the_read_that_it_is_based_on(tmp_path: Path) -> None:
    found = judged(tmp_path, "conditional-updates", *edit("a.0", 10, 11), *edit("b.0", 10.5, 12))
    assert found.outcome is Outcome.DEVIATED
    for told in ('a.0: update k "a.0" -> ok', 'b.0: read k -> ok "A"', 'b.0: update k "b.0" -> ok'):
        assert told in found.reason


def test_updates_that_are_refused_uphold_it(tmp_path: Path) -> None:
    late = edit("b.0", 10.5, 12, outcome="fail", error="conflict")
    found = judged(tmp_path, "conditional-updates", *edit("a.0", 10, 11), *late, *edit("b.0", 13, 14))
    assert found.outcome is Outcome.UPHELD, found.reason


def test_updates_that_clocks_cannot_put_in_order_are_told_by_what_they_read(tmp_path: Path) -> None:
    """Both changed what one update alone had set; their times show nothing."""
    first = operation("c.0", "update", "C", key="k", at=(10, 10.1))
    late = [*edit("a.0", 12, 12.01), *edit("b.0", 12.005, 12.02)]
    late = [replace(op, result="C") if op.kind == "read" else op for op in late]
    off = History(tuple(each.widened(0.2) for each in history(first, *late)))
    (found,) = made("conditional-updates", {}).check(off).violations
    assert [op.kind for op in found.operations] == ["update", "read", "update"]
    twice = operation("d.0", "update", "C", key="k", outcome="info", at=(10, 10))
    for more in ([twice], [replace(first, process="d.0", start_s=11.9, end_s=12.2)]):
        told = History(tuple(each.widened(0.2) for each in history(first, *late, *more)))
        assert made("conditional-updates", {}).check(told).violations == (), (
            "another one may have set it again"
        )


def test_conflicts_that_would_not_show_are_no_proof(tmp_path: Path) -> None:
    late = edit("b.0", 10.005, 10.03, outcome="fail", error="conflict")
    near = history(*edit("a.0", 10, 10.01), *late)
    for off_s, passes in ((0.0, True), (0.02, False)):
        found = made("conditional-updates", {}).check(History(tuple(each.widened(off_s) for each in near)))
        assert (found.violations, found.passed) == ((), passes)


@pytest.mark.parametrize("outcome", ["ok", "fail"])
def test_an_update_after_an_update_is_based_on_what_nobody_knows(tmp_path: Path, outcome: Any) -> None:
    """Its user may have been told the version by the answer to the first one."""
    again = operation("a.0", "update", "more", key="k", at=(12, 12.1))
    first = edit("a.0", 10, 11, outcome=outcome, error="conflict" if outcome == "fail" else "")
    found = judged(tmp_path, "conditional-updates", *first, again, *edit("b.0", 13, 14))
    assert found.outcome is not Outcome.DEVIATED


def test_updates_without_reads_show_nothing(tmp_path: Path) -> None:
    operations = [operation(name, "update", 1, key="k", at=(10, 11)) for name in ("a.0", "b.0")]
    found = judged(tmp_path, "conditional-updates", *operations)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "no update was accepted that came after a read of the same user" in found.reason


def call(start_s: float, end_s: float | None, key: str = "a", ok: bool = True) -> dict[str, Any]:
    return {"key": key, "start_s": start_s, "end_s": end_s, "ok": ok}


def flights(folder: Path, invariant: Any, *calls: dict[str, Any], gets: int = 3) -> Finding:
    """The origin's clock is 5,000 s ahead."""
    wanted = [operation(f"u.{n}", "get", key="a", at=(10 + n / 10, 11)) for n in range(gets)]
    log = operation("u.0", "origin_calls", result=list(calls), at=(50, 51))
    early = operation("v.0", "origin_calls", result=[], at=(5, 6))
    return judged(folder, invariant, *wanted, early, log)


@pytest.mark.parametrize(
    ("calls", "outcome"),
    [
        ([call(5010, 5011)], Outcome.UPHELD),
        ([call(5010, 5011), call(5010.5, 5012)], Outcome.DEVIATED),
        ([call(5010, 5011, ok=False), call(5010.5, 5012)], Outcome.DEVIATED),
        ([call(5010, 5011), call(5011, 5012)], Outcome.UPHELD),
        ([call(5010, 5011), call(5010.5, 5012, key="b")], Outcome.UPHELD),
        ([call(5010, None), call(5010.5, 5012)], Outcome.UPHELD),
        ([call(5010, 5011), call(5011, 5012), call(5012, 5013)], Outcome.INCONCLUSIVE),
        ([], Outcome.INCONCLUSIVE),
    ],
)
def test_flights_are_judged_on_the_origins_own_clock(
    tmp_path: Path, calls: list[dict[str, Any]], outcome: Outcome
) -> None:
    found = flights(tmp_path, "single-flight", *calls)
    assert found.outcome is outcome, found.reason


def test_what_was_fetched_is_good_for_so_long(tmp_path: Path) -> None:
    lasting = {"check": "single-flight", "lasts": "5s"}
    again, failed = [call(5010, 5011), call(5014, 5015)], [call(5010, 5011, ok=False), call(5014, 5015)]
    found = flights(tmp_path, lasting, *again)
    assert found.outcome is Outcome.DEVIATED
    assert (
        "the origin was asked for a again 4 s later, while the answer was under way or good" in found.reason
    )
    assert flights(tmp_path, "single-flight", *again).outcome is Outcome.UPHELD
    assert flights(tmp_path, lasting, *failed).outcome is Outcome.UPHELD
    assert flights(tmp_path, lasting, call(5010, 5011), call(5015, 5016)).outcome is Outcome.UPHELD


def test_gets_that_did_not_meet_shared_nothing(tmp_path: Path) -> None:
    wanted = [operation("u.0", "get", key="a", at=(10 + n, 10.5 + n)) for n in range(3)]
    log = operation("u.0", "origin_calls", result=[call(1, 2)], at=(50, 51))
    assert judged(tmp_path, "single-flight", *wanted, log).outcome is Outcome.INCONCLUSIVE
    lasting = {"check": "single-flight", "lasts": "5s"}
    assert judged(tmp_path, lasting, *wanted, log).outcome is Outcome.UPHELD


def test_gets_after_the_log_are_not_in_it(tmp_path: Path) -> None:
    wanted = [
        operation(f"u.{n}", "get", key="a", at=(at_s, at_s + 1)) for n, at_s in enumerate((10, 60, 60.5))
    ]
    log = operation("v.0", "origin_calls", result=[call(1, 2)], at=(50, 51))
    assert judged(tmp_path, "single-flight", *wanted, log).outcome is Outcome.INCONCLUSIVE
