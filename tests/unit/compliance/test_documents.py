"""Policies, runbooks, reports of scans, earlier audits: they are as old as they state, not as their files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos_locust.errors import ChaosError, InvalidPlan
from compliance.auditor import Auditor
from compliance.catalogue import Profile, load
from compliance.checks import checks, judge
from compliance.decisions import Decision, Item
from compliance.history import ChangedDocument
from compliance.measurement import Measurement, Secrets, digest
from compliance.measures.base import Measure, Unsupported
from compliance.measures.operations.continuous import EarlierAudits
from compliance.measures.operations.documents import IncidentDrill, IncidentRunbook, SecurityPolicy
from compliance.measures.operations.scans import Malware, PenetrationTest, VulnerabilityScan, said_in
from compliance.site import Site
from compliance.target import ContinuousMonitoring, Target
from compliance.target_documents import Documents, MalwareScan

NOW = datetime(2030, 6, 15, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
POLICY = "# Policy\n\n## 1. Scope\n\nAll of it.\n\nApproved by  Ada\nExample.\n"
RUNBOOK = "# Runbook\n\n## Contacts:\n\nsecurity@example.org\n\nApproved by Ada Example\n"
PCIDSS, FEDRAMP = load("pcidss").profile(), load("fedramp").profile("class-c")


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def value_of(measure: type[Measure], target: Target) -> Mapping[str, Any]:
    found = measure().take(Site(target, Secrets(), now=lambda: NOW))
    assert set(found) == set(measure.fields)
    return found


def answers(measure: type[Measure], target: Target, profile: Profile = PCIDSS) -> dict[str, str]:
    taken = Measurement(measure.name, "ok", value_of(measure, target), (), "", "", 0.0)
    about = [each for each in checks().values() if each.measure == measure.name]
    assert about
    return {each.id: judge(each, taken, profile.parameters).answer for each in about}


def failed(measure: type[Measure], target: Target, profile: Profile = PCIDSS) -> set[str]:
    found = answers(measure, target, profile)
    assert "not_known" not in found.values(), found
    return {check for check, answer in found.items() if answer == "failed"}


def policy(folder: Path, content: str | bytes = POLICY, **changed: Any) -> Target:
    file = folder / "policy.md"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = {
        "file": file,
        "approved": date(2029, 12, 1),
        "approved_by": "ada example",
        "review_every_days": 365,
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "sections": ["Scope"],
    }
    return Target(name="shop", documents={"security_policy": {**given, **changed}})


def runbook(folder: Path, **changed: Any) -> Target:
    file = folder / "runbook.md"
    file.write_text(RUNBOOK)
    given = {
        "file": file,
        "approved": date(2029, 12, 1),
        "approved_by": "Ada Example",
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "sections": ["contacts"],
        "contact": "security@example.org",
        "drilled": date(2029, 12, 2),
    }
    return Target(name="shop", documents={"incident_runbook": {**given, **changed}})


def written(file: Path, content: str | bytes, days: float = 0) -> Path:
    """A report, and the time of its file."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.utime(file, (days_ago(days).timestamp(),) * 2)
    return file


def scan(kind: str, file: Path, **more: Any) -> Target:
    return Target(name="shop", documents={kind: {"file": file, **more}})


def test_a_policy_that_is_there_signed_and_in_time_holds(tmp_path: Path) -> None:
    target = policy(tmp_path)
    os.utime(tmp_path / "policy.md", (0, 0))  # the day of the approval counts, not that of the file
    assert failed(SecurityPolicy, target) == set()
    assert value_of(SecurityPolicy, target)["age_days"] == (TODAY - date(2029, 12, 1)).days


