"""`chaos-locust invariants` as a command: what it writes, and with which code it ends, whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import chaos_locust
from invariants.apart import Job, run_apart

ROOT = Path(chaos_locust.__file__).parents[1]
LIMIT_S = 120.0
QUEUE = "queue_never_loses_messages"

# A queue in memory. Its defect: one that has three messages forgets the first of them.
SHELF = '''
import os, signal, threading, time
from dataclasses import dataclass
from pathlib import Path

from chaos_locust.errors import DirtyTarget
from invariants import Target
from invariants.bindings import Bound

QUEUES = {}


@dataclass
class Shelf(Target):
    defect: str = ""

    def check(self):
        if self.defect == "hangs":
            threading.Event().wait()

    def connect(self, scope):
        return Client(QUEUES.setdefault(scope, []), "" if "MENDED" in os.environ else self.defect)

    def forget(self, scope):
        QUEUES.pop(scope, None)


class Client:
    def __init__(self, queue, defect):
        self.queue, self.defect = queue, defect

    def enqueue(self, message):
        self.queue.append(message)
        if self.defect == "forgets" and len(self.queue) == 3:
            del self.queue[0]
        if self.defect == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.defect == "slow":
            Path("called").touch()
            time.sleep(0.05)

    def dequeue(self):
        return self.queue.pop(0) if self.queue else None

    def drain(self):
        drained, self.queue[:] = list(self.queue), []
        return drained

    def get(self, key):
        return self.dequeue()


class Stays:
    """A fault that cannot be undone."""

    names = ("rust",)

    def inject(self, name):
        pass

    def heal(self, name):
        raise DirtyTarget(f"{name} could not be undone")


HEALTHY = {"%(queue)s": Shelf()}
FORGETS = {"%(queue)s": Bound(Shelf("forgets"), note="It forgets.")}
CRASHES = {"messages_stay_in_order": Shelf("crashes"), "%(queue)s": Shelf()}
DIRTY = {"%(queue)s": Bound(Shelf(), faults=Stays(), steps=30), "messages_stay_in_order": Shelf()}
SLOW = {"%(queue)s": Shelf("slow"), "messages_stay_in_order": Shelf()}
HANGS = Shelf("hangs")
''' % {"queue": QUEUE}  # noqa: UP031


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shelf.py").write_text(SHELF)
    return tmp_path


def environ(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **changes}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from chaos_locust.cli import main; main()", "invariants", *arguments]


def run(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=env or environ(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def results(folder: Path) -> list[dict[str, Any]]:
    """Of all runs, in their order."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("results/*/result.json"))]


def outcomes(result: Mapping[str, Any]) -> dict[str, str]:
    """Of what is bound."""
    all_ = {each["invariant"]: each["outcome"] for each in result["invariants"]}
    return {name: outcome for name, outcome in all_.items() if outcome != "NOT BOUND"}


def test_a_correct_target_is_upheld_and_what_it_does_not_bind_is_not_counted(folder: Path) -> None:
    done = run(folder, "run", "--all", "--target", "shelf:HEALTHY", "--iterations", "1000", "--steps", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"UPHELD        {QUEUE}\n" in done.stdout
    assert "1000 sequences, " in done.stdout
    assert re.search(r"^NOT BOUND +circuit_breaker_never_stuck_open, ", done.stdout, re.M)
    assert "UPHELD        1 invariant held" in done.stdout
    (result,) = results(folder)
    assert outcomes(result) == {QUEUE: "UPHELD"}
    (case,) = [each for each in result["invariants"] if each["invariant"] == QUEUE]
    assert case["iterations"] == 1000
    assert case["violations"] == []
    assert case["passed"]
    (run_folder,) = (folder / "results").iterdir()
    assert {path.name for path in run_folder.iterdir()} == {"result.json", "junit.xml", "report.html"}


def test_a_defect_is_found_made_short_seen_again_and_gone_when_it_is_mended(folder: Path) -> None:
    found = run(folder, "run", QUEUE, "--target", "shelf:FORGETS", "--concurrency", "2", "--json")
    assert found.returncode == 3, found.stderr
    (case,) = json.loads(found.stdout)["invariants"]
    (violation,) = case["violations"]
    assert [step["rule"] for step in violation["steps"]] == ["enqueue"] * 3
    assert case["note"] == "It forgets."
    (run_folder,) = (folder / "results").iterdir()
    test, history = run_folder / f"test_{QUEUE}.py", run_folder / f"{QUEUE}.history.jsonl"
    mended = environ(MENDED="1")
    again = ("replay", str(run_folder / f"{QUEUE}.violation.json"), "--tries", "3")
    told = run(folder, *again)
    assert (told.returncode, told.stdout) == (3, "reproduced 3 of 3\n")
    told = run(folder, *again, env=mended)
    assert (told.returncode, told.stdout) == (0, "reproduced 0 of 3\n")
    assert run(folder, "check", str(history), "--checker", "total-queue").returncode == 3
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    for env, code in ((environ(), 1), (mended, 0)):
        assert (
            subprocess.run(pytest_, cwd=folder, env=env, capture_output=True, check=False).returncode == code
        )


def test_what_failed_once_is_run_first_the_next_time(folder: Path) -> None:
    arguments = ("run", QUEUE, "--target", "shelf:FORGETS")
    assert run(folder, *arguments, "--seed", "1").returncode == 3
    (kept,) = (folder / ".chaos-locust" / "invariants").iterdir()
    steps = json.loads(kept.read_text())
    # Sequences of two steps cannot show it: what fails now is what was kept.
    assert run(folder, *arguments, "--seed", "2", "--steps", "2").returncode == 3
    (case,) = results(folder)[-1]["invariants"]
    assert case["iterations"] == 1
    assert case["violations"][0]["steps"] == steps
    assert run(folder, *arguments, "--steps", "2", env=environ(MENDED="1")).returncode == 0
    kept.unlink()
    assert run(folder, *arguments, "--seed", "2", "--steps", "2").returncode == 0


def test_a_crash_takes_only_its_own_invariant(folder: Path) -> None:
    done = run(folder, "run", "--all", "--target", "shelf:CRASHES", "--iterations", "20")
    assert done.returncode == 4
    (result,) = results(folder)
    assert outcomes(result) == {QUEUE: "UPHELD", "messages_stay_in_order": "INCONCLUSIVE"}
    assert "its process ended by SIGSEGV before it told anything" in " ".join(done.stdout.split())
    assert "shelf" not in done.stderr


def test_what_hangs_is_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    ended = run_apart(Job(QUEUE, "shelf:HANGS", 7), lambda done, of: None, longest_s=10.0)
    assert ended.result is None
    assert ended.reason == "it had no end within 10 s and was stopped"
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_target_that_stays_changed_is_5_and_nothing_more_is_run_on_it(folder: Path) -> None:
    done = run(folder, "run", QUEUE, "messages_stay_in_order", "--target", "shelf:DIRTY")
    assert done.returncode == 5
    assert "the target was left dirty: rust could not be undone" in done.stdout
    (result,) = results(folder)
    assert result["exit_code"] == 5
    assert result["invariants"][1]["inconclusive"] == "not run: the target was left dirty"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_is_written_down(folder: Path, number: int) -> None:
    arguments = command("run", "--all", "--target", "shelf:SLOW", "--iterations", "100000", "--steps", "2")
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs these tests in the background ignores it, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    give_up_s = time.monotonic() + LIMIT_S
    while not (folder / "called").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
    process.send_signal(number)
    output, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 4, errors
    assert "Traceback" not in errors
    (result,) = results(folder)
    assert set(outcomes(result).values()) == {"INCONCLUSIVE"}
    assert "it was interrupted" in output
    assert "not run: it was interrupted" in output


def test_a_password_is_nowhere(folder: Path) -> None:
    done = run(folder, "run", "--all", "--target", "redis://:geheim@127.0.0.1:1/0", "--iterations", "5")
    assert done.returncode == 4  # nothing listens there
    written = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not [text for text in (done.stdout, done.stderr, *written) if "geheim" in text]
    assert "redis://:***@127.0.0.1:1/0" in done.stdout + "".join(written)


PLUGIN = '''
from dataclasses import dataclass

from hypothesis import strategies as st

from invariants import Machine, Target, rule
from invariants.checkers.base import Checked
from invariants.checkers.linearizable import Linearizable


@dataclass
class LampsKeepTheirColour(Machine):
    """A lamp has the colour it was given last."""

    name = "lamps_keep_their_colour"
    reason = "A signal that shows another colour is obeyed all the same."
    needs = "paint, look"
    checker = Linearizable()

    @rule(value=st.sampled_from(["red", "green"]))
    def write(self, client, value):
        client.colour[self.scope] = value

    @rule()
    def read(self, client):
        return client.colour.get(self.scope)


@dataclass
class Lamps(Target):
    colour_blind: bool = False

    def __post_init__(self):
        self.colour = Blind() if self.colour_blind else {}

    def connect(self, scope):
        return self

    def forget(self, scope):
        self.colour.pop(scope, None)


class Blind(dict):
    def __setitem__(self, scope, value):
        super().__setitem__(scope, "red")


LAMPS = {"lamps_keep_their_colour": Lamps()}
BLIND = {"lamps_keep_their_colour": Lamps(True)}
'''


def test_another_packages_invariant_is_listed_and_run(folder: Path) -> None:
    """Installed beside ours, as pip leaves it; nothing of ours is changed."""
    site = folder / "site"
    information = site / "lamps-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "lamps.py").write_text(PLUGIN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[chaos_locust.invariants]\nlamps_keep_their_colour = lamps:LampsKeepTheirColour\n"
    )
    env = environ(PYTHONPATH=f"{ROOT}{os.pathsep}{site}")
    assert "lamps_keep_their_colour" not in run(folder, "list").stdout
    listed = run(folder, "list", env=env).stdout
    assert "lamps_keep_their_colour\n    A lamp has the colour it was given last.\n" in listed
    assert run(folder, "run", "--all", "--target", "lamps:LAMPS", env=env).returncode == 0
    done = run(folder, "run", "lamps_keep_their_colour", "--target", "lamps:BLIND", env=env)
    assert done.returncode == 3
    assert "write(value='green')" in done.stdout


TESTS = """
import os

import pytest

from shelf import HEALTHY, FORGETS, Shelf
from invariants import StateInvariant

QUEUE = "{queue}"


def test_healthy(verify_invariant):
    result = verify_invariant(StateInvariant.named(QUEUE, Shelf()).with_iterations(20))
    assert result.passed and result.iterations == 20


def test_forgets(verify_invariant):
    verify_invariant(StateInvariant.named(QUEUE, Shelf("forgets")).with_seed(3))


def test_few(verify_invariant):
    verify_invariant(StateInvariant.latency_bounded(Fast()).with_iterations(1))


def test_few_allowed(verify_invariant):
    result = verify_invariant(
        StateInvariant.latency_bounded(Fast()).with_iterations(1), allow_inconclusive=True
    )
    assert result.outcome == "INCONCLUSIVE"


class Fast(Shelf):
    inputs = ("a",)

    def connect(self, scope):
        return self

    def request(self, value):
        pass
"""


def test_a_test_of_pytest_fails_with_what_broke_the_invariant(folder: Path) -> None:
    (folder / "test_shelf.py").write_text(TESTS.replace("{queue}", QUEUE))
    given = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    given += ["-p", "invariants.pytest_plugin", "-rA"]
    env = environ(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")  # where it is installed it comes by itself
    done = subprocess.run(given, cwd=folder, env=env, capture_output=True, text=True, check=False)
    passed = set(re.findall(r"^PASSED test_shelf.py::(\w+)", done.stdout, re.M))
    failed = set(re.findall(r"^FAILED test_shelf.py::(\w+)", done.stdout, re.M))
    assert (passed, failed) == ({"test_healthy", "test_few_allowed"}, {"test_forgets", "test_few"})
    told = done.stdout
    assert f"DEVIATED {QUEUE}: Each message that the queue accepted comes out" in told
    assert re.search(r"accepted messages? never came out\nreproduced 20 of 20\n  1\. enqueue\(value=\d", told)
    assert "INCONCLUSIVE latency_bounded: 10 operations are too few to tell; 299 are needed" in told
    assert "test file that fails until it is mended" in told
    assert f"def test_{QUEUE}():" in told
    assert "Traceback" not in told


def test_the_plugin_costs_nothing_until_it_is_used(folder: Path) -> None:
    program = "import sys, invariants.pytest_plugin as p; print([m for m in sys.modules if m in %r])"
    heavy = ("hypothesis", "networkx", "pydantic", "rich", "invariants.machine")
    done = subprocess.run(
        [sys.executable, "-c", program % (heavy,)], env=environ(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
