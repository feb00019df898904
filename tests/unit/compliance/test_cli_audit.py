"""`compliance audit`, `trail verify` as people type them: against a small service of the test's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

import compliance
from chaos_locust.cli.app import run
from chaos_locust.demo.settings import Ports, state_folder
from compliance import ComplianceFramework, audit, auditor
from compliance.checks import Binding, Check
from compliance.condition import Condition
from compliance.measures.base import Measure, SideEffect
from compliance.site import Site
from compliance.target import Target

PASSWORD, TOKEN, DATABASE = "correct-horse-battery", "planted-token-0123456789", "planted-db-password"


class Service(BaseHTTPRequestHandler):
    """Answers /open as `server.is_safe` says; a log-in gives the token away, and says the password back."""

    def do_GET(self) -> None:
        safe = self.server.is_safe  # type: ignore[attr-defined]
        self._answer(401 if safe else 200, {"saw": self.headers.get("Authorization"), "token": TOKEN})

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(200, {"access_token": TOKEN, "you_said": sent})

    def _answer(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", f"session={TOKEN}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def service(is_safe: bool) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.is_safe = is_safe  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


class Open(Measure):
    name: ClassVar[str] = "open"
    says: ClassVar[str] = "whether anybody may read"
    side_effect: ClassVar[SideEffect] = "passive"
    needs: ClassVar[tuple[str, ...]] = ("http",)
    fields: ClassVar[Mapping[str, str]] = {"status": "of an answer to a request without a log-in"}

    def take(self, site: Site) -> Mapping[str, Any]:
        if site.target.accounts:
            site.request("GET", "/open", token=site.token(site.target.accounts[0]))
            site.note(f"psql postgresql://app:{DATABASE}@127.0.0.1/shop")
        return {"status": site.request("GET", "/open").status_code}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with service(is_safe=False) as server:
            yield Target(name="bad", http={"url": address(server)})


CHECK = Check(
    "closed",
    "open",
    Condition.parse("status == 401"),
    "Anybody may read.",
    ("Ask for a log-in.",),
    "high",
    "shop",
    {"soc2": {"CC6.1": "full"}},
)
TARGET = f"""
name: shop
http: {{url: "%s"}}
login: {{path: /login, json: {{user: "{{user}}", password: "{{password}}"}}}}
accounts: [{{user: alice, password: "{PASSWORD}", role: customer}}]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(auditor, "checks", lambda: {"closed": CHECK})
    monkeypatch.setattr(auditor, "measures", lambda: {"open": Open})
    bound = {"CC6.1": (Binding("closed", "full"),)}
    monkeypatch.setattr(auditor, "bindings", lambda framework: bound if framework == "soc2" else {})


@pytest.fixture
def safe() -> Iterator[ThreadingHTTPServer]:
    with service(is_safe=True) as server:
        Path("target.yaml").write_text(TARGET % address(server))
        yield server


@pytest.fixture
def unsafe(safe: ThreadingHTTPServer) -> ThreadingHTTPServer:
    safe.is_safe = False  # type: ignore[attr-defined]
    return safe


def audited(*options: str) -> int:
    return run(["compliance", "audit", "--framework", "soc2", "--target", "target.yaml", *options])