@pytest.mark.parametrize(
    ("changed", "turned"),
    [
        ({"file": Path("none.md")}, {"security-policy-there", "security-policy-signed"}),
        ({"sections": ["Scope", "Duties"]}, {"security-policy-there"}),
        ({"approved_by": ""}, {"security-policy-signed"}),
        ({"approved_by": "Bob"}, {"security-policy-signed"}),
        ({"sha256": ""}, {"security-policy-signed"}),
        ({"sha256": 64 * "0"}, {"security-policy-signed"}),
        ({"approved": date(2029, 6, 13)}, {"security-policy-current"}),
        ({"review_every_days": 30}, {"security-policy-current"}),
    ],
)
def test_each_thing_wrong_with_a_policy_alone(
    changed: Mapping[str, Any], turned: set[str], tmp_path: Path
) -> None:
    assert failed(SecurityPolicy, policy(tmp_path, **changed)) == turned


def test_a_policy_that_was_emptied_is_not_there(tmp_path: Path) -> None:
    assert failed(SecurityPolicy, policy(tmp_path, " \n", sections=[])) >= {"security-policy-there"}


def test_of_a_pdf_the_words_are_not_looked_at_but_the_hash_is(tmp_path: Path) -> None:
    pdf = b"%PDF-1.7\n\x00\xff"
    assert failed(SecurityPolicy, policy(tmp_path, pdf, sections=[])) == set()
    assert answers(SecurityPolicy, policy(tmp_path, pdf))["security-policy-there"] == "not_known"
    turned = failed(SecurityPolicy, policy(tmp_path, pdf, sections=[], sha256=64 * "0"))
    assert turned == {"security-policy-signed"}


def test_without_a_day_of_approval_it_is_not_signed_and_its_age_is_not_known(tmp_path: Path) -> None:
    found = answers(SecurityPolicy, policy(tmp_path, approved=None))
    assert found["security-policy-signed"] == "failed"
    assert found["security-policy-current"] == "not_known"


def test_an_approval_that_is_yet_to_come_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="2030-07-01 is yet to come"):
        value_of(SecurityPolicy, policy(tmp_path, approved=date(2030, 7, 1)))


def test_the_framework_says_how_long_a_policy_is_good(tmp_path: Path) -> None:
    target = policy(tmp_path, approved=date(2029, 1, 1), review_every_days=None)
    assert failed(SecurityPolicy, target, PCIDSS) == {"security-policy-current"}
    assert failed(SecurityPolicy, target, FEDRAMP) == set()


def test_a_runbook_with_contact_and_drill_holds(tmp_path: Path) -> None:
    assert failed(IncidentRunbook, runbook(tmp_path)) == set()
    assert failed(IncidentDrill, runbook(tmp_path)) == set()


@pytest.mark.parametrize(
    ("changed", "turned"),
    [
        (
            {"file": Path("none.md")},
            {"incident-runbook-there", "incident-runbook-current", "incident-contact"},
        ),
        ({"approved": date(2029, 6, 13)}, {"incident-runbook-current"}),
        ({"sha256": 64 * "0"}, {"incident-runbook-current"}),
        ({"contact": ""}, {"incident-contact"}),
        ({"contact": "somebody@example.org"}, {"incident-contact"}),
        ({"drilled": None}, {"incident-drilled"}),
    ],
)
def test_each_thing_wrong_with_a_runbook_alone(
    changed: Mapping[str, Any], turned: set[str], tmp_path: Path
) -> None:
    assert failed(IncidentRunbook, runbook(tmp_path, **changed)) == turned


def test_a_drill_that_is_too_long_ago(tmp_path: Path) -> None:
    assert failed(IncidentDrill, runbook(tmp_path, drilled=date(2029, 6, 13))) == {"incident-drill-recent"}
    with pytest.raises(Unsupported, match="no drill is named"):
        value_of(IncidentDrill, runbook(tmp_path, drilled=None))


@pytest.mark.parametrize("measure", [SecurityPolicy, IncidentRunbook, Malware, VulnerabilityScan])
def test_what_is_not_named_is_not_assessed(measure: type[Measure]) -> None:
    with pytest.raises(Unsupported, match=f"name no {measure.name}"):
        value_of(measure, Target(name="shop", documents=Documents()))


