"""One definition in four forms: the same times, the same command, whatever characters are in it."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from chaos_locust.errors import InvalidPlan
from compliance.cron import Cron, parse_cron
from compliance.mail import PASSWORD
from compliance.schedule import FORMS, Schedule, written

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
PLAIN = Schedule(
    name="nightly",
    framework="pcidss",
    profile="all",
    target=PurePosixPath("target.yaml"),
    when="30 2 * * 1",
    folder=PurePosixPath("/srv/shop"),
    program=PurePosixPath("/usr/bin/true"),
    output=PurePosixPath("results"),
    email="audits@example.org",
    smtp="smtps://robot@mail.example.org:465",
    image="registry.example.org/audit:1",
)
AWKWARD = 'it\'s 100% "my" $HOME $(id) `id` \\ a\\nb;&|#~é.yaml'
BASE = datetime(2026, 1, 1, tzinfo=UTC)


def times(cron: Cron) -> Iterator[datetime]:
    """Every minute after BASE is asked, as cron itself does."""
    at = BASE
    while True:
        at += timedelta(minutes=1)
        day, weekday = at.day in cron.days.values, at.isoweekday() % 7 in cron.weekdays.values
        either = not cron.days.is_star and not cron.weekdays.is_star
        if (
            at.minute in cron.minutes.values
            and at.hour in cron.hours.values
            and at.month in cron.months.values
            and (day or weekday if either else day and weekday)
        ):
            yield at


def systemd_times(expressions: list[str], count: int) -> list[datetime]:
    found: set[datetime] = set()
    for each in expressions:
        said = subprocess.run(
            ["systemd-analyze", "calendar", f"--iterations={count}", f"--base-time={BASE:%F %T} UTC", each],
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C"}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for time in re.findall(r"(?:elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", said):
            found.add(datetime.fromisoformat(time).replace(tzinfo=UTC))
    return sorted(found)[:count]


@needs_systemd
@pytest.mark.parametrize(
    "text",
    [
        "30 2 * * 1", "@hourly", "@daily", "@weekly", "@monthly", "*/7 * * * *", "5-50/15 8-18/2 * * mon-fri",
        "0 0 13 * 5", "0 12 1,15 * sun", "59 23 31 * *", "0 4 * jan,JUL 7", "0 0 * * 5-7", "15 3 1-7 */3 *",
        "0 0 */5 * *", "0 6 * * */2", "10,20 1 29 2 *",
    ],
)  # fmt: skip
def test_a_timer_goes_off_when_cron_would(text: str) -> None:
    cron = parse_cron(text)
    expected = 2 if "29 2" in text else 12
    assert systemd_times(cron.on_calendar(), expected) == list(islice(times(cron), expected))


def test_the_fields_of_cron() -> None:
    cron = parse_cron("*/20 9-17/4 1,15 feb-apr *")
    assert cron.minutes.values == (0, 20, 40)
    assert cron.hours.values == (9, 13, 17)
    assert cron.days.values == (1, 15)
    assert cron.months.values == (2, 3, 4)
    assert cron.weekdays.values == tuple(range(7))
    assert parse_cron("0 0 * * 5-7").text == "0 0 * * 0,5,6", "7 is not Sunday everywhere"
    assert cron.on_calendar() == ["*-02,03,04-01,15 09,13,17:00,20,40:00"]


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
        "* * * * 8", "5-1 * * * *", "*/0 * * * *", "5/10 * * * *", "-1 * * * *", "1, * * * *", "a * * * *",
        "0 0 L * *", "0 0 * * 5#2", "0 0 15W * *", "0 0 ? * *", "@reboot", "@never", "0 0 30 2 *",
        "0 0 31 4,6 *",
        "0 0 */2 * 1", "0 0 1 * */2", "0 0 * * *\n* * * * * rm", "² * * * *", "*-5 * * * *",
    ],
)  # fmt: skip
def test_what_is_no_time_of_cron_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|disagree|never"):
        parse_cron(text)


def container(files: dict[str, str]) -> Any:
    document = yaml.safe_load(files["nightly-cronjob.yaml"])
    return document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]


def workflow_step(files: dict[str, str]) -> Any:
    return yaml.safe_load(files["nightly-workflow.yaml"])["jobs"]["audit"]["steps"][3]


def unit(text: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes="#", delimiters="=")
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read_string(text)
    return found


def test_the_same_command_and_time_in_every_form() -> None:
    files = written(PLAIN)
    words = PLAIN.command("chaos-locust", "target.yaml", "results")
    assert words[1:7] == ["compliance", "audit", "--framework", "pcidss", "--profile", "all"]
    assert words[-4:] == ["--email", PLAIN.email, "--smtp", PLAIN.smtp]
    line = files["nightly.cron"].splitlines()[-1]
    assert line == f"30 2 * * 1 cd /srv/shop && {shlex.join(['/usr/bin/true', *words[1:]])}"
    service = unit(files["nightly.service"])["Service"]
    assert service["WorkingDirectory"] == "/srv/shop"
    assert shlex.split(service["ExecStart"]) == ["/usr/bin/true", *words[1:]]
    assert unit(files["nightly.timer"])["Timer"]["OnCalendar"] == "Mon *-*-* 02:30:00"
    job = yaml.safe_load(files["nightly-cronjob.yaml"])
    assert (job["spec"]["schedule"], job["spec"]["timeZone"]) == ("30 2 * * 1", "Etc/UTC")
    assert container(files)["command"] == PLAIN.command("chaos-locust", "/audit/target.yaml", "/results")
    workflow = yaml.safe_load(files["nightly-workflow.yaml"])
    assert workflow["on"]["schedule"] == [{"cron": "30 2 * * 1"}]
    assert shlex.split(workflow_step(files)["run"]) == words
    assert workflow_step(files)["env"] == {PASSWORD: f"${{{{ secrets.{PASSWORD} }}}}"}


def test_without_a_framework_it_is_all_of_them() -> None:
    files = written(replace(PLAIN, framework=None, profile=None))
    words = shlex.split(workflow_step(files)["run"])
    assert words[1:4] == ["compliance", "audit", "--all-frameworks"]
    assert not {"--framework", "--profile"} & set(words)
    assert container(files)["command"][1:4] == ["compliance", "audit", "--all-frameworks"]


def from_cron(entry: str) -> str:
    """What cron hands to the shell: up to a bare %, without the backslash of the others."""
    command = entry.split(" ", 5)[5]
    return re.sub(r"\\%", "%", re.split(r"(?<!\\)%", command)[0])


def test_awkward_characters_come_through_cron(tmp_path: Path) -> None:
    folder = tmp_path / AWKWARD
    folder.mkdir()
    schedule = replace(
        PLAIN, target=PurePosixPath(AWKWARD), folder=PurePosixPath(folder), program=PurePosixPath("/bin/echo")
    )
    entry = written(schedule, ("cron",))["nightly.cron"].splitlines()[-1]
    command = from_cron(entry).replace("/bin/echo", "pwd; printf '%s\\n'")
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [str(folder), *schedule.command("", AWKWARD, "results")[1:]]


def unquoted(line: str) -> list[str]:
    """As systemd.syntax(7) and systemd.service(5) have it: words in quotes, C escapes, %% and $$."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    assert not any(re.search("[%$]", re.sub(r"%%|\$\$", "", each)) for each in words)
    return [re.sub(r"\\(.)", r"\1", each).replace("%%", "%").replace("$$", "$") for each in words]


