"""One cell of the crash matrix: a run with one fault, whose processes are killed at one point."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .cell import Case

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
LEASES_S = (2.0, 8.0, 20.0)
"""Tried in turn, for a fault that takes longer to be seen from outside than its lease lasts."""
AFTER_DEADLINE_S = 2.0
COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")

Victim = Literal["run", "guardian", "both"]
Point = Literal["before the lease", "before the fault", "in the fault", "during revert"]
VICTIMS: tuple[Victim, ...] = ("run", "guardian", "both")
POINTS: tuple[Point, ...] = ("before the lease", "before the fault", "in the fault", "during revert")
REVERTS = ("revert begun", "midway", "revert done")
MIDWAY_S = 0.03


@dataclass
class Played:
    """wrong: empty when the cell is clean. took_s: from the kill until nothing was left."""

    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0

    def expect(self, condition: object, text: str) -> None:
        if not condition:
            self.wrong.append(text)


class Missed(Exception):
    """The lease ran out before the fault was seen to act."""


def until(condition: Callable[[], Any], limit_s: float = LIMIT_S) -> bool:
    """Whether it came true in time."""
    give_up_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(0.01)
    return True


class World:
    """The run's process, and a state folder of its own that marks every process of ours."""

    def __init__(self, folder: Path, kind: str, case: Case, point: str) -> None:
        self.folder, self.barrier = folder, folder / "barrier"
        self.barrier.mkdir()
        (self.barrier / "point").write_text(point)
        os.mkfifo(self.barrier / "go")
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.environ = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": path,
            "CRASH_BARRIER": str(self.barrier),
        }
        target = next(iter(case.targets))
        lasts = {} if kind in _instant_kinds() else {"for": "2s"}
        fault = {"target": target, **case.fault, "kind": kind, "name": "fault", "at": "1s", **lasts}
        plan = {"name": "crash", "targets": case.targets, "faults": [fault], **case.plan}
        run_id = folder.name.replace("_", "-")  # as those of runs: it is a part of names in targets
        spec = {"run_id": run_id, "plan": plan, "folder": str(folder)}
        (folder / "spec.json").write_text(json.dumps(spec))
        self._stands_still = False
        self.seen: list[dict[str, Any]] = []
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()
        self.run = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.crash.run", str(folder / "spec.json")],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "run.log").open("wb"),
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.run.stdout is not None
        for line in self.run.stdout:
            self._queue.put(json.loads(line))

    def tell(self, do: str, **fields: Any) -> None:
        assert self.run.stdin is not None
        self.run.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        self.run.stdin.flush()

    def told(self, *events: str) -> dict[str, Any] | None:
        """The first of these events so far."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.seen.append(self._queue.get_nowait())
        return next((message for message in self.seen if message["event"] in events), None)

    def wait_told(self, *events: str) -> dict[str, Any]:
        if not until(lambda: self.told(*events) or self.run.poll() is not None) or not self.told(*events):
            raise AssertionError(f"no {events} among {self.seen}; {(self.folder / 'run.log').read_text()}")
        found = self.told(*events)
        assert found is not None
        return found

    def reach(self) -> None:
        """Returns when the guardian stands still."""
        reached = until(lambda: (self.barrier / "reached").exists() or self.told("failed"))
        if not reached or self.told("failed"):
            raise AssertionError(f"the point was not reached: {self.seen}")
        self._stands_still = True

    def go(self) -> None:
        """Lets the guardian go on, which lives, where it stands still."""

        def opened() -> bool:
            try:
                os.close(os.open(self.barrier / "go", os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return False  # it has not come to read yet
            return True

        if self._stands_still and not until(opened):
            raise AssertionError("the guardian does not go on")
        self._stands_still = False

    def processes(self) -> dict[int, str]:
        """Pid and command line of each of our processes that lives."""
        found = {}
        mark = f"XDG_STATE_HOME={self.folder / 'state'}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX" and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
        return found

    def leases(self) -> list[str]:
        return [path.name for path in (self.folder / "state").glob("chaos-locust/leases/*")]

    def cleanup(self) -> tuple[int, str]:
        """Exit code and output of the command."""
        done = subprocess.run(
            [*COMMAND, "cleanup"], env=self.environ, capture_output=True, text=True, timeout=LIMIT_S
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def end(self) -> None:
        self.run.kill()
        self.run.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def play(kind: str, case: Case, victim: Victim, point: Point, rng: random.Random) -> Played:
    """Raises AssertionError when the point is not reached."""
    stop = point if point != "during revert" else rng.choice(REVERTS)
    for lease_s in LEASES_S:
        with tempfile.TemporaryDirectory(prefix="crash-", ignore_cleanup_errors=True) as name:
            world = World(Path(name), kind, case, "revert begun" if stop == "midway" else stop)
            try:
                return _play(world, case, victim, stop, lease_s, rng)
            except Missed:
                world.tell("close")
                world.wait_told("closed")
            finally:
                world.end()
    raise AssertionError(f"it was not seen to act within {LEASES_S[-1]:g} s")


def _play(world: World, case: Case, victim: Victim, stop: str, lease_s: float, rng: random.Random) -> Played:
    found = Played()
    guardian = int(world.wait_told("ready")["guardian"])
    if left := case.left():
        raise AssertionError(f"left before anything was done: {left}")
    world.tell("inject", lease_s=lease_s)
    deadline_s = time.monotonic() + lease_s
    if stop in ("before the lease", "before the fault"):
        world.reach()
    else:
        _wait_until_it_acts(world, case)
        if stop != "in the fault":
            world.tell("revert")
            world.reach()
    pids = {"run": [world.run.pid], "guardian": [guardian], "both": [world.run.pid, guardian]}[victim]
    if stop == "midway":
        world.go()
        instant_s = time.monotonic() + rng.uniform(0, MIDWAY_S)
        while time.monotonic() < instant_s:
            pass
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: neither sees the other die
        for pid in pids:
            os.kill(pid, number)
    killed_s = time.monotonic()
    if victim == "run":
        world.go()
        within_s = max(deadline_s - killed_s, 0.0) + AFTER_DEADLINE_S
        until(lambda: not world.processes() and not case.left(), within_s)
        left = case.left()
        found.expect(not left, f"left at the deadline + 2 s: {left}")
        found.took_s = time.monotonic() - killed_s
        found.expect(until(lambda: not world.processes()), f"still running: {world.processes()}")
    elif victim == "guardian":
        found.expect(world.wait_told("recovered")["clean"], f"its successor could not undo it: {world.seen}")
        found.expect(not case.left(), f"left by its successor: {case.left()}")
        found.took_s = time.monotonic() - killed_s
        world.run.kill()
        world.run.wait()
    else:
        code, told = world.cleanup()
        found.expect(code == 0, f"cleanup: {code}, {told}")
        found.took_s = time.monotonic() - killed_s
    code, told = world.cleanup()
    found.expect((code, told) == (0, "Nothing to undo."), f"the last cleanup: {code}, {told}")
    found.expect(not case.left(), f"left in the end: {case.left()}")
    found.expect(not world.leases(), f"leases left: {world.leases()}")
    found.expect(until(lambda: not world.processes(), 5.0), f"still running: {world.processes()}")
    return found


def _wait_until_it_acts(world: World, case: Case) -> None:
    """Raises Missed when its lease ran out before."""
    if world.wait_told("active", "failed")["event"] == "failed":
        raise AssertionError(f"it was not injected: {world.seen}")
    if not until(lambda: case.acting() or world.told("revert_asked")):
        raise AssertionError(f"it does not act: {world.seen}")
    if world.told("revert_asked"):
        raise Missed


def _instant_kinds() -> set[str]:
    from chaos_locust.faults.registry import KINDS

    return {kind for kind, cls in KINDS.items() if cls.instant}
