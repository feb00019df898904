"""Controls asserted during a load run: what a finding says of each phase, and when nothing can be said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.companions import companion_findings, companion_problems
from chaos_locust.events import Event, FaultEvent, LoadStopped, Recording, RunEnded, RunStarted
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.model import Plan
from compliance.measurement import Measurement
from compliance.measures.web.tls import TlsVersions

FAULT = {"name": "no-identity", "kind": "down", "target": "identity", "at": "20s", "for": "10s"}
ACTED = [
    FaultEvent(at_s, "no-identity", state)  # type: ignore[arg-type]
    for at_s, state in ((20.0, "asked"), (20.1, "active"), (30.0, "revert_asked"), (30.1, "reverted"))
]
SAFE = {"lowest": 1.2, "highest": 1.3, "accepts_weak_ciphers": False}
WEAK = {"lowest": 1.0, "highest": 1.3, "accepts_weak_ciphers": True}
GONE = "unreachable"
USUAL = {
    "framework": "pcidss",
    "controls": ["2.2.7"],
    "checks": ["tls-version"],
    "target": "target.yaml",
}


def plan(**asserted: Any) -> Plan:
    load = [{"step": "base", "rate": "50/s", "for": "60s"}]
    targets = {"identity": {"proxy": "identity"}}
    given = {"targets": targets, "faults": [FAULT], "load": load, "warm_up": "4s"}
    return Plan(name="a plan", host="http://127.0.0.1:1", compliance=USUAL | asserted, **given)


def taken(at_s: float, value: dict[str, Any] | str, on_bad: bool = False) -> dict[str, Any]:
    """value: or the status of a measurement that has none."""
    told: tuple[Any, ...] = (value, {}, (), "no answer") if isinstance(value, str) else ("ok", value, (), "")
    measurement = Measurement(TlsVersions.name, *told, "2026-01-01T00:00:00+00:00", 0.1)
    return {"from_s": at_s, "to_s": at_s + 1, "on_bad": on_bad, "measurement": measurement.to_json()}


BAD = taken(61, WEAK, on_bad=True)


def judged(folder: Path, lines: Sequence[Any], events: Sequence[Event] = ACTED) -> Finding:
    (folder / "compliance.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = plan()
    header = RunStarted(0.0, "run", 0.0, given.to_json(), 1, "", {}, 1)
    ended = [LoadStopped(60.0, 60.0), RunEnded(60.0, "finished")]
    recording = Recording(header, (header, *events, *ended), {}, True, folder)
    (found,) = companion_findings(given, recording)
    return found


def test_it_is_upheld_when_it_held_in_every_phase(tmp_path: Path) -> None:
    found = judged(tmp_path, [taken(5, SAFE), taken(22, SAFE), taken(40, SAFE), BAD])
    assert (found.source, found.subject, found.outcome) == ("compliance", "2.2.7", Outcome.UPHELD)
    assert "held 3 of 3 times, before the faults, during no-identity, after the faults" in found.reason


@pytest.mark.parametrize(
    ("at_s", "phase"),
    [
        (5, "before the faults"),
        (19.5, "during no-identity"),
        (29.5, "during no-identity"),
        (31, "after the faults"),
    ],
)
def test_it_deviates_with_the_phase(tmp_path: Path, at_s: float, phase: str) -> None:
    usual = [taken(at_s, SAFE) for at_s in (4, 22, 40)]
    found = judged(tmp_path, [*usual, taken(at_s, WEAK), BAD])
    assert found.outcome is Outcome.DEVIATED
    assert f"{phase} ({at_s:.1f}-{at_s + 1:.1f} s)" in found.reason
    assert found.stretch == (at_s, at_s + 1)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([taken(5, SAFE), taken(40, SAFE), BAD], "is not known during no-identity: it was not looked at"),
        ([taken(5, SAFE), taken(22, GONE), taken(40, SAFE), BAD], "unreachable: no answer"),
        ([taken(5, SAFE), taken(22, SAFE), taken(40, SAFE)], "its positive control was not taken"),
        ([taken(5, SAFE), taken(22, SAFE), taken(40, SAFE), taken(61, SAFE, on_bad=True)], "not believed"),
        ([], "is not known before the faults"),
        ([{"from_s": 1}], "line 1"),
    ],
)
def test_what_was_not_seen_is_not_known(tmp_path: Path, lines: list[Any], why: str) -> None:
    found = judged(tmp_path, lines)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert why in found.reason


def test_a_line_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    changed = taken(22, WEAK)
    changed["measurement"]["value"]["lowest"] = 1.2
    found = judged(tmp_path, [taken(5, SAFE), changed, taken(40, SAFE), BAD])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "digest" in found.reason


def test_one_look_that_failed_outweighs_what_is_not_known(tmp_path: Path) -> None:
    assert judged(tmp_path, [taken(22, WEAK)]).outcome is Outcome.DEVIATED


def test_no_file_is_not_known(tmp_path: Path) -> None:
    given = plan()
    header = RunStarted(0.0, "run", 0.0, given.to_json(), 1, "", {}, 1)
    (found,) = companion_findings(given, Recording(header, (header,), {}, False, tmp_path))
    assert found.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("asserted", "problem"),
    [
        ({"framework": "pcidsss"}, "compliance.framework: there is no framework 'pcidsss'"),
        ({"profile": "some"}, "compliance.profile: pcidss has no profile 'some'"),
        ({"controls": ["2.2.77"]}, "compliance.controls[0]: pcidss has no control '2.2.77'"),
        (
            {"controls": ["12.4.1"], "checks": []},
            "compliance.controls[0]: nothing that can be measured tells of 12.4.1",
        ),
        ({"checks": ["banner"]}, "compliance.checks[0]: 'banner' tells of none of these controls"),
        ({"target": "none.yaml"}, "compliance.target: none.yaml"),
        ({"target": "empty.yaml"}, "names no http, which tls-version needs"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asserted: dict[str, Any], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target.yaml").write_text("name: it\nhttp: {url: 'https://127.0.0.1:1'}\n")
    (tmp_path / "empty.yaml").write_text("name: it\n")
    assert companion_problems(plan()) == []
    told = "\n".join(map(str, companion_problems(plan(**asserted))))
    assert problem in told
