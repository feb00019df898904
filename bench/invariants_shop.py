"""Does each planted defect of the demo shop break its invariant, and does the healthy shop keep them all?

`python -m bench.invariants_shop`: for each defect so many seeds, and once made short, with the test file that
comes of it run against the defect and against the healthy shop; then all invariants on the healthy shop.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table

from chaos_locust.demo.settings import DEFECTS
from chaos_locust.errors import ChaosError
from chaos_locust.units import format_duration
from invariants.bindings import Bound
from invariants.catalogue import machine_of
from invariants.draw import drawn
from invariants.faults import injected
from invariants.runner import Runner
from invariants.search import Settings
from invariants.state_invariant import StateInvariant
from invariants.targets.shop import BINDINGS, DATABASE_AWAY, faults

QUEUE = "queue_never_loses_messages"

FITTING = {
    "breaker-stuck-open": "circuit_breaker_never_stuck_open",
    "no-timeout": "requests_end_in_time",
    "cache-required": "requests_are_answered",
    "lost-order": "transactions_are_atomic",
    "double-charge": "tasks_run_once",
    "stale-cache": "cache_stays_consistent",
    "trusts-cache": "requests_are_answered",
    "connects-once": "requests_are_answered",
    "cache-as-store": "requests_are_answered",
    "drops-keys": "tokens_are_checked",
    "stale-keys": "tokens_are_checked",
    "unchecked-tokens": "tokens_are_checked",
    "leaky-pool": "service_recovers",
    "no-pool": "requests_are_answered",
    "stale-connections": "service_recovers",
    "no-retry": "requests_are_answered",
    "orders-in-line": "nobody_waits_for_others",
    "reviews-uncached": "requests_are_answered",
}
"""Defect -> the invariant that it breaks."""

CAUGHT_SHARE = 0.9
START_S = 120.0


@dataclass(frozen=True)
class Row:
    """What came of one defect. test: exit codes of pytest on the defect and on the healthy shop; None: it was
    not made short."""

    defect: str
    invariant: str
    caught: int
    of: int
    steps: str
    necessary: tuple[str, ...]
    seen_again: str
    test: tuple[int, int] | None
    took_s: float

    @property
    def missed(self) -> bool:
        return self.caught < CAUGHT_SHARE * self.of or self.test not in (None, (1, 0))


@contextmanager
def shop(defect: str | None = None) -> Iterator[Mapping[str, str]]:
    """A shop on free ports; its variables, which are set in this process meanwhile."""
    with tempfile.TemporaryDirectory(prefix="invariants-shop-") as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free"]
        command += ["--ready-file", str(ready), *(["--defect", defect] if defect else [])]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        before = dict(os.environ)
        try:
            end_s = time.monotonic() + START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > end_s:
                    raise RuntimeError(f"the shop with {defect} did not start")
                time.sleep(0.1)
            variables: dict[str, str] = json.loads(ready.read_text())["env"]
            os.environ.update(variables)
            yield variables
        finally:
            os.environ.clear()
            os.environ.update(before)
            process.send_signal(signal.SIGTERM)
            process.wait()


def prepared(name: str, bound: Bound, seed: int) -> StateInvariant:
    invariant = StateInvariant.named(name, bound.target, **bound.options).with_seed(seed).with_kept_in(None)
    usual = Settings()
    invariant = invariant.with_iterations(bound.iterations or usual.iterations)
    invariant = invariant.with_budget(format_duration(bound.budget_s or usual.budget_s))
    return invariant if bound.faults is None else invariant.with_faults(bound.faults)


def caught(name: str, bound: Bound, seed: int) -> bool:
    """Whether a sequence of that seed breaks it; it is not made short."""
    machine, usual = machine_of(name), Settings()
    acting = None if bound.faults is None else injected(bound.faults)
    scope = f"cl{uuid4().hex[:8]}"
    budget_s = bound.budget_s or usual.budget_s
    runner = Runner(lambda scope: machine(bound.target, scope, **bound.options), acting, scope, budget_s)
    names = () if acting is None else acting.names
    sequences = drawn(machine(bound.target, **bound.options), usual.steps, usual.concurrency, names, seed)
    end_s = time.monotonic() + budget_s
    for steps in itertools.islice(sequences, bound.iterations or usual.iterations):
        if time.monotonic() > end_s:
            break
        try:
            if runner.run(steps).checked.violations:
                return True
        except ChaosError as error:  # on a machine that is too busy for the shop itself; it is not caught
            print(f"{name}, seed {seed}: {error}", file=sys.stderr)
    return False


def run_test(text: str, variables: Mapping[str, str]) -> int:
    """The exit code of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test_found.py"
        path.write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
        run = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
        if run.returncode not in (0, 1):
            print(run.stdout + run.stderr)
        return run.returncode


