"""The run's side of the guardian process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import chaos_locust
from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import LeaseError
from chaos_locust.leases.alive import GUARDIAN_MODULE
from chaos_locust.leases.claims import Claim, Claims
from chaos_locust.leases.held import myself
from chaos_locust.leases.pulse import Patience
from chaos_locust.leases.store import LeaseStore
from chaos_locust.leases.voice import INTERNAL
from chaos_locust.plan.model import Plan

START_LIMIT_S = 20.0
LOG_NAME = "guardian.log"
# -P: a module of the user's folder must not take the place of one that it needs
PROGRAM = (sys.executable, "-P", "-m", GUARDIAN_MODULE)


class Guardian:
    """on_event gets each event of a fault as {event, fault, epoch_s, detail, ...}; {event: "note", detail};
    and {event: "guardian_lost"} when the process dies, or stands still and was therefore ended, before it
    was told to close. It is called from a thread of its own. The commands return at once.

    temporary: the folder is not wanted by anybody when this process dies: the guardian removes it then.
    """

    def __init__(
        self,
        run_id: str,
        plan: Plan,
        folder: Path,
        on_event: Callable[[dict[str, Any]], None],
        patience: Patience | None = None,
        program: Sequence[str] = PROGRAM,
        temporary: bool = False,
    ) -> None:
        self._temporary = temporary
        self._run_id, self._plan, self._folder = run_id, plan, folder
        self._on_event = on_event
        self._patience = patience or Patience()
        self._program = program
        self._claims = Claims(LeaseStore(leases_folder(os.environ)))
        self._claim: Claim | None = None
        self._states: dict[str, str] = {}  # what was told last of each fault that was asked for
        self._unanswered = 0
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._opened = threading.Event()
        self._refused: str | None = None
        self._ending = False
        self._clean = False
        self._lock = threading.Lock()
        self._start_epoch_s = time.time()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process and makes what the targets need.

        Raises LeaseError, also when another run is at work on a target; then nothing is left.
        """
        own = myself()
        self._claim = self._claims.claim(self._run_id, own, self._plan, self._folder)
        try:
            self._launch()
        except LeaseError:
            self._release(clean=True)
            raise
        opening = {
            "do": "open",
            "run_id": self._run_id,
            "plan": self._plan.to_json(),
            "folder": str(self._folder.absolute()),
            "temporary": self._temporary,
            "owner": asdict(own),
            "silent_run_s": self._patience.silent_run_s,
        }
        self._tell(opening)
        answered = self._opened.wait(START_LIMIT_S)
        if not answered or self._refused is not None or not self.alive:
            reason = self._refused or (
                f"it did not start, see {self._folder / LOG_NAME}" if answered else "it is silent"
            )
            self.close(START_LIMIT_S)
            raise LeaseError(f"no guardian for the faults: {reason}")
        threading.Thread(target=self._beat, daemon=True).start()

    def begin(self, start_epoch_s: float) -> None:
        """The load begins: times in `guardian.jsonl` count from here."""
        self._start_epoch_s = start_epoch_s
        self._tell({"do": "start", "epoch_s": start_epoch_s})

    def observe(self, fault: str) -> None:
        """To be called some seconds before the onset."""
        self._tell({"do": "observe", "fault": fault})

    def inject(self, fault: str, lease_s: float) -> None:
        self._states.setdefault(fault, "")
        self._tell({"do": "inject", "fault": fault, "lease_s": lease_s})

    def revert(self, fault: str) -> None:
        self._tell({"do": "revert", "fault": fault})

    def close(self, timeout_s: float) -> bool:
        """Undoes everything that is left and ends the guardian. Returns whether all was clean in time.

        What is made for targets (proxies) goes too, so the load should be over. One that takes longer is
        left to itself: it goes on undoing without us.
        """
        self._ending = True
        self._over.set()
        self._tell({"do": "close"})
        return self._release(self._wait(timeout_s))

    def recover(self, timeout_s: float) -> bool:
        """After `guardian_lost`: a fresh guardian undoes everything of this run. Returns whether it could."""
        self._ending = True
        self._over.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self._clean = False
        self._process = None  # whatever is told meanwhile is for the guardian that died
        try:
            self._launch()
        except LeaseError as error:
            self._on_event({"event": "note", "detail": str(error)})
            return False
        recovery = {
            "do": "recover",
            "run_id": self._run_id,
            "folder": str(self._folder.absolute()),
            "epoch_s": self._start_epoch_s,
            "told": self._states,
        }
        self._tell(recovery)
        return self._release(self._wait(timeout_s))

    def _release(self, clean: bool) -> bool:
        """Others may have the targets now; what is not clean stays ours as long as a lease tells of it."""
        claim, self._claim = self._claim, None
        if claim is not None:
            try:
                self._claims.release(claim, clean)
            except LeaseError as error:
                self._on_event({"event": "note", "detail": str(error)})
        return clean

    def _beat(self) -> None:
        """Tells the guardian that we live, and sees that it lives: who answers no heartbeat is ended.

        What is counted are heartbeats, not seconds: it is we who may have stood still.
        """
        process = self._process
        while not self._over.wait(self._patience.beat_every_s) and process is not None:
            if self._unanswered >= self._patience.unanswered_beats:
                detail = f"the guardian left {self._unanswered} heartbeats unanswered and was ended"
                self._on_event({"event": "note", "detail": detail})
                process.kill()
                return
            self._unanswered += 1
            self._tell({"do": "heartbeat"})

    def _launch(self) -> None:
        package = Path(chaos_locust.__file__).parent.parent
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            with (self._folder / LOG_NAME).open("ab") as log:
                self._process = subprocess.Popen(
                    [*self._program, self._run_id],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                    start_new_session=True,
                )
        except OSError as error:
            raise LeaseError(f"no guardian for the faults: {error}") from None
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError):  # a line that its death cut off
                self._take(json.loads(line))
        self._opened.set()
        if not self._ending:
            self._over.set()
            self._on_event({"event": "guardian_lost", "epoch_s": time.time()})

    def _take(self, message: dict[str, Any]) -> None:
        if message["event"] not in INTERNAL:
            if message.get("fault") in self._states and message["event"] != "effect":
                self._states[message["fault"]] = message["event"]
            self._on_event(message)
        elif message["event"] == "heartbeat":
            self._unanswered = 0
        elif message["event"] == "closed":
            self._clean = message["clean"]
        else:
            self._refused = message.get("detail")
            self._opened.set()

    def _tell(self, command: dict[str, Any]) -> None:
        """To a guardian that is dead nothing is told: `guardian_lost` says it."""
        process = self._process
        if process is None or process.stdin is None:
            return
        with self._lock, contextlib.suppress(OSError, ValueError):
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()

    def _wait(self, timeout_s: float) -> bool:
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return True
        deadline_s = time.monotonic() + timeout_s
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        reader.join(max(deadline_s - time.monotonic(), 0.1))
        if process.poll() is None:
            return False
        log = self._folder / LOG_NAME
        with contextlib.suppress(OSError):
            if log.stat().st_size == 0:
                log.unlink()
        return self._clean
