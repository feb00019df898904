"""`compliance schedule`, and `compliance audit --email`, as users call them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compliance.mail import PASSWORD
from tests.integration.test_compliance_mail import SECRET, Mailbox, certificate, mail_server

SCHEDULE = ("schedule", "--framework", "pcidss", "--target", "target.yaml")


def called(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from chaos_locust.cli import main; main()", "compliance", *arguments]
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        program, cwd=folder, env={**os.environ, "PYTHONPATH": root, **environment}, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip


def test_all_forms_are_written(tmp_path: Path) -> None:
    done = called(tmp_path, *SCHEDULE, "--when", "@weekly", "--image", "registry.example.org/audit:1")
    assert done.returncode == 0, done.stderr
    files = {
        f"schedule/compliance-pcidss{end}"
        for end in (".cron", ".service", ".timer", "-cronjob.yaml", "-workflow.yaml")
    }
    assert set(done.stdout.split()) == files
    entry = (tmp_path / "schedule/compliance-pcidss.cron").read_text().splitlines()[-1]
    assert entry.startswith(f"0 0 * * 0 cd {tmp_path} && /")
    assert "--framework pcidss --profile all --target target.yaml" in entry


def test_of_all_frameworks_the_target_names_the_profiles(tmp_path: Path) -> None:
    done = called(
        tmp_path, "schedule", "--all-frameworks", "--target", "target.yaml", "--when", "0 2 1 * *",
        "--form", "cron",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entry = (tmp_path / "schedule/compliance-all.cron").read_text().splitlines()[-1]
    assert entry.startswith("0 2 1 * * cd ")
    assert "compliance audit --all-frameworks --target target.yaml --output results" in entry


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*SCHEDULE, "--when", "0 0 L * *", "--form", "cron"), "the day 'L'"),
        ((*SCHEDULE, "--when", "@daily", "--form", "at"), "--form: 'at' is not allowed"),
        ((*SCHEDULE, "--when", "@daily"), "image: Kubernetes needs one"),
        ((*SCHEDULE, "--when", "@daily", "--form", "cron", "--email", "a@b.org"), "smtp"),
        (("schedule", "--framework", "fisma", "--target", "t.yaml", "--when", "@daily"), "--profile"),
        ((*SCHEDULE, "--all-frameworks", "--when", "@daily"), "and not both"),
        (("schedule", "--target", "t.yaml", "--when", "@daily"), "--framework and --all-frameworks"),
        (
            ("schedule", "--all-frameworks", "--profile", "low", "--target", "t.yaml", "--when", "@daily"),
            "--profile goes with --framework",
        ),
        (("schedule", "--framework", "iso", "--target", "t.yaml", "--when", "@daily"), "iso"),
        (("audit", "--framework", "soc2", "--email", "a@b.org"), "--smtp"),
        (("audit", "--framework", "soc2", "--email", "a@b.org", "--smtp", "smtps://a@b"), PASSWORD),
    ],
)
def test_mistakes_are_named(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = called(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_audit_sends_its_report(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir(mode=0o700)
    (tmp_path / "target.yaml").write_text("name: shop\nbackups: {folder: backups}\n")
    pem, box = certificate(tmp_path), Mailbox()
    with mail_server(box, "smtps", pem) as smtp:
        audit = ("audit", "--framework", "soc2", "--target", "target.yaml", "--fail-if-violations")
        done = called(
            tmp_path, *audit, "--email", "audits@example.org", "--smtp", smtp,
            **{PASSWORD: SECRET, "SSL_CERT_FILE": str(pem)},
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    (message,) = box.messages
    assert message["Subject"] == "VIOLATIONS: soc2 security of shop"
    body = message.get_body(("plain",))
    assert body is not None
    assert "CC7.5" in body.get_content(), "there is no backup"
    (page,) = message.iter_attachments()
    assert "CC7.5" in page.get_content()
    written = "".join(path.read_text() for path in tmp_path.glob("results/**/*") if path.is_file())
    assert SECRET not in written + done.stdout + done.stderr + message.as_string()