def bound_to(name: str) -> Bound:
    """As the shop binds it, but the queue with what the user has to give."""
    bound = BINDINGS[name]
    if name != QUEUE:
        return bound
    return Bound(bound.target, faults=faults("orders", DATABASE_AWAY), iterations=20, budget_s=120)


def row(defect: str, name: str, seeds: int, short: bool, healthy: Mapping[str, str]) -> Row:
    began_s = time.monotonic()
    with shop(defect) as variables:
        bound = bound_to(name)
        if not short:
            count = sum(caught(name, bound, seed) for seed in range(1, seeds + 1))
            return Row(defect, name, count, seeds, "", (), "", None, time.monotonic() - began_s)
        result = prepared(name, bound, 1).verify()
        count = bool(result.violations) + sum(caught(name, bound, seed) for seed in range(2, seeds + 1))
        steps, again = "none", ""
        test = (-1, -1)
        necessary: tuple[str, ...] = ()
        if result.violations:
            found = result.violations[0]
            steps = f"{len(found.steps)}: " + ", ".join(map(str, found.steps))
            steps += "" if found.shortened else " (not surely the shortest)"
            necessary, again = found.necessary_faults, str(found.seen_again)
            text = found.to_pytest()
            test = (run_test(text, variables), run_test(text, healthy))
    return Row(defect, name, count, seeds, steps, necessary, again, test, time.monotonic() - began_s)


def healthy_rows(names: list[str], seeds: int) -> Iterator[tuple[str, int, float, list[str]]]:
    """(invariant, how often it was upheld, longest time, what else came of it)"""
    for name in names:
        results = [prepared(name, bound_to(name), seed).verify() for seed in range(1, seeds + 1)]
        upheld = sum(result.passed for result in results)
        other = [result.inconclusive or result.violations[0].title for result in results if not result.passed]
        yield name, upheld, max(result.elapsed_s for result in results), other


def main(
    seeds: Annotated[int, typer.Option(help="Of each defect.")] = 10,
    healthy_seeds: Annotated[int, typer.Option(help="Of each invariant on the healthy shop.")] = 10,
    short: Annotated[bool, typer.Option(help="Make one short, and run the test file of it.")] = True,
    only: Annotated[str, typer.Option(help="Defects, with commas; `none` for the healthy shop only.")] = "",
    invariants: Annotated[str, typer.Option(help="On the healthy shop, with commas.")] = "",
) -> None:
    """Exit code 1 when a defect is missed or an alarm is false."""
    console, missed = Console(width=200), False
    table = Table("defect", "invariant", "caught", "minimised", "faults", "again", "test", "took")
    with shop() as healthy:
        pairs = [*FITTING.items(), ("lost-order", QUEUE)]
        assert set(FITTING) == set(DEFECTS)
        chosen = [pair for pair in pairs if not only or pair[0] in only.split(",")]
        for defect, name in chosen:
            one = row(defect, name, seeds, short, healthy)
            missed |= one.missed
            cells: list[Any] = [one.defect, one.invariant, f"{one.caught} of {one.of}", one.steps]
            cells += [", ".join(one.necessary), one.seen_again, one.test, f"{one.took_s:.0f} s"]
            console.print(*cells, sep=" | ")
            table.add_row(*map(str, cells))
        names = [name for name in BINDINGS if not invariants or name in invariants.split(",")]
        for name, upheld, longest_s, other in healthy_rows(names if healthy_seeds else [], healthy_seeds):
            missed |= upheld < healthy_seeds
            console.print(f"healthy | {name} | {upheld} of {healthy_seeds} | {longest_s:.1f} s | {other}")
    console.print(table)
    raise typer.Exit(int(missed))


if __name__ == "__main__":
    typer.run(main)
