"""The process that does every fault of a run, and undoes them all when the run is gone.

    python -m chaos_locust.leases.guardian

It reads commands as JSON lines and writes events as JSON lines; `client.Guardian` speaks to it. At the
end of its input, when the run's process is dead, or when a lease runs out, it undoes what is left. It
has a session of its own and ignores the signals that end a terminal's programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from chaos_locust.backends.registry import Backends
from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import BackendError, ChaosError, LeaseError
from chaos_locust.leases.keeper import GRACE_S, Keeper
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.leases.undo import SETTLE_S, undo_until
from chaos_locust.plan.model import Plan
from chaos_locust.probes.process import ProcessId

JOURNAL_NAME = "guardian.jsonl"
INTERNAL = ("opened", "refused", "closed")
"""Events between the guardian and its client alone."""

MADE_GIVE_UP_S = 20.0
_LOOK_EVERY_S = 0.1
_KINDS: Mapping[str, str] = {"effect": "effect", "note": "note"}


class Voice:
    """Tells the run and the file `guardian.jsonl`. Never blocks and never fails: undoing comes first."""

    def __init__(self, output: int) -> None:
        self.start_epoch_s = time.time()
        self._file: Any = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()
        self._writer = threading.Thread(target=self._write, args=(output,), daemon=True)
        self._writer.start()

    def open(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            self._file = (Path(folder) / JOURNAL_NAME).open("a", encoding="utf-8")

    def emit(self, event: str, **fields: Any) -> None:
        epoch_s = time.time()
        message = {"event": event, "epoch_s": epoch_s, **fields}
        line = {
            "kind": _KINDS.get(event, "fault"),
            "t_s": round(epoch_s - self.start_epoch_s, 6),
            "state": event,
        }
        with self._lock:
            if self._file is not None and event not in INTERNAL:
                with contextlib.suppress(OSError):
                    self._file.write(json.dumps({**line, **message}) + "\n")
                    self._file.flush()
            self._lines.put(json.dumps(message))

    def close(self) -> None:
        """Waits a moment for what is still to be told."""
        self._lines.put(None)
        self._writer.join(1.0)

    def _write(self, output: int) -> None:
        while (line := self._lines.get()) is not None:
            try:
                os.write(output, line.encode() + b"\n")
            except OSError:
                return  # nobody listens any more


class Guardian:
    """Commands: open, start, observe, inject, revert, close; or recover alone."""

    def __init__(self, voice: Voice, store: LeaseStore) -> None:
        self._voice, self._store = voice, store
        self._backends = Backends()
        self._keepers: dict[str, Keeper] = {}
        self._made: list[Lease] = []
        self._owner: ProcessId | None = None
        self._threads: list[threading.Thread] = []
        self._dirty = False

    @property
    def owner_is_dead(self) -> bool:
        return self._owner is not None and self._owner.state is None

    def obey(self, command: Mapping[str, Any]) -> bool:
        """Returns False when it was the last command."""
        match command["do"]:
            case "open":
                self._open(command)
            case "start":
                self._voice.start_epoch_s = float(command["epoch_s"])
            case "observe":
                self._run(self._keepers[command["fault"]].observe)
            case "inject":
                keeper = self._keepers[command["fault"]]
                self._run(partial(keeper.inject, float(command["lease_s"])))
            case "revert":
                self._run(self._keepers[command["fault"]].revert)
            case "recover":
                self._recover(command)
                return False
            case "close":
                return False
        return True

    def watch_leases(self) -> None:
        now_s = boottime_s()
        for keeper in self._keepers.values():
            if keeper.phase == "active" and keeper.deadline_s is not None and now_s >= keeper.deadline_s:
                keeper.deadline_s = None
                self._run(partial(keeper.revert, "its lease ran out"))

    def end(self, reason: str) -> bool:
        """Undoes everything. Returns whether all is clean."""
        last = [self._run(partial(keeper.revert, reason)) for keeper in self._keepers.values()]
        for thread in last:
            thread.join()
        for lease in reversed(self._made):
            self._undo_lease(lease, boottime_s() + MADE_GIVE_UP_S)
        return not self._dirty and all(keeper.phase == "over" for keeper in self._keepers.values())

    def _open(self, command: Mapping[str, Any]) -> None:
        self._owner = ProcessId(**command["owner"])
        run_id, plan = command["run_id"], Plan.from_json(command["plan"])
        self._voice.open(command["folder"])
        try:
            for fault in plan.faults:
                backend = self._backends.named(fault.family)
                self._keepers[fault.name] = Keeper(
                    run_id, plan, fault, backend, self._owner, self._store, self._voice.emit
                )
            self._make(run_id, plan)
        except ChaosError as error:
            self._voice.emit("refused", detail=str(error))
        else:
            self._voice.emit("opened")

    def _make(self, run_id: str, plan: Plan) -> None:
        """What targets need before the load starts, such as a proxy; each with a lease of its own."""
        assert self._owner is not None
        families = {(fault.family, fault.target) for fault in plan.faults}
        for family, name in sorted(families):
            backend, target = self._backends.named(family), plan.targets[name]
            undo = backend.open(run_id, plan, target)
            if undo is not None:
                lease = Lease(run_id, f"target.{name}", self._owner, None, undo)
                self._store.save(lease)
                self._made.append(lease)
                backend.build(undo, target)

    def _recover(self, command: Mapping[str, Any]) -> None:
        """Undoes every lease of a run whose guardian died."""
        self._voice.start_epoch_s = float(command["epoch_s"])
        self._voice.open(command["folder"])
        leases, unreadable = self._store.read()
        for line in unreadable:
            self._voice.emit("note", detail=line)
        own = [lease for lease in leases if lease.run_id == command["run_id"]]
        now_s = boottime_s()
        threads = []
        for lease in own:
            if lease.fault is not None:
                give_up_s = now_s + min(
                    max((lease.deadline_s or now_s) - now_s, 0.0) + GRACE_S, MADE_GIVE_UP_S
                )
                threads.append(self._run(partial(self._undo_lease, lease, give_up_s)))
        for thread in threads:
            thread.join()
        self._made = [lease for lease in own if lease.fault is None]

    def _undo_lease(self, lease: Lease, give_up_s: float) -> None:
        """For a lease that no keeper has."""
        told = {"fault": lease.fault} if lease.fault is not None else {}
        say: Callable[..., None] = self._voice.emit
        if told:
            say("revert_asked", **told, detail="its guardian died")
        try:
            backend = self._backends.named(lease.undo["backend"])
            problem = undo_until(backend, lease.undo, give_up_s, boottime_s, lambda reason: None)
            if problem is None:
                time.sleep(SETTLE_S)
                problem = undo_until(
                    backend, lease.undo, give_up_s + SETTLE_S, boottime_s, lambda reason: None
                )
            if problem is None:
                self._store.remove(lease)
        except (BackendError, LeaseError) as error:
            problem = str(error)
        if problem is not None:
            self._dirty = True
            say("dirty", **(told or {"fault": self._one_of(lease)}), detail=problem)
        elif told:
            say("reverted", **told, detail="")

    def _one_of(self, lease: Lease) -> str:
        """A fault of the target that something was made for: what is told of belongs to a fault."""
        target = lease.label.partition(".")[2]
        return next((k.fault.name for k in self._keepers.values() if k.fault.target == target), target)

    def _run(self, action: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                action()
            except Exception as error:  # a bug of ours must be told, and must not stop the other faults
                self._dirty = True
                self._voice.emit("note", detail=f"the guardian failed: {error!r}")

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread


def serve(source: int, output: int, store: LeaseStore) -> int:
    """Until the end of the input, or `close`. Returns 0, or 5 when something could not be undone."""
    voice = Voice(output)
    guardian = Guardian(voice, store)
    reason = "the run ended"
    unread = b""
    going = True
    while going:
        ready, _, _ = select.select([source], [], [], _LOOK_EVERY_S)
        if ready:
            data = os.read(source, 65536)
            if not data:
                reason = "the run died"
                break
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                try:
                    going = guardian.obey(json.loads(line)) and going
                except (KeyError, ValueError) as error:  # whatever is said, what acts must still be undone
                    voice.emit("note", detail=f"a command was not understood: {error!r}")
        if guardian.owner_is_dead:
            reason = "the run died"
            break
        guardian.watch_leases()
    clean = guardian.end(reason)
    voice.emit("closed", clean=clean)
    voice.close()
    return 0 if clean else 5


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    code = serve(sys.stdin.fileno(), sys.stdout.fileno(), LeaseStore(leases_folder(os.environ)))
    sys.stderr.flush()
    os._exit(code)  # a thread that hangs in a backend must not keep the process


if __name__ == "__main__":
    main()
