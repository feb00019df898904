"""An audit that is repeated: one definition, written down for cron, systemd, Kubernetes and GitHub. Pure.

What is given in it is quoted as each of them needs it, or refused where it cannot be. No password is in it:
all of them take it from the environment. cron and systemd go by the time of their machine, Kubernetes and
GitHub by UTC.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

import yaml

from chaos_locust.errors import InvalidPlan, Problem
from compliance.cron import Cron, parse_cron
from compliance.mail import PASSWORD, address_problem, parse_server

Form = Literal["cron", "systemd", "kubernetes", "github"]
FORMS: tuple[Form, ...] = get_args(Form)
GITHUB_SHORTEST_MIN = 5
CRON_LONGEST = 990
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")  # Kubernetes adds up to 11 characters to it


@dataclass(frozen=True, slots=True)
class Schedule:
    """framework, profile: both None: all frameworks, by the profiles that the target's description names.
    folder: where the audit runs; target and output are relative to it. program: the path of chaos-locust for
    cron and systemd. when: as cron has it. email, smtp: who is sent the report, and by which server. image:
    with chaos-locust in it, for Kubernetes."""

    name: str
    framework: str | None
    profile: str | None
    target: PurePosixPath
    when: str
    folder: PurePosixPath
    program: PurePosixPath
    output: PurePosixPath
    email: str | None = None
    smtp: str | None = None
    image: str | None = None

    def problems(self) -> list[Problem]:
        """What is wrong with it, in whatever form."""
        found = []
        for name in ("framework", "profile", "target", "folder", "program", "output", "smtp", "image"):
            value = str(getattr(self, name) or "")
            if not value.isprintable():
                found.append(
                    Problem(name, f"{value!r} is not allowed: it has characters that are not printed")
                )
        if not _NAME.fullmatch(self.name):
            found.append(
                Problem("name", f"{self.name!r} is not allowed: small letters, digits and -, up to 52")
            )
        for name in ("folder", "program"):
            if not getattr(self, name).is_absolute():
                found.append(Problem(name, f"{str(getattr(self, name))!r} must begin with /"))
        try:
            parse_cron(self.when)
        except ValueError as error:
            found.append(Problem("when", str(error)))
        if (self.email is None) != (self.smtp is None):
            found.append(Problem("email", "an address and a server (smtp) are needed, or neither"))
        if self.email is not None and (wrong := address_problem(self.email)):
            found.append(Problem("email", wrong))
        if self.smtp is not None:
            try:
                parse_server(self.smtp)
            except ValueError as error:
                found.append(Problem("smtp", str(error)))
        return found

    def command(self, program: str, target: str, output: str) -> list[str]:
        words = [program, "compliance", "audit"]
        words += ["--framework", self.framework] if self.framework is not None else ["--all-frameworks"]
        words += ["--profile", self.profile] if self.profile is not None else []
        words += ["--target", target, "--output", output, "--fail-if-violations"]
        if self.email is not None and self.smtp is not None:
            words += ["--email", self.email, "--smtp", self.smtp]
        return words


def written(schedule: Schedule, forms: tuple[Form, ...] = FORMS) -> dict[str, str]:
    """The files by their names. Raises InvalidPlan with all that is wrong."""
    if problems := [*schedule.problems(), *(p for form in forms for p in _problems_of(schedule, form))]:
        raise InvalidPlan(problems)
    cron, name, files = parse_cron(schedule.when), schedule.name, dict[str, str]()
    for form in forms:
        match form:
            case "cron":
                files[f"{name}.cron"] = _crontab(schedule, cron)
            case "systemd":
                files[f"{name}.service"] = _service(schedule)
                files[f"{name}.timer"] = _timer(schedule, cron)
            case "kubernetes":
                files[f"{name}-cronjob.yaml"] = _cronjob(schedule, cron)
            case "github":
                files[f"{name}-workflow.yaml"] = _workflow(schedule, cron)
    return files


def _problems_of(schedule: Schedule, form: Form) -> list[Problem]:
    if form == "kubernetes" and not schedule.image:
        return [Problem("image", "Kubernetes needs one that has chaos-locust in it")]
    if form == "cron" and len(_cron_command(schedule)) > CRON_LONGEST:
        return [
            Problem("", f"cron takes no command longer than {CRON_LONGEST} characters; use shorter paths")
        ]
    folder = str(schedule.folder)
    if form == "systemd" and ("\\" in folder or folder != folder.strip()):
        return [Problem("folder", f"{folder!r} is not allowed for systemd: no \\, no space at its ends")]
    if form != "github":
        return []
    found = []
    for name in ("target", "output"):
        path: PurePosixPath = getattr(schedule, name)
        if path.is_absolute() or ".." in path.parts:
            found.append(Problem(name, f"'{path}' must be in the repository for a workflow of GitHub"))
    values = (schedule.framework, schedule.profile, schedule.target, schedule.output, schedule.smtp)
    if any("${{" in str(each) for each in values):
        found.append(Problem("", "'${{' is not allowed: GitHub would put something in its place"))
    try:
        if parse_cron(schedule.when).shortest_min < GITHUB_SHORTEST_MIN:
            found.append(Problem("when", f"GitHub runs nothing within {GITHUB_SHORTEST_MIN} minutes again"))
    except ValueError:
        pass  # said already
    return found


def _cron_command(schedule: Schedule) -> str:
    words = schedule.command(str(schedule.program), str(schedule.target), str(schedule.output))
    command = f"cd {shlex.quote(str(schedule.folder))} && {shlex.join(words)}"
    return command.replace("%", "\\%")  # cron takes a bare one for the end of the line


def _crontab(schedule: Schedule, cron: Cron) -> str:
    return (
        f"# {schedule.name}: add it with `crontab -e`. What the target and the mail server need\n"
        f"# of passwords ({PASSWORD}) must be in the environment of cron.\n"
        f"{cron.text} {_cron_command(schedule)}\n"
    )


def _service(schedule: Schedule) -> str:
    words = schedule.command(str(schedule.program), str(schedule.target), str(schedule.output))
    folder = str(schedule.folder).replace("%", "%%")
    return (
        f"# Passwords, those of the target and {PASSWORD}, are in the EnvironmentFile, as NAME=value.\n"
        "[Unit]\n"
        f"Description=Compliance audit {schedule.name}\n"
        "After=network-online.target\n"
        "Wants=network-online.target\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"WorkingDirectory={folder}\n"
        f"EnvironmentFile=-/etc/chaos-locust/{schedule.name}.env\n"
        f"ExecStart={' '.join(map(_for_systemd, words))}\n"
    )


def _timer(schedule: Schedule, cron: Cron) -> str:
    times = "".join(f"OnCalendar={each}\n" for each in cron.on_calendar())
    return (
        "[Unit]\n"
        f"Description=When to run the compliance audit {schedule.name}\n"
        "\n"
        "[Timer]\n"
        f"{times}"
        "AccuracySec=1s\n"
        "Persistent=true\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )


def _for_systemd(word: str) -> str:
    """A word of ExecStart, in which % and $ stand for something, and backslashes and quotes for others."""
    for this, that in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(this, that)
    return f'"{word}"'


def _cronjob(schedule: Schedule, cron: Cron) -> str:
    target = PurePosixPath("/audit") / schedule.target.name
    words = schedule.command("chaos-locust", str(target), "/results")
    container = {
        "name": "audit",
        "image": schedule.image,
        "command": [each.replace("$(", "$$(") for each in words],  # Kubernetes fills in $(NAME)
        "envFrom": [{"secretRef": {"name": f"{schedule.name}-env"}}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "audit", "mountPath": "/audit", "readOnly": True},
            {"name": "results", "mountPath": "/results"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [
            {"name": "audit", "secret": {"secretName": schedule.name}},
            {"name": "results", "persistentVolumeClaim": {"claimName": f"{schedule.name}-results"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    document = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": schedule.name},
        "spec": {
            "schedule": cron.text,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }
    return (
        f"# Needs a Secret {schedule.name} with {target.name} and the files that it names, a Secret\n"
        f"# {schedule.name}-env with passwords ({PASSWORD}, and those of the target), and a\n"
        f"# PersistentVolumeClaim {schedule.name}-results, in which the trail of audits is kept.\n"
    ) + _yaml(document)


def _workflow(schedule: Schedule, cron: Cron) -> str:
    words = schedule.command("chaos-locust", str(schedule.target), str(schedule.output))
    audit: dict[str, Any] = {"name": "Audit", "run": shlex.join(words)}
    if schedule.smtp is not None:
        audit["env"] = {PASSWORD: f"${{{{ secrets.{PASSWORD} }}}}"}
    upload = {
        "if": "always()",
        "uses": "actions/upload-artifact@v4",
        "with": {"name": schedule.name, "path": str(schedule.output)},
    }
    steps = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
        {"name": "Install", "run": "pip install 'chaos-locust[compliance]'"},
        audit,
        upload,
    ]
    document = {
        "name": schedule.name,
        "on": {"schedule": [{"cron": cron.text}], "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "jobs": {"audit": {"runs-on": "ubuntu-latest", "steps": steps}},
    }
    return (
        f"# .github/workflows/{schedule.name}.yaml. Add the target's passwords to the env of the step,\n"
        "# from the repository's secrets.\n"
    ) + _yaml(document)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
