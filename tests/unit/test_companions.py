"""Findings of others enter a verdict by an entry point, and a companion that fails is never silence."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

import pytest

from chaos_locust import companions
from chaos_locust.events import Recording, RunEnded, RunStarted
from chaos_locust.judge.judge import judge
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.model import Plan

PLAN = Plan(name="a plan", host="http://127.0.0.1:1", load=[{"step": "base", "rate": "50/s", "for": "60s"}])
HEADER = RunStarted(0.0, "run", 0.0, PLAN.to_json(), 1, "", {}, 1)
RECORDING = Recording(HEADER, (HEADER, RunEnded(60.0, "finished")), {})


def lost_order(plan: Plan, recording: Recording) -> Sequence[Finding]:
    return [
        Finding("invariants", "no order is lost", Outcome.DEVIATED, "order 7 was acknowledged and is gone")
    ]


def broken(plan: Plan, recording: Recording) -> Sequence[Finding]:
    raise KeyError("orders")


def install(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    point = EntryPoint(name="invariants", value=f"{__name__}:{function}", group=companions.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.value.split(":")[1]])
    monkeypatch.setattr(
        companions, "entry_points", lambda group: [point] if group == companions.GROUP else []
    )


def test_a_companions_finding_decides_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "lost_order")
    verdict = judge(PLAN, RECORDING, companions.companion_findings(PLAN, RECORDING))
    assert verdict.exit_code == 3
    assert "no order is lost" in verdict.sentence


def test_a_companion_that_raises_makes_the_run_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "broken")
    (finding,) = companions.companion_findings(PLAN, RECORDING)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "KeyError" in finding.reason
