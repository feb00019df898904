"""Pages that are made from the code are those that the code makes."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from chaos_locust.catalogue import COMMON, EXTRAS, kind_of
from chaos_locust.faults.base import Fault
from chaos_locust.faults.network import GradualLatency
from chaos_locust.faults.registry import BUILT_IN, KINDS

from .generate_faults import BEGIN, END, PAGE, renewed
from .generate_schedules import FOLDER, schedules

ROOT = Path(__file__).parents[2]


def test_the_catalogue_of_faults_is_not_stale() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    assert renewed(text) == text, "run: python -m tests.docs.generate_faults"


def test_the_schedules_of_audits_are_not_stale() -> None:
    there = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
    assert there == schedules(), "run: python -m tests.docs.generate_schedules"
    entries = [there[f"compliance-{each}.cron"].splitlines()[-1] for each in ("weekly", "monthly")]
    assert [entry[:9] for entry in entries] == ["0 2 * * 0", "0 2 1 * *"]
    assert "--framework fedramp --profile class-c" in entries[0]
    assert "--email compliance@example.org" in entries[0]
    assert "--all-frameworks" in entries[1]


def test_every_kind_and_every_key_is_on_the_page() -> None:
    _, _, page = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    for cls in BUILT_IN:
        part = page.partition(f"#### `{cls.kind}`")[2].partition("####")[0]
        own = set(cls.document_keys()) - set(Fault.document_keys())
        assert all(f"| `{key}` |" in part for key in own), cls.kind


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from chaos_locust.cli import main; main()", "faults", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_key_is_described_with_its_type_and_default() -> None:
    kind = kind_of(GradualLatency)
    found = {p.name: (p.type, p.required, p.default) for p in kind.parameters}
    assert list(found) == ["latency", "from", "jitter", "direction", "share"]
    assert found["latency"] == ("duration", True, None)
    assert found["from"] == ("duration", False, "0s")
    assert found["direction"] == ("downstream, upstream, both", False, "downstream")
    assert found["share"] == ("share", False, "100%")
    assert [p.name for p in COMMON] == Fault.document_keys()


def test_the_command_lists_describes_and_gives_json() -> None:
    table = run().stdout.splitlines()
    assert [line.split()[0] for line in table[1:] if line[:1].islower()] == list(KINDS)
    one = run("gradual_latency")
    assert one.returncode == 0
    assert "from" in one.stdout
    assert "the target has: proxy, or upstream and listen" in one.stdout
    assert "\nfor " in one.stdout
    assert "\nfor " not in run("kill").stdout  # it happens at once
    listed = json.loads(run("--json").stdout)
    assert [kind["kind"] for kind in listed] == list(KINDS)
    assert json.loads(run("--json", "kill").stdout) == kind_of(KINDS["kill"]).to_json() | {
        "parameters": [
            {key: getattr(each, key) for key in ("name", "type", "required", "default", "description")}
            for each in kind_of(KINDS["kill"]).parameters
        ],
        "needs": ["pidfile"],
    }
    wrong = run("latancy")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("chaos-locust: 'latancy' is no fault kind; did you mean latency?")


@pytest.mark.parametrize("extra", sorted(set(EXTRAS.values())))
def test_what_is_to_be_installed_is_there(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]