CLAMSCAN = "Infected files: 0\nStart Date: 2030:06:14 09:00:00\nEnd Date:   2030:06:14 10:00:00\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CLAMSCAN, datetime(2030, 6, 14, 10).astimezone()),
        ('{"CreatedAt": "2030-06-14T10:00:00.123456789Z"}', datetime(2030, 6, 14, 10, 0, 0, 123456, UTC)),
        ('{"descriptor": {"timestamp": "2030-06-14T12:00:00+02:00"}}', datetime(2030, 6, 14, 10, tzinfo=UTC)),
        (
            '{"runs": [{"invocations": [{"endTimeUtc": "2030-06-14T10:00:00Z"}]}, '
            '{"invocations": [{"endTimeUtc": "2030-06-10T10:00:00Z"}]}]}',
            datetime(2030, 6, 10, 10, tzinfo=UTC),
        ),
        ('{"runs": [{"invocations": [{}]}]}', None),
        ('{"runs": {}, "CreatedAt": 17}', None),
        ("scanned on 2030-06-14", None),
        ("[]", None),
    ],
)
def test_when_a_report_says_that_it_was_made(content: str, said: datetime | None) -> None:
    assert said_in(content.encode()) == said


def test_a_report_of_a_scanner_younger_than_the_limit_holds_and_an_older_one_does_not(tmp_path: Path) -> None:
    log = written(tmp_path / "clamscan.log", CLAMSCAN)
    assert failed(Malware, scan("malware_scan", log)) == set()
    written(log, CLAMSCAN.replace("2030:06:14", "2030:06:01"))
    assert failed(Malware, scan("malware_scan", log)) == {"malware-scan-recent"}


def test_a_scanner_whose_report_is_gone_or_that_does_not_run_fails(tmp_path: Path) -> None:
    gone = answers(Malware, scan("malware_scan", tmp_path / "none.log"))
    assert gone == {"malware-scanned": "failed", "malware-scan-recent": "not_known"}
    still = Target(name="shop", documents={"malware_scan": {"process": "no-such-scanner"}})
    assert answers(Malware, still)["malware-scanned"] == "failed"


def test_a_scanner_that_runs_needs_no_report() -> None:
    running = psutil.Process().name()
    target = Target(name="shop", documents={"malware_scan": {"process": running}})
    assert failed(Malware, target) == set()


@pytest.mark.parametrize(
    ("kind", "measure", "check", "period_days"),
    [
        ("vulnerability_scan", VulnerabilityScan, "vulnerabilities-scanned", 92),
        ("penetration_test", PenetrationTest, "penetration-tested", 366),
    ],
)
def test_a_result_inside_the_period_passes_and_any_other_fails(
    kind: str, measure: type[Measure], check: str, period_days: int, tmp_path: Path
) -> None:
    report = tmp_path / "report.pdf"
    assert failed(measure, scan(kind, report)) == {check}
    written(report, b"%PDF-1.7")
    inside, outside = (days_ago(days).date() for days in (period_days - 1, period_days + 1))
    assert failed(measure, scan(kind, report, made=inside)) == set()
    assert failed(measure, scan(kind, report, made=outside)) == {check}
    assert answers(measure, scan(kind, report)) == {check: "not_known"}, "the file's time alone is not enough"


def test_the_oldest_of_what_is_said_counts(tmp_path: Path) -> None:
    report = written(tmp_path / "report.json", json.dumps({"CreatedAt": days_ago(10).isoformat()}))
    assert value_of(VulnerabilityScan, scan("vulnerability_scan", report))["age_days"] == 10.0
    older = scan("vulnerability_scan", report, made=days_ago(20).date())
    assert value_of(VulnerabilityScan, older)["age_days"] == 20.5
    written(report, report.read_bytes(), days=30)
    assert value_of(VulnerabilityScan, older)["age_days"] == 30.0
    written(report, json.dumps({"CreatedAt": days_ago(-3).isoformat()}), days=-3)
    with pytest.raises(ChaosError, match="yet to come"):
        value_of(VulnerabilityScan, scan("vulnerability_scan", report))


