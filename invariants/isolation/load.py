"""Transactions that run at the same time at one level: what they see of each other, and how often the server
gives one up for the sake of another, which is then tried again."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from invariants.checkers.bank import Bank
from invariants.checkers.base import Checked
from invariants.checkers.list_append import ListAppend
from invariants.history import History, Operation, Outcome
from invariants.isolation.promises import LEVELS, Level, cycle_prevented_at
from invariants.isolation.sessions import CONFLICTS, Isolated, Unsettled
from invariants.targets.sql_client import driver_of, said

if TYPE_CHECKING:
    import psycopg

THREADS = 4
TRANSACTIONS = 60
"""For each thread."""
ROUNDS = 20
"""Of write skew, two transactions each."""
ATTEMPTS = 50
"""So often one transaction is tried at most."""
ACCOUNTS, BALANCE = 4, 100
KEYS = ("x", "y", "z")


@dataclass
class Tries:
    """conflicts: transactions that the server rolled back for another, each time; retried: transactions with
    one or more of them; succeeded: those of them that were committed in the end."""

    committed: int = 0
    conflicts: int = 0
    retried: int = 0
    succeeded: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, conflicts: int, committed: bool) -> None:
        with self._lock:
            self.committed += committed
            self.conflicts += conflicts
            self.retried += bool(conflicts)
            self.succeeded += bool(conflicts) and committed


@dataclass(frozen=True)
class Loaded:
    """seen: anomaly -> how often, None where that is not counted. impossible: those of them that the level
    promises cannot happen. evidence: for each of those, what proves it, an operation a line."""

    work: str
    level: Level
    tries: Tries
    seen: Mapping[str, int | None]
    impossible: tuple[str, ...]
    inconclusive: str = ""
    evidence: tuple[str, ...] = ()


class Work(Protocol):
    def __call__(self, target: Isolated, level: Level, rng: random.Random) -> Loaded: ...


def lists(target: Isolated, level: Level, rng: random.Random) -> Loaded:
    """Reads of and appends to lists, judged as Elle does."""
    elements = itertools.count()

    def ask(mine: random.Random) -> list[list[Any]]:
        steps = range(mine.randint(2, 4))
        return [
            ["append", key, next(elements)] if mine.random() < 0.5 else ["r", key, None]
            for key in (mine.choice(KEYS) for _ in steps)
        ]

    def do(connection: psycopg.Connection[Any], asked: list[list[Any]]) -> list[list[Any]]:
        return [[kind, key, _list_step(connection, kind, key, value)] for kind, key, value in asked]

    history, tries = _run(target, level, rng, lambda mine: ("txn", ask(mine)), do)
    checked = ListAppend().check(history)
    seen = dict.fromkeys(violation.anomaly for violation in checked.violations)
    impossible = tuple(sorted(name for name in seen if cycle_prevented_at(name, level)))
    return Loaded("lists", level, tries, seen, impossible, checked.inconclusive, _proof(checked, impossible))


def _proof(checked: Checked, anomalies: Collection[str]) -> tuple[str, ...]:
    return tuple(
        "\n".join([each.title, *(f"  {op.start_s:.6f}-{op.end_s:.6f} s {op}" for op in each.operations)])
        for each in checked.violations
        if each.anomaly in anomalies
    )


def bank(target: Isolated, level: Level, rng: random.Random) -> Loaded:
    """Transfers that write what they computed from what they read, and reads account by account."""

    def ask(mine: random.Random) -> tuple[str, Any]:
        if mine.random() < 0.4:
            return "read", None
        source, goal = mine.sample(range(1, ACCOUNTS + 1), 2)
        return "transfer", {"source": source, "target": goal, "amount": mine.randint(1, 20)}

    def do(connection: psycopg.Connection[Any], asked: Any) -> Any:
        if asked is None:
            return {str(item): _balance(connection, item) for item in range(1, ACCOUNTS + 1)}
        source, goal, amount = asked["source"], asked["target"], asked["amount"]
        left, had = _balance(connection, source) - amount, _balance(connection, goal)
        if left >= 0:
            for item, value in sorted({source: left, goal: had + amount}.items()):
                connection.execute(b"UPDATE items SET value = %s WHERE id = %s", (value, item))
        return None

    history, tries = _run(target, level, rng, ask, do)
    checked = Bank(ACCOUNTS * BALANCE).check(history)
    seen = Counter(violation.anomaly for violation in checked.violations)
    # Sums go wrong by read skew and by lost updates; both are impossible from repeatable read on.
    impossible = tuple(sorted(seen)) if LEVELS.index(level) >= LEVELS.index("repeatable read") else ()
    proof = _proof(checked, impossible)
    return Loaded("bank", level, tries, dict(seen), impossible, checked.inconclusive, proof)


def on_call(target: Isolated, level: Level, rng: random.Random) -> Loaded:
    """Each of two doctors goes off call if the other one stays; both have looked before either goes."""
    tries, seen = Tries(), Counter[str]()
    with ThreadPoolExecutor(2) as pool, target.open(target.scope) as outside:
        connections = [target.open(target.scope) for _ in range(2)]
        try:
            for _ in range(ROUNDS):
                outside.execute(b"TRUNCATE items; INSERT INTO items VALUES (1, 1), (2, 1)")
                looked = threading.Barrier(2)
                doctors = [
                    pool.submit(_go_off, target, level, connection, item, looked, tries)
                    for item, connection in enumerate(connections, 1)
                ]
                for doctor in doctors:
                    doctor.result()
                row = outside.execute(b"SELECT sum(value) FROM items").fetchone()
                seen["write skew"] += row is not None and row[0] == 0
        finally:
            for connection in connections:
                connection.close()
    found: dict[str, int | None] = {name: count for name, count in seen.items() if count}
    return Loaded("on call", level, tries, found, tuple(found) if level == "serializable" else ())


def _go_off(
    target: Isolated,
    level: Level,
    connection: psycopg.Connection[Any],
    item: int,
    looked: threading.Barrier,
    tries: Tries,
) -> None:
    first = iter([True])

    def do(connection: psycopg.Connection[Any], asked: None) -> None:
        row = connection.execute(b"SELECT sum(value) FROM items").fetchone()
        if next(first, False):
            looked.wait(target.answer_limit_s)
        if row is not None and row[0] == 2:
            connection.execute(b"UPDATE items SET value = 0 WHERE id = %s", (item,))

    conflicts = 0
    while conflicts < ATTEMPTS:
        if _tried(target, level, connection, do, None)[0]:
            break
        conflicts += 1
    tries.add(conflicts, conflicts < ATTEMPTS)


WORKS: Mapping[str, Work] = {"lists": lists, "bank": bank, "on call": on_call}


def _run(
    target: Isolated,
    level: Level,
    rng: random.Random,
    ask: Callable[[random.Random], tuple[str, Any]],
    do: Callable[[psycopg.Connection[Any], Any], Any],
) -> tuple[History, Tries]:
    """Raises Unsettled."""
    with target.open(target.scope) as outside:
        outside.execute(b"TRUNCATE items, lists")
        for item in range(1, ACCOUNTS + 1):
            outside.execute(b"INSERT INTO items VALUES (%s, %s)", (item, BALANCE))
    tries, operations = Tries(), list[Operation]()

    def work(name: str, mine: random.Random) -> None:
        done: list[Operation] = []
        with target.open(target.scope) as connection:
            for _ in range(TRANSACTIONS):
                kind, asked = ask(mine)
                ok, conflicts = False, 0
                while not ok and conflicts < ATTEMPTS:
                    start_s = time.monotonic()
                    ok, result, error = _tried(target, level, connection, do, asked)
                    end_s = time.monotonic()
                    outcome: Outcome = "ok" if ok else "fail"
                    done.append(
                        Operation(name, len(done), kind, None, asked, outcome, result, start_s, end_s, error)
                    )
                    if not ok:
                        conflicts += 1
                        asked = asked if kind != "txn" else ask(mine)[1]  # elements are used once
                tries.add(conflicts, ok)
        operations.extend(done)

    with ThreadPoolExecutor(THREADS) as pool:
        working = [pool.submit(work, str(n), random.Random(rng.random())) for n in range(THREADS)]
        for each in working:
            each.result()
    return History(tuple(operations)), tries


def _tried(
    target: Isolated,
    level: Level,
    connection: psycopg.Connection[Any],
    do: Callable[[psycopg.Connection[Any], Any], Any],
    asked: Any,
) -> tuple[bool, Any, str]:
    """Whether it was committed, what it gave, and else the conflict. Raises Unsettled."""
    try:
        target.begin_at(connection, level)
        result = do(connection, asked)
        connection.execute(b"COMMIT")
        return True, result, ""
    except driver_of().Error as error:
        if error.sqlstate not in CONFLICTS or connection.closed:
            raise Unsettled(f"a transaction failed: {said(error)}") from None
        connection.execute(b"ROLLBACK")
        return False, None, str(error.sqlstate)


def _list_step(connection: psycopg.Connection[Any], kind: str, key: str, value: Any) -> Any:
    if kind == "append":
        connection.execute(
            b"INSERT INTO lists VALUES (%s, ARRAY[%s::bigint]) "
            b"ON CONFLICT (key) DO UPDATE SET elements = lists.elements || excluded.elements",
            (key, value),
        )
        return value
    row = connection.execute(b"SELECT elements FROM lists WHERE key = %s", (key,)).fetchone()
    return [] if row is None else list(row[0])


def _balance(connection: psycopg.Connection[Any], item: int) -> int:
    row = connection.execute(b"SELECT value FROM items WHERE id = %s", (item,)).fetchone()
    assert row is not None
    return int(row[0])
