"""Does each shipped plan hold for the healthy shop, and show the defect that it is for?

    python -m bench.plans [--only NAME] [--times N]

Each run has a shop of its own. The healthy one must be upheld (0), the one with the planted defect must
deviate (3) in the objective that the row names. A run takes about half a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.shops import PLANS, ROOT, shop, told
from chaos_locust.cli.run_plan import locust_command


@dataclass(frozen=True)
class Row:
    """plan: its file in locustfiles/plans. finding: part of the objective that the defect makes deviate."""

    plan: str
    defect: str
    finding: str


ROWS = (
    Row("postgres-refuse-connections", "no-pool", "during no-newcomers"),
    Row("postgres-exhaust-connections", "no-pool", "during no-room"),
    Row("postgres-slow-connect", "no-pool", "during slow-log-in"),
    Row("postgres-unavailable", "leaky-pool", "after database-away"),
    Row("postgres-terminate-backends", "stale-connections", "during sessions-ended"),
    Row("postgres-lock-table", "no-timeout", "during orders-locked"),
    Row("postgres-lock-row", "orders-in-line", "during product-locked"),
    Row("postgres-slow-queries", "reviews-uncached", "during reviews-slow"),
    Row("postgres-drop-index", "reviews-uncached", "during index-gone"),
    Row("postgres-work-mem", "reviews-uncached", "during little-memory"),
    Row("postgres-statement-timeout", "reviews-uncached", "during short-limit"),
    Row("postgres-read-only", "leaky-pool", "after read-only"),
    Row("postgres-serialization-failures", "no-retry", "during orders-collide"),
    Row("redis-pause", "cache-required", "during cache-paused"),
    Row("redis-slow", "no-timeout", "during cache-slow"),
    Row("redis-flush", "cache-as-store", "after cache-flushed"),
    Row("redis-evict", "cache-as-store", "during cache-evicts"),
    Row("redis-expire", "cache-as-store", "during keys-expire"),
    Row("redis-corrupt", "trusts-cache", "during cache-spoiled"),
    Row("redis-refuse-writes", "cache-required", "during no-writes"),
    Row("redis-out-of-memory", "cache-required", "during no-memory"),
    Row("redis-disconnect", "connects-once", "during cache-disconnects"),
    Row("compliance-identity", "fails-open", "PCI DSS 7.3.3"),
    Row("compliance-audit", "audit-gap-under-load", "PCI DSS 10.2.1"),
    Row("jwks-unavailable", "drops-keys", "during keys-lost"),
    Row("jwks-slow", "drops-keys", "during keys-slow"),
    Row("jwks-corrupted", "drops-keys", "during keys-broken"),
    Row("jwks-rotated", "stale-keys", "after keys-rotated"),
    Row("jwks-wrong-key-id", "stale-keys", "after keys-renamed"),
    Row("identity-attacks", "unchecked-tokens", "must be refused"),
)


def run_once(plan: str, defect: str | None) -> tuple[int, str, tuple[str, ...]]:
    """Exit code, the verdict in words, the objectives that deviated."""
    with tempfile.TemporaryDirectory() as folder, shop(defect) as env:
        environ = {**os.environ, **env, "XDG_STATE_HOME": folder}
        results = Path(folder) / "results"
        command = locust_command(PLANS / f"{plan}.yaml", results, environ)
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        seen = told(results)
        return done.returncode, seen.sentence or done.stderr[-2000:], seen.deviated


def is_right(row: Row, defect: str | None) -> bool:
    code, sentence, deviated = run_once(row.plan, defect)
    named = any(row.finding in text for text in deviated)
    right = (code == 3 and named) if defect else code == 0
    print(
        f"{row.plan:34} {defect or 'healthy':20} exit {code} {'as it should' if right else 'WRONG'}",
        flush=True,
    )
    if not right:
        print(f"    {sentence}", *deviated, sep="\n    ", file=sys.stderr, flush=True)
    return right


def main(
    times: Annotated[int, typer.Option(help="Runs of each plan, healthy and with its defect.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="The name of a plan; may be repeated.")] = None,
) -> None:
    """One line for each run; exit code 1 if one was not as it should be."""
    if unknown := set(only or ()) - {row.plan for row in ROWS}:
        raise SystemExit(f"there is no plan {', '.join(sorted(unknown))} in bench/plans.py")
    chosen = [row for row in ROWS if not only or row.plan in only]
    runs = [(row, defect) for row in chosen for defect in (None, row.defect) for _ in range(times)]
    wrong = sum(not is_right(row, defect) for row, defect in runs)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(main)
