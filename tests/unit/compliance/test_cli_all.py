"""`compliance audit --all-frameworks`, and `compliance report`: against a small service of the test's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from chaos_locust.cli.app import run
from compliance import auditor
from compliance.checks import Binding
from compliance.gate import worst
from compliance.history import documents_in, read_document

from .test_cli_audit import CHECK, TARGET, Open, address, service

PROFILES = "profiles: {fisma: moderate, fedramp: class-c}\n"
CONTROLS = {"soc2": "CC6.1", "pcidss": "7.3.3"}
VERDICTS = ("NIST SP 800-53", "FedRAMP", "SOC 2", "HIPAA Security Rule", "PCI DSS")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one measure says tells of a control of SOC 2 and of one of PCI DSS."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(auditor, "checks", lambda: {"closed": CHECK})
    monkeypatch.setattr(auditor, "measures", lambda: {"open": Open})

    def bindings(framework: str) -> dict[str, tuple[Binding, ...]]:
        return {CONTROLS[framework]: (Binding("closed", "full"),)} if framework in CONTROLS else {}

    monkeypatch.setattr(auditor, "bindings", bindings)


@pytest.fixture
def safe() -> Iterator[ThreadingHTTPServer]:
    with service(is_safe=True) as server:
        Path("target.yaml").write_text(PROFILES + TARGET % address(server))
        yield server


@pytest.fixture
def unsafe(safe: ThreadingHTTPServer) -> ThreadingHTTPServer:
    safe.is_safe = False  # type: ignore[attr-defined]
    return safe


def audited(*options: str) -> int:
    return run(["compliance", "audit", "--all-frameworks", "--target", "target.yaml", *options])


def test_all_five_say_a_verdict_by_one_measurement(
    safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: Counter[str] = Counter()
    take = Open.take
    monkeypatch.setattr(
        Open, "take", lambda self, site: targets.update([site.target.name]) or take(self, site)
    )
    assert audited("--fail-if-violations") == 0
    assert targets["shop"] == 1
    told = capsys.readouterr()
    assert told.err.count("measuring open\n") == 1
    verdicts = [line for line in told.out.splitlines() if "FULLY ASSESSED" in line]
    assert len(verdicts) == 5
    for line, title in zip(verdicts, VERDICTS, strict=True):
        assert title in line
    assert "exit code             0 (nothing that was asked for failed), the worst of 5" in told.out
    folders = [path.parent for path in documents_in(Path("results"))]
    assert [folder.name.rpartition("_")[2] for folder in folders] == [
        "fedramp", "fisma", "hipaa", "pcidss", "soc2"
    ]  # fmt: skip
    assert all((folder / "report.html").exists() for folder in folders)
    assert run(["compliance", "trail", "verify", "results/trail.jsonl"]) == 0
    assert "held against 5 audits" in capsys.readouterr().out


def test_the_worst_one_decides_the_exit_code(
    unsafe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited() == 0
    assert audited("--fail-if-violations", "--min-assessed", "1%") == 3
    codes = {
        each["framework"]: each["exit_code"] for each in map(read_document, documents_in(Path("results")))
    }
    assert Counter(codes.values()) == {3: 2, 4: 3}
    assert {codes["soc2"], codes["pcidss"]} == {3}
    out = capsys.readouterr().out
    assert "VIOLATIONS            SOC 2" in out
    assert "--fail-if-violations: 1 violation: 7.3.3 (closed)" in out
    assert "exit code             3 (violations), the worst of 5" in out
    assert [worst([0, 0]), worst([0, 4]), worst([4, 3, 0])] == [0, 4, 3]


def test_json_is_a_list_of_the_documents(
    unsafe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited("--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["framework"] for each in shown] == ["fisma", "fedramp", "soc2", "hipaa", "pcidss"]
    assert sorted(shown, key=lambda each: str(each["framework"])) == [
        read_document(path) for path in documents_in(Path("results"))
    ]


def test_each_has_a_history_of_its_own(
    unsafe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compliance", "audit", "--framework", "soc2", "--target", "target.yaml"]) == 0
    assert audited("--fail-on-new") == 3
    out = capsys.readouterr().out
    assert "--fail-on-new: 1 violation: 7.3.3 (closed)" in out
    assert "CC6.1" not in out[out.index("PCI DSS") :]
    assert audited("--fail-on-new") == 0


@pytest.mark.parametrize(
    ("options", "profiles", "told"),
    [
        ([], "", "one of --framework and --all-frameworks is needed"),
        (["--all-frameworks", "--framework", "soc2"], PROFILES, "and not both"),
        (["--all-frameworks", "--profile", "moderate"], PROFILES, "--profile goes with --framework"),
        (["--all-frameworks"], "", "as profiles.fisma of the target's description; allowed: low"),
        (["--all-frameworks"], "profiles: {fisma: low}\n", "profiles.fedramp of the target's description"),
        (["--all-frameworks"], "profiles: {fisma: middling}\n", "fisma has no profile 'middling'"),
        (["--all-frameworks"], "profiles: {sox: all}\n", "profiles"),
    ],
)
def test_wrong_usage_is_one_clear_message_and_leaves_nothing(
    options: list[str], profiles: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("target.yaml").write_text(profiles + "name: shop\n")
    assert run(["compliance", "audit", "--target", "target.yaml", *options]) == 2
    assert told in capsys.readouterr().err
    assert not Path("results").exists()


def test_the_profile_of_the_target_is_the_default_of_one_framework_too(safe: ThreadingHTTPServer) -> None:
    command = ["compliance", "audit", "--framework", "fisma", "--target", "target.yaml"]
    assert run(command) == 0
    assert run([*command, "--profile", "low"]) == 0
    profiles = [read_document(path)["profile"] for path in documents_in(Path("results"))]
    assert sorted(profiles) == ["low", "moderate"]


def test_the_report_is_the_document_of_the_latest_audit(
    safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["compliance", "audit", "--framework", "soc2", "--target", "target.yaml"]
    assert run(one) == 0
    safe.is_safe = False  # type: ignore[attr-defined]
    assert run(one) == 0
    assert run(["compliance", "audit", "--framework", "hipaa", "--target", "target.yaml"]) == 0
    capsys.readouterr()
    assert run(["compliance", "report", "--output", "compliance-report.json"]) == 0
    assert "hipaa safeguards of shop" in capsys.readouterr().out
    assert json.loads(Path("compliance-report.json").read_text())["framework"] == "hipaa"
    assert run(["compliance", "report", "--output", "of-soc2.json", "--framework", "soc2"]) == 0
    document = json.loads(Path("of-soc2.json").read_text())
    assert [each["control_id"] for each in document["violations"]] == ["CC6.1"]
    assert document in [read_document(path) for path in documents_in(Path("results"))]
    assert document["trail"]["number"] == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "there is no audit in results; `chaos-locust compliance audit` makes one"),
        (
            ["--audits", "audits", "--framework", "hipaa"],
            "no audit by hipaa in audits; there are audits by soc2",
        ),
        (["--audits", "audits", "--framework", "sox"], "there is no framework 'sox'"),
        (["--audits", "audits", "--output", "none/report.json"], "--output: none/report.json: No such file"),
    ],
)
def test_without_an_audit_there_is_no_report(
    options: list[str], told: str, safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = ["compliance", "audit", "--framework", "soc2", "--target", "target.yaml", "--output", "audits"]
    assert run(audit) == 0
    assert run(["compliance", "report", *options]) == 2
    assert told in capsys.readouterr().err
    assert not Path("compliance-report.json").exists()


def test_a_document_that_was_changed_is_not_reported(
    safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compliance", "audit", "--framework", "soc2", "--target", "target.yaml"]) == 0
    (path,) = documents_in(Path("results"))
    path.write_text(path.read_text().replace('"compliant_controls": 1', '"compliant_controls": 33'))
    assert run(["compliance", "report"]) == 2
    assert "is not as the audit wrote it" in capsys.readouterr().err
