"""The schedules of docs/schedules, started by hand on the demo shop; and a job that turns red with it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from compliance.history import documents_in, read_document
from compliance.mail import PASSWORD
from tests.integration.test_compliance_mail import SECRET, Mailbox, certificate, mail_server

ROOT = Path(__file__).parents[3]
SCHEDULES = ROOT / "docs" / "schedules"
LIMIT_S = 600


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """chaos-locust as it is installed: of this checkout."""
    folder = tmp_path / "bin"
    folder.mkdir()
    file = folder / "chaos-locust"
    file.write_text(f"#!{sys.executable}\nfrom chaos_locust.cli import main\n\nmain()\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def folder(shop: Any, tmp_path: Path) -> Path:
    """What the schedules take for granted: target.yaml where they run."""
    folder = tmp_path / "srv"
    folder.mkdir()
    shutil.copy2(shop.ready["env"]["SHOP_TARGET"], folder / "target.yaml")
    return folder


def ran(command: str, folder: Path, program: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(program.parent), os.environ.get("PATH", os.defpath)])
    return subprocess.run(
        ["sh", "-ec", command], cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more},
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def entry(name: str, folder: Path, program: Path) -> str:
    """The command of a cron entry, with the folder and the program of this machine."""
    line = (SCHEDULES / name).read_text().splitlines()[-1]
    command = re.sub(r"^(\S+ ){5}", "", line)
    assert command.startswith("cd /srv/compliance && /usr/local/bin/chaos-locust compliance audit ")
    return command.replace("/srv/compliance", shlex.quote(str(folder)), 1).replace(
        "/usr/local/bin/chaos-locust", shlex.quote(str(program)), 1
    )


def test_the_weekly_audit_by_fedramp_makes_a_report_and_sends_it(
    shop: Any, folder: Path, program: Path, tmp_path: Path
) -> None:
    pem, box = certificate(tmp_path), Mailbox()
    with mail_server(box, "smtps", pem) as smtp:
        command = entry("compliance-weekly.cron", folder, program)
        assert "smtps://audits@mail.example.org:465" in command
        command = command.replace("smtps://audits@mail.example.org:465", smtp)
        done = ran(command, folder, program, **{PASSWORD: SECRET, "SSL_CERT_FILE": str(pem)})
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = documents_in(folder / "results")
    document = read_document(path)
    assert (document["framework"], document["profile"]) == ("fedramp", "class-c")
    (message,) = box.messages
    assert message["To"] == "compliance@example.org"
    assert "fedramp class-c of shop" in message["Subject"]
    assert [each.get_filename() for each in message.iter_attachments()] == ["report.html"]


@pytest.mark.long
def test_the_monthly_audit_makes_a_report_by_every_framework(shop: Any, folder: Path, program: Path) -> None:
    done = ran(entry("compliance-monthly.cron", folder, program), folder, program)
    assert done.returncode == 0, done.stdout + done.stderr
    documents = {each["framework"]: each for each in map(read_document, documents_in(folder / "results"))}
    assert set(documents) == {"fisma", "fedramp", "soc2", "hipaa", "pcidss"}
    assert documents["fisma"]["profile"] == "moderate"
    assert all(each["violations"] == [] for each in documents.values())
    assert len(list((folder / "results").glob("*/report.html"))) == 5
    measured = [each["measurements"] for each in documents.values()]
    shared = set(measured[0]).intersection(*measured[1:])
    assert len(shared) > 20
    for name in shared:
        assert len({each[name]["taken_at"] for each in measured}) == 1, (
            "it was measured once, for all of them"
        )


@pytest.fixture
def repository(folder: Path) -> Path:
    """With the job that `compliance schedule` writes, and what is deployed."""
    git(folder, "init", "--quiet")
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A. Developer", "-c", "user.email=dev@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def committed(repository: Path, lapse: str | None) -> None:
    (repository / "deployed.json").write_text(json.dumps({"defect": lapse}))
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", f"Deploy with {lapse or 'no'} lapse")


def job(repository: Path, program: Path, shop: Any, tmp_path: Path) -> int:
    """The last commit, checked out anew, deployed, and the step of the workflow that audits it."""
    checkout = tmp_path / "checkout"
    shutil.rmtree(checkout, ignore_errors=True)
    git(tmp_path, "clone", "--quiet", str(repository), str(checkout))
    shop.plant(json.loads((checkout / "deployed.json").read_text())["defect"])
    workflow = yaml.safe_load((checkout / ".github/workflows/compliance-pcidss-workflow.yaml").read_text())
    (step,) = [each for each in workflow["jobs"]["audit"]["steps"] if each.get("name") == "Audit"]
    done = ran(step["run"], checkout, program)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return done.returncode


@pytest.mark.long
def test_a_job_is_red_after_a_commit_that_weakens_a_control(
    shop: Any, repository: Path, program: Path, tmp_path: Path
) -> None:
    written = ran(
        "chaos-locust compliance schedule --framework pcidss --target target.yaml --when @daily "
        "--form github --output .github/workflows",
        repository,
        program,
    )
    assert written.returncode == 0, written.stderr
    committed(repository, None)
    assert job(repository, program, shop, tmp_path) == 0
    committed(repository, "idor")
    assert job(repository, program, shop, tmp_path) == 3
    (path,) = documents_in(tmp_path / "checkout" / "results")
    assert {each["check"] for each in read_document(path)["violations"]} == {"cross-user-refused"}
    git(repository, "revert", "--no-edit", "HEAD")
    assert job(repository, program, shop, tmp_path) == 0
