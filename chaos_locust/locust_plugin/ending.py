"""The end of a run: its faults undone, and its verdict in every form; or nothing left, had it not begun."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import gevent

from chaos_locust.companions import companion_findings
from chaos_locust.events import FaultEvent, Recording
from chaos_locust.journal import HISTORY_NAME, JOURNAL_NAME, read_journal
from chaos_locust.judge.judge import judge
from chaos_locust.judge.verdict import Verdict
from chaos_locust.leases.client import Guardian
from chaos_locust.plan.model import Plan
from chaos_locust.reports.terminal import print_verdict
from chaos_locust.reports.write import write_all

UNDO_LIMIT_S = 30.0
"""How long the end of a run waits for its faults to be undone before it is told as dirty."""


def undo(guardian: Guardian, recovery: gevent.Greenlet[[float], bool] | None) -> None:
    """The load is over: what still acts is waited for; what was made for the targets is taken away.

    recovery: by another guardian, after this one was lost.
    """
    if recovery is not None:
        recovery.join()
    else:
        guardian.close(UNDO_LIMIT_S)


def left_dirty(plan: Plan, states: Mapping[str, FaultEvent], now_s: float) -> list[FaultEvent]:
    """states: of each fault the last that was told, when everything should be undone."""
    return [
        FaultEvent(now_s, name, "dirty", "it was not told to be undone")
        for name, last in states.items()
        if last.state in ("due", "asked", "active", "revert_asked") and not plan.fault(name).instant
    ]


def judged(plan: Plan, folder: Path) -> tuple[Verdict, Recording]:
    """What is to be said of the run that the journal there has."""
    recording = read_journal(folder)
    return judge(plan, recording, companion_findings(plan, recording)), recording


def tell(folder: Path, verdict: Verdict, recording: Recording) -> None:
    """Every report, and the verdict as it is printed."""
    write_all(folder, verdict, recording)
    print_verdict(sys.stdout, verdict, recording, folder)


def discard(folder: Path) -> None:
    """Nothing was measured: no folder that looks like a run is left."""
    for name in (JOURNAL_NAME, HISTORY_NAME):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
