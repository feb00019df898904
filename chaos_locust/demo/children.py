"""The supervisor's children: started, noticed when they die, started again; and the reaper."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from chaos_locust.demo.processes import identify
from chaos_locust.demo.servers import as_user
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.state import CLAIMED, StateInUse

RESTART_S = 1.5  # long enough for the outage to be seen


class Reaper:
    """Owns the state folder, and ends all children when the supervisor ends, however that happens.

    Its other side is reaper.py. Raises StateInUse if the folder is somebody else's.
    """

    def __init__(self, state: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos_locust.demo.reaper", str(state)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, cwd="/",
            env=_import_from_here(os.environ), text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        with self._process.stdout as output:
            answer = output.readline().strip()
        if answer != CLAIMED:
            self.finish()
            raise StateInUse(answer or "the state folder could not be made; see above")

    def __enter__(self) -> Reaper:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def watch(self, pid: int) -> None:
        """Entrust it with a child that was just started and has not been waited for."""
        identity = identify(pid)
        assert identity is not None
        self._tell(f"child {identity.pid} {identity.started}")

    def watch_programs(self, folder: Path) -> None:
        """Entrust it with what runs PostgreSQL's programs in its data folder."""
        self._tell(f"programs {folder}")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        """Have it end all children and remove the state, and wait for that."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Specification:
    """What to run: a command, its working folder, its user (None: ours) and environment (None: ours)."""

    name: str
    command: list[str]
    folder: Path
    user: str | None = None
    environment: dict[str, str] | None = None


class Child:
    """One process, with its pid file and its log in the state folder."""

    def __init__(self, specification: Specification, state: Path, reaper: Reaper) -> None:
        self._specification = specification
        self._log = state / f"{specification.name}.log"
        self._reaper = reaper
        self._process: subprocess.Popen[bytes] | None = None
        self._died_at: float | None = None
        self.pids: list[int] = []  # of this and of all that died
        self.name = specification.name
        self.pidfile = state / f"{specification.name}.pid"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the supervisor alone.

        It waits for a line before it becomes what it is to be. If the supervisor is killed before the
        reaper knows of it, the line never comes and it ends.
        """
        what = self._specification
        waiting = ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*waiting, *what.command], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=what.folder,
                env=what.environment or _import_from_here(os.environ), **as_user(what.user),
                start_new_session=True,
            )  # fmt: skip
        self.pids.append(self._process.pid)
        self._reaper.watch(self._process.pid)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as line:  # killed already
            line.write(b"go\n")
        written = self.pidfile.with_suffix(".new")
        written.write_text(f"{self._process.pid}\n")
        written.replace(self.pidfile)

    def running(self) -> bool:
        return self._process is None or self._process.poll() is None

    def restarted_if_due(self) -> bool:
        """Start it again if it has been dead for long enough; whether it was."""
        if self.running():
            return False
        if self._died_at is None:
            self._died_at = monotonic()
            self.pidfile.unlink(missing_ok=True)  # the pid may soon be somebody else's
        if monotonic() - self._died_at < RESTART_S:
            return False
        self._died_at = None
        self.start()
        return True

    def terminate(self, timeout_s: float) -> None:
        """Ask it to end and give it that long."""
        if self._process is not None and self.running():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):  # then the reaper ends it
                self._process.wait(timeout_s)

    def wait(self) -> None:
        """Wait for what has been ended."""
        if self._process is not None:
            self._process.wait()


def _import_from_here(environment: os._Environ[str]) -> dict[str, str]:
    """An environment in which a Python child imports this very package, whatever its working folder."""
    here = str(Path(__file__).resolve().parents[2])
    path = [here, *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}


def logged_tail(settings: Settings, name: str, lines: int = 15) -> str:
    """The end of a child's log."""
    text = (settings.state / f"{name}.log").read_text(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