def test_awkward_characters_come_through_systemd() -> None:
    schedule = replace(PLAIN, target=PurePosixPath(AWKWARD), folder=PurePosixPath("/srv/a b 100% $x"))
    text = written(schedule, ("systemd",))["nightly.service"]
    service = unit(text)["Service"]
    assert unquoted(service["ExecStart"]) == schedule.command("/usr/bin/true", AWKWARD, "results")
    assert service["WorkingDirectory"] == "/srv/a b 100%% $x"


@needs_systemd
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    schedule = replace(PLAIN, target=PurePosixPath(AWKWARD), folder=PurePosixPath("/srv/a b 100% $x"))
    for name, text in written(schedule, ("systemd",)).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "nightly.service", tmp_path / "nightly.timer"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, str(tmp_path) in done.stderr) == (0, False), done.stderr


def test_awkward_characters_come_through_yaml() -> None:
    schedule = replace(PLAIN, target=PurePosixPath(AWKWARD))
    files = written(schedule, ("kubernetes", "github"))
    expected = schedule.command("chaos-locust", f"/audit/{AWKWARD}", "/results")
    assert [each.replace("$$(", "$(") for each in container(files)["command"]] == expected
    assert not any(re.search(r"(?<!\$)\$\(", each) for each in container(files)["command"])
    assert shlex.split(workflow_step(files)["run"]) == schedule.command("chaos-locust", AWKWARD, "results")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"target": PurePosixPath("a\nb")}, "target"),
        ({"target": PurePosixPath("a\x00b")}, "target"),
        ({"folder": PurePosixPath("/a\nExecStart=/bin/sh")}, "folder"),
        ({"folder": PurePosixPath("srv")}, "folder"),
        ({"folder": PurePosixPath("/srv\\")}, "folder"),
        ({"target": PurePosixPath("/srv/target.yaml")}, "target"),
        ({"target": PurePosixPath("../target.yaml")}, "target"),
        ({"framework": "${{ secrets.X }}"}, ""),
        ({"name": "Not a name"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"when": "0 0 L * *"}, "when"),
        ({"when": "*/2 * * * *"}, "when"),
        ({"image": None}, "image"),
        ({"email": "a@b.org\nBcc: x@y.org"}, "email"),
        ({"email": None}, "email"),
        ({"smtp": "smtps://robot:secret-word@mail.example.org"}, "smtp"),
        ({"smtp": "http://mail.example.org"}, "smtp"),
        ({"target": PurePosixPath(1000 * "a")}, ""),
    ],
)
def test_what_cannot_be_written_is_refused(change: Any, place: str) -> None:
    with pytest.raises(InvalidPlan) as error:
        written(replace(PLAIN, **change))
    assert place in [each.place for each in error.value.problems]
    assert "secret-word" not in str(error.value)


def test_only_what_is_asked_for_is_written() -> None:
    without_image = replace(PLAIN, image=None, when="* * * * *", email=None, smtp=None)
    assert list(written(without_image, ("cron", "systemd"))) == [
        "nightly.cron",
        "nightly.service",
        "nightly.timer",
    ]
    assert "--smtp" not in written(without_image, ("cron",))["nightly.cron"]
    assert len(written(PLAIN, FORMS)) == 5
