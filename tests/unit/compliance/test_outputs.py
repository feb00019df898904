"""What an audit leaves behind: read by those who are to read it, and without secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import jsonschema
import pytest
from junitparser import JUnitXml
from sarif_pydantic import Sarif

from chaos_locust.reports.text import plain
from compliance.catalogue import FRAMEWORKS, load
from compliance.checks import checks
from compliance.gate import Gate
from compliance.history import Difference
from compliance.measurement import digest
from compliance.outputs import console, html
from compliance.outputs.document import schema
from compliance.outputs.oscal import report_to_oscal, token
from compliance.outputs.report import Report, without_secrets
from compliance.outputs.sarif import report_to_sarif
from compliance.outputs.write import write_all
from compliance.trail import Told, verify

from .audits import Bound, audit, decision, every_state, measurement, outcome, report

EVIL = '<img src=x onerror="alert(1)"></script>\x1b[31m'
SECRETS = ("hunter2-is-my-password", "eyJhbGciOi.abcdefgh.ijklmnop", "s3cr3t-of-postgres")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "20300615_100000"
    folder.mkdir()
    write_all(folder, report())
    return folder


def test_the_document_is_as_the_schema_says_and_the_trail_tells_of_it(folder: Path) -> None:
    document = json.loads((folder / "audit.json").read_text())
    jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker()).validate(document)
    signed = {key: value for key, value in document.items() if key not in ("sha256", "trail")}
    assert document["sha256"] == digest(signed)
    told = Told("audit.json", document["trail"]["number"], document["trail"]["hash"])
    found = verify(folder.parent / document["trail"]["file"], [told])
    assert (found.wrong, found.head) == ((), document["trail"]["hash"])


def test_evidence_can_be_held_against_its_hash(folder: Path) -> None:
    document = json.loads((folder / "audit.json").read_text())
    for each in document["measurements"].values():
        assert each["sha256"] == digest({key: value for key, value in each.items() if key != "sha256"})
    assert {each["evidence"] for each in document["violations"]} <= {
        each["sha256"] for each in document["measurements"].values()
    }


def test_sarif_and_junit_are_read_by_others(folder: Path) -> None:
    sarif = Sarif.model_validate(json.loads((folder / "audit.sarif").read_text()))
    assert [each.level.value for each in sarif.runs[0].results or ()] == ["error", "error", "warning"]
    (suite,) = JUnitXml.fromfile(str(folder / "junit.xml"))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (9, 2, 0, 6)
    messages = [case.result[0].message for case in suite if case.is_skipped]
    assert [message.split(":")[0] for message in messages] == [
        "not assessed", "not assessed", "waived", "not assessed", "not applicable", "not assessed"
    ]  # fmt: skip


def test_oscal_is_accepted_by_trestle(folder: Path) -> None:
    models = pytest.importorskip("trestle.oscal.assessment_results", reason="no compliance-trestle")
    found = models.AssessmentResults.oscal_read(folder / "oscal.json").results[0]
    assert len(found.findings) == 8
    assert [risk.deadline.date().isoformat() for risk in found.risks] == [
        "2030-06-22", "2030-07-15", "2030-07-01"
    ]  # fmt: skip


def test_oscal_leaves_out_what_does_not_apply_and_dates_what_is_violated() -> None:
    (found,) = report_to_oscal(report())["assessment-results"]["results"]
    findings = {each["target"]["target-id"]: each["target"]["status"] for each in found["findings"]}
    assert "pe-1" not in findings
    assert findings["ac-7.1"] == {"state": "satisfied", "reason": "pass"}
    assert findings["ac-2"] == {"state": "not-satisfied", "reason": "fail"}
    assert findings["au-9"] == {"state": "not-satisfied", "reason": "other"}
    told = [(each["title"].split()[0], each["status"], each["deadline"][:10]) for each in found["risks"]]
    assert told == [
        ("AC-2", "open", "2030-06-22"),
        ("SC-8", "deviation-approved", "2030-07-15"),
        ("AU-2", "remediating", "2030-07-01"),
    ]


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("AC-7", "ac-7"),
        ("IA-5(1)", "ia-5.1"),
        ("KSI-SVC-SIN", "KSI-SVC-SIN"),
        ("CC6.1", "CC6.1"),
        ("164.308(a)(1)(ii)(A)", "_164.308-a-1-ii-A"),
        ("8.3.4", "_8.3.4"),
    ],
)
def test_ids_are_tokens_of_oscal(control: str, expected: str) -> None:
    assert token(control) == expected


def test_the_console_has_the_gravest_first_with_what_is_to_be_done_by_when() -> None:
    text = console.render(report(), Path("results/x"))
    places = [text.index(part) for part in ("CRITICAL", "Mend accounts.", "HIGH", "waived", "MEDIUM")]
    assert places == sorted(places)
    assert "mend by 2030-06-22; platform; check accounts" in text
    assert "mend by 2030-07-01; platform; check records; being mended" in text
    assert "certified" not in text
    assert "\x1b" not in text


def test_the_console_says_why_what_was_not_assessed() -> None:
    text = console.render(report(), Path("results/x")).partition("NOT ASSESSED")[2]
    for control, why in (
        ("AC-1", "needs an attestation"),
        ("AU-9", "unreachable: no answer (measure_erasing)"),
        ("SC-13", "what can be measured passed"),
        ("PE-2", "has expired"),
    ):
        assert control in text
        assert why in text


def test_the_console_tells_what_has_changed() -> None:
    change = Difference("2030-05-01", (("AC-2", "accounts"),), (("AU-2", "records"),), (("AC-3", "x"),), ())
    text = console.render(report(difference=change), Path("results/x"))
    assert "new: AC-2 (accounts)" in text
    assert "gone: AC-3 (x)" in text
    assert "1 new, 1 still there, 1 gone" in text


def test_colours_only_where_they_are_asked_for() -> None:
    assert "\x1b[31;1mCRITICAL" in console.render(report(), Path("results/x"), colour=True)


def evil() -> Report:
    taken = measurement("measure_tls", value={"lowest": EVIL}, evidence=(EVIL,))
    result = audit({"SC-8": {"tls": ("failed", "full")}}, measurements=[taken])
    bad = replace(outcome("tls", "failed", text=EVIL), evidence=taken.sha256)
    control = replace(result.controls[0], outcomes=(bad,))
    return report(replace(result, controls=(control,), target=EVIL))


def test_what_the_target_says_is_not_carried_out(tmp_path: Path) -> None:
    page = html.render(evil())
    assert page.count("<script") == 1
    assert "<img" not in page
    (tmp_path / "x").mkdir()
    write_all(tmp_path / "x", evil())
    for path in (tmp_path / "x").iterdir():
        assert "\x1b" not in path.read_text()
    assert "\x1b" not in console.render(evil(), tmp_path)
    assert "\x1b" not in (tmp_path / "trail.jsonl").read_text()


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    asked: list[tuple[str, str]] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            asked.extend((tag, value or "") for name, value in attrs if name in ("src", "href", "action"))

    Links().feed(html.render(report()))
    assert [each for each in asked if not each[1].startswith("#")] == [("link", "data:,")]


def test_what_looks_like_a_secret_is_in_no_output(tmp_path: Path) -> None:
    password, token_, database = SECRETS
    evidence = (
        f"POST /login\nAuthorization: Bearer {token_}\n\n" + json.dumps({"password": password}),
        f"postgresql://app:{database}@127.0.0.1/shop",
    )
    value = {"seen": [f"access_token={token_}"], "password_min_length": 12}
    reason = f"cannot connect to postgresql://app:{database}@127.0.0.1/shop"
    taken = [
        measurement("measure_tls", evidence=evidence, value=value),
        measurement("measure_x", "error", value={}, reason=reason),
    ]
    told = f"What tls looks for is wrong. (seen is ['access_token={token_}'])"
    result = audit({"SC-8": {"tls": ("failed", "full"), "x": ("not_known", "full")}}, measurements=taken)
    outcomes = (
        replace(outcome("tls", "failed", text=told), evidence=taken[0].sha256),
        replace(outcome("x", "not_known", text=reason), evidence=taken[1].sha256),
    )
    result = replace(result, controls=(replace(result.controls[0], outcomes=outcomes, detail=reason),))
    clean = without_secrets(result)
    assert clean.measurements["measure_tls"].value["password_min_length"] == 12
    assert [each.evidence for each in clean.controls[0].outcomes] == [
        each.sha256 for each in clean.measurements.values()
    ]
    (tmp_path / "x").mkdir()
    written, _ = write_all(tmp_path / "x", report(clean))
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) == 6
    for text in (*texts, console.render(written, tmp_path / "x")):
        assert [secret for secret in SECRETS if secret in text] == []


def test_nothing_says_certified() -> None:
    shown = re.sub(r"\s+", " ", html.render(report()))
    assert "no certificate" in shown
    assert "certified" not in shown.lower()


def test_an_expired_decision_is_shown_as_such() -> None:
    page = html.render(report())
    assert page.count("(not good today)") == 1
    good = audit({"PE-2": {}}, [decision("attestation", "PE-2")])
    assert "(not good today)" not in html.render(report(good))


def test_every_state_is_there() -> None:
    assert {each.state for each in every_state().controls} == {
        "compliant", "non_compliant", "in_progress", "not_applicable", "not_assessed"
    }  # fmt: skip


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, compliance; from compliance import ComplianceFramework, audit; "
        "print(sorted({'pydantic', 'yaml', 'requests', 'rich', 'jinja2'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_one_check_of_several_controls_is_told_once() -> None:
    result = audit({name: {"tls": ("failed", "full")} for name in ("SC-8", "SC-8(1)", "SC-23")})
    assert len(result.violations) == 3
    text = console.render(report(result), Path("results/x"))
    assert text.count("Mend tls.") == 1
    assert "SC-8, SC-8(1), SC-23" in text
    assert html.render(report(result)).count('<article class="card violation') == 1
    planned = audit(
        {name: {"tls": ("failed", "full")} for name in ("SC-8", "SC-23")}, [decision("plan", "SC-23")]
    )
    assert html.render(report(planned)).count('<article class="card violation') == 2


def test_our_own_words_are_not_taken_for_secrets(tmp_path: Path) -> None:
    titles = [f"{each.id} {each.title}" for name in FRAMEWORKS for each in load(name).controls.values()]
    ours = [text for each in checks().values() for text in (each.violation, *each.remediation)]
    assert [text for text in (*titles, *ours) if plain(text) != text] == []
    value = {"password_min_length": 8, "hashes": {"password": "md5"}}
    bound: dict[str, Bound] = {
        "IA-5": {"password-length": ("failed", "full")},
        "IA-5(1)": {"old-password": ("not_known", "full")},
    }
    taken = [
        measurement("measure_password-length", value=value),
        measurement("measure_old-password", "error", value={}, reason="no answer"),
    ]
    one = report(without_secrets(audit(bound, measurements=taken)), Gate(any_violation=True))
    (tmp_path / "x").mkdir()
    write_all(tmp_path / "x", one)
    texts = {path.name: path.read_text() for path in (tmp_path / "x").iterdir()}
    for name, text in {**texts, "console": console.render(one, tmp_path / "x")}.items():
        if name != "audit.json":
            assert "***" not in text, name
    measurements = json.loads(texts["audit.json"])["measurements"]
    assert measurements["measure_password-length"]["value"] == value


def test_a_waiver_that_has_expired_suppresses_nothing() -> None:
    old, good = (decision("waiver", "SC-8", until=until) for until in (date(2030, 6, 14), date(2030, 6, 15)))
    for waiver, expected in ((old, []), (good, ["It is so."])):
        found = report_to_sarif(report(audit({"SC-8": {"tls": ("failed", "full")}}, [waiver])))
        (result,) = found["runs"][0]["results"]
        assert [each["justification"] for each in result["suppressions"]] == expected


def test_sarif_has_nothing_twice_where_it_must_not() -> None:
    twice = [decision("waiver", "SC-8"), decision("waiver", "SC-8")]
    (run,) = report_to_sarif(report(audit({"SC-8": {"tls": ("failed", "full")}}, twice)))["runs"]
    assert len(run["results"][0]["suppressions"]) == 1
    assert run["tool"]["driver"]["rules"][0]["properties"]["tags"] == ["compliance", "platform"]


def test_progress_names_each_measure_on_a_terminal_and_elsewhere() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), StringIO()
    for stream in (terminal, file):
        progress = console.Progress(stream)
        progress.show("tls_versions")
        progress.show("lockout")
        progress.stop()
    assert "lockout (2)" in terminal.getvalue()
    assert file.getvalue() == "measuring tls_versions\nmeasuring lockout\n"