def test_mistakes_in_the_description_are_named() -> None:
    with pytest.raises(InvalidPlan, match="neither a file nor a process"):
        MalwareScan()
    with pytest.raises(InvalidPlan, match=r"documents\.security_policy\.sha256"):
        Target(name="shop", documents={"security_policy": {"file": "policy.md", "sha256": "abc"}})
    with pytest.raises(InvalidPlan, match=r"documents\.incident_runbok"):
        Target(name="shop", documents={"incident_runbok": {"file": "runbook.md"}})


def kept(folder: Path, days: float, target: str = "shop", status: str = "ok") -> None:
    """An audit that was made so many days ago."""
    measurements = {"tls": {"status": status}}
    document: dict[str, Any] = {
        "target": target,
        "audited_at": days_ago(days).isoformat(timespec="seconds"),
        "measurements": measurements,
    }
    file = folder / f"{days}-{target}" / "audit.json"
    file.parent.mkdir()
    file.write_text(json.dumps({**document, "sha256": digest(document)}))


def monitored(folder: Path) -> Target:
    return Target(name="shop", continuous_monitoring=ContinuousMonitoring(audits=folder))


def test_the_last_audit_in_which_something_of_the_target_was_seen_counts(tmp_path: Path) -> None:
    assert value_of(EarlierAudits, monitored(tmp_path)) == {"in_a_year": 0, "age_days": None}
    kept(tmp_path, 400)
    kept(tmp_path, 60)
    kept(tmp_path, 20)
    kept(tmp_path, 5, target="bank")
    kept(tmp_path, 3, status="unreachable")
    assert value_of(EarlierAudits, monitored(tmp_path)) == {"in_a_year": 2, "age_days": 20.0}


def test_an_audit_that_was_changed_is_no_evidence(tmp_path: Path) -> None:
    kept(tmp_path, 400)
    (file,) = tmp_path.glob("*/audit.json")
    file.write_text(file.read_text().replace("2029", "2030"))
    with pytest.raises(ChangedDocument):
        value_of(EarlierAudits, monitored(tmp_path))


def attested(framework: str, profile: Profile) -> Decision:
    """What nothing in the target's description tells of."""
    item = Item(
        framework=framework,
        controls=profile.controls,
        statement="It is so.",
        owner="Ada",
        approver="Bob",
        decided_on=date(2020, 1, 1),
        expires_on=date(2099, 12, 31),
    )
    return Decision("attestation", item)


def test_without_recent_monitoring_fedramp_alone_is_not_met(tmp_path: Path) -> None:
    """As a whole audit says it, by the clock of this machine."""
    last = (datetime.now(UTC) - timedelta(days=60)).isoformat(timespec="seconds")
    document = {"target": "shop", "audited_at": last, "measurements": {"tls": {"status": "ok"}}}
    file = tmp_path / "earlier" / "audit.json"
    file.parent.mkdir()
    file.write_text(json.dumps({**document, "sha256": digest(document)}))
    auditor = Auditor(monitored(tmp_path))
    results = {}
    for framework, name in (("fisma", "moderate"), ("fedramp", "class-c"), ("fedramp", "20x-class-c")):
        loaded = load(framework)
        profile = loaded.profile(name)
        results[name] = auditor.audit(loaded, profile, [attested(framework, profile)])
    assert results["moderate"].is_compliant()
    (violation,) = results["class-c"].violations
    assert (violation.control_id, violation.check) == ("CA-7", "monitored-continuously")
    assert {each.check for each in results["20x-class-c"].violations} == {"monitored-continuously"}