def documents() -> list[dict[str, Any]]:
    paths = sorted(Path("results").glob("*/audit.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


def test_a_control_that_holds(safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited("--fail-if-violations") == 0
    told = capsys.readouterr()
    assert "measuring open" in told.err
    assert "       1  compliant\n" in told.out
    (document,) = documents()
    assert (document["compliant_controls"], document["not_assessed_controls"]) == (1, 32)
    (folder,) = {path.parent for path in Path("results").glob("*/audit.json")}
    assert sorted(path.name for path in folder.iterdir()) == [
        "audit.json", "audit.sarif", "junit.xml", "oscal.json", "report.html"
    ]  # fmt: skip


def test_a_violation_fails_what_was_asked_for(unsafe: ThreadingHTTPServer) -> None:
    assert audited() == 0
    assert audited("--fail-if-violations") == 3
    assert audited("--fail-on", "high") == 3
    assert audited("--fail-on", "critical") == 0
    assert audited("--fail-on-new") == 0
    assert audited("--min-assessed", "60%") == 4
    assert [len(each["violations"]) for each in documents()] == [1] * 6


def test_a_new_violation_is_told_from_an_old_one(
    safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited("--fail-on-new") == 0
    safe.is_safe = False  # type: ignore[attr-defined]
    assert audited("--fail-on-new") == 3
    assert "new: CC6.1 (closed)" in capsys.readouterr().out
    assert audited("--fail-on-new") == 0
    safe.is_safe = True  # type: ignore[attr-defined]
    assert audited("--fail-on-new") == 0
    assert "gone: CC6.1 (closed)" in capsys.readouterr().out


def test_a_waived_one_stays_and_fails_nothing(unsafe: ThreadingHTTPServer) -> None:
    options = ["--framework", "soc2", "--statement", "Known.", "--owner", "Ada", "--approver", "Bob"]
    assert run(["compliance", "waive", "CC6.1", *options, "--expires", "2099-12-31"]) == 0
    assert audited("--decisions", "decisions.yaml", "--fail-if-violations") == 0
    (violation,) = documents()[0]["violations"]
    assert violation["waived"]


def test_json_is_the_document(unsafe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited("--json") == 0
    assert json.loads(capsys.readouterr().out) == documents()[0]


def test_nothing_that_was_planted_is_in_any_output(
    unsafe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited() == 0
    assert audited("--json") == 0
    told = capsys.readouterr()
    texts = {str(path): path.read_text() for path in Path("results").rglob("*") if path.is_file()}
    assert len(texts) == 11
    assert "POST " in texts[next(path for path in texts if path.endswith("audit.json"))]
    for name, text in {**texts, "stdout": told.out, "stderr": told.err}.items():
        assert [each for each in (PASSWORD, TOKEN, DATABASE) if each in text] == [], name


def test_a_target_that_is_down_is_not_assessed(capsys: pytest.CaptureFixture[str]) -> None:
    with service(is_safe=True) as server:
        Path("target.yaml").write_text(TARGET % address(server))
    assert audited("--fail-if-violations") == 4
    assert "- unreachable: " in capsys.readouterr().out
    assert documents()[0]["not_assessed_controls"] == 33


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--framework", "sox"], "there is no framework 'sox'"),
        (["--framework", "fisma"], "--profile: fisma needs the impact level of the system by FIPS 199"),
        (["--framework", "soc2", "--profile", "all-of-it"], "soc2 has no profile 'all-of-it'"),
        (["--framework", "soc2", "--fail-on", "grave"], "--fail-on: 'grave' is no severity; allowed: low"),
        (["--framework", "soc2", "--min-assessed", "60"], "--min-assessed: '60' is a bare number"),
        (["--framework", "soc2", "--target", "none.yaml"], "none.yaml: cannot be read"),
        (["--framework", "soc2", "--target", "typo.yaml"], "htpp"),
        (["--framework", "soc2", "--decisions", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_wrong_usage_is_one_clear_message_and_leaves_nothing(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("target.yaml").write_text("name: shop\n")
    Path("typo.yaml").write_text("name: shop\nhtpp: {url: 'http://127.0.0.1'}\n")
    if "--target" not in options:
        options = [*options, "--target", "target.yaml"]
    assert run(["compliance", "audit", *options]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_an_attestation_of_the_owner_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("target.yaml").write_text("name: shop\n")
    Path("decisions.yaml").write_text(
        "attestations: [{framework: soc2, controls: [CC1.1], statement: x, owner: Ada, approver: ADA, "
        "decided_on: 2030-01-01, expires_on: 2031-01-01}]\n"
    )
    assert audited("--decisions", "decisions.yaml") == 2
    assert "attestations[0].approver: 'ADA' is the owner; must be somebody else" in capsys.readouterr().err


def test_the_trail_is_verified_and_held_against_the_audits(
    safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [audited(), audited()] == [0, 0]
    trail = Path("results/trail.jsonl")
    verify = ["compliance", "trail", "verify", str(trail)]
    assert run(verify) == 0
    assert "2 entries as they were written" in capsys.readouterr().out
    whole = trail.read_bytes()
    trail.write_bytes(whole.replace(b"soc2", b"soc3", 1))
    assert run(verify) == 3
    assert capsys.readouterr().out.startswith("entry 1 was changed")
    trail.write_bytes(whole.splitlines(keepends=True)[0])
    assert run(verify) == 3
    assert "entry 2 of results/" in capsys.readouterr().out
    trail.write_bytes(whole)
    document = next(Path("results").glob("*/audit.json"))
    document.write_text(document.read_text().replace('"compliant_controls": 1', '"compliant_controls": 2'))
    assert run(verify) == 3
    assert "is not as the audit wrote it" in capsys.readouterr().out
    assert audited() == 2


def test_a_damaged_trail_is_refused_before_the_audit(
    safe: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("results").mkdir()
    Path("results/trail.jsonl").write_text("{}\n")
    assert audited() == 2
    assert "none can be added to it" in capsys.readouterr().err
    assert list(Path("results").iterdir()) == [Path("results/trail.jsonl")]


def test_python_gives_the_same(unsafe: ThreadingHTTPServer) -> None:
    for result in (
        audit("soc2", "target.yaml"),
        compliance.audit("soc2", Path("target.yaml"), profile="security"),
        ComplianceFramework.soc2().audit(target="target.yaml"),
    ):
        assert not result.is_compliant()
        assert (result.total_controls, result.non_compliant_controls) == (33, 1)
        (violation,) = result.high_severity_violations()
        assert violation.control_id == "CC6.1"
        assert "Ask for a log-in." in result.remediation_summary()


def test_every_framework_has_its_name() -> None:
    for name in ("fisma", "fedramp", "soc2", "hipaa", "pcidss"):
        assert getattr(ComplianceFramework, name)().id == name


def test_without_a_target_it_is_the_demo_that_is_running(
    safe: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = ["compliance", "audit", "--framework", "soc2"]
    assert run(command) == 2
    assert "--target: no demo is running, and no other target is named" in capsys.readouterr().err
    folder = state_folder(Ports().shop)
    folder.mkdir()
    Path("target.yaml").rename(folder / "target.yaml")
    assert run(command) == 0
    assert documents()[0]["compliant_controls"] == 1
