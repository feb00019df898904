"""The process that does every fault of a run, and undoes them all when the run is gone.

    python -m chaos_locust.leases.guardian RUN_ID

It reads commands as JSON lines and writes events as JSON lines; `client.Guardian` speaks to it. At the
end of its input, when the run's process is dead, or when a lease runs out, it undoes what is left. It
has a session of its own and ignores the signals that end a terminal's programs. The argument is for others
alone: `cleanup --scan` sees by it which runs are alive.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

from chaos_locust.backends.registry import Backends
from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import ChaosError
from chaos_locust.leases.audit import Audit
from chaos_locust.leases.held import Held, myself
from chaos_locust.leases.keeper import Keeper
from chaos_locust.leases.pulse import Patience, Pulse
from chaos_locust.leases.recovery import MADE_GIVE_UP_S, Undoer
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.leases.undo import description
from chaos_locust.leases.voice import Voice
from chaos_locust.plan.model import Plan
from chaos_locust.probes.process import ProcessId

RUN_DIED = "the run died"
_LOOK_EVERY_S = 0.1


class Guardian:
    """Commands: open, start, heartbeat, observe, inject, revert, close; or recover alone."""

    def __init__(self, voice: Voice, store: LeaseStore, backends: Backends) -> None:
        self._voice, self._store, self._backends = voice, store, backends
        self._audit = Audit(store, "guardian")
        self._undoer = Undoer(backends, store, voice, self._audit)
        self._keepers: dict[str, Keeper] = {}
        self._made: list[Lease] = []
        self._owner: ProcessId | None = None
        self._pulse = Pulse(Patience().silent_run_s)
        self._over = threading.Event()
        self._dirty = False
        self._folder_to_remove: str | None = None

    @property
    def owner_is_dead(self) -> bool:
        return self._owner is not None and self._owner.state is None

    def obey(self, command: Mapping[str, Any]) -> bool:
        """Returns False when it was the last command."""
        self._pulse.beat()
        match command["do"]:
            case "open":
                self._open(command)
            case "start":
                self._voice.start_epoch_s = float(command["epoch_s"])
            case "heartbeat":
                self._voice.emit("heartbeat")
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
            if keeper.phase != "active" or keeper.is_ending:
                continue
            if keeper.deadline_s is not None and now_s >= keeper.deadline_s:
                self._run(partial(keeper.revert, "its lease ran out"))
            elif now_s >= self._pulse.runs_out_s:
                reason = f"the run has not been heard of for {self._pulse.silent_run_s:g} s"
                self._run(partial(keeper.revert, reason))
            elif keeper.taken:
                self._run(partial(keeper.revert, "another process took its lease over"))

    def end(self, reason: str) -> bool:
        """Undoes everything. Returns whether all is clean."""
        self._over.set()
        last = [self._run(partial(keeper.revert, reason)) for keeper in self._keepers.values()]
        for thread in last:
            thread.join()
        for lease in reversed(self._made):
            self._undoer.take_over(lease, boottime_s() + MADE_GIVE_UP_S, self._one_of(lease))
        clean = not (self._dirty or self._undoer.dirty)
        return clean and all(keeper.phase == "over" for keeper in self._keepers.values())

    def _open(self, command: Mapping[str, Any]) -> None:
        owner = self._owner = ProcessId(**command["owner"])
        run_id, plan = command["run_id"], Plan.from_json(command["plan"])
        self._pulse = pulse = Pulse(float(command["silent_run_s"]))
        self._voice.open(command["folder"])
        self._folder_to_remove = command["folder"] if command["temporary"] else None

        def audit(action: str, what: str, on: str, result: str) -> None:
            self._voice.keep(self._audit.write(run_id, action, what, on, result))

        try:
            for fault in plan.faults:
                backend = self._backends.named(fault.family)
                held = Held(self._store, run_id, f"fault.{fault.name}", owner)
                keeper = Keeper(run_id, plan, fault, backend, held, pulse, self._voice.emit, audit)
                self._keepers[fault.name] = keeper
            self._make(run_id, plan, audit)
        except ChaosError as error:
            self._voice.emit("refused", detail=str(error))
        else:
            self._run(self._renew)
            self._voice.emit("opened")

    def tidy(self) -> None:
        """Removes the folder of a run that died, if it is only wanted while the run lives."""
        if self._folder_to_remove is not None:
            shutil.rmtree(self._folder_to_remove, ignore_errors=True)

    def _make(self, run_id: str, plan: Plan, audit: Callable[[str, str, str, str], None]) -> None:
        """What targets need before the load starts, such as a proxy; each with a lease of its own."""
        assert self._owner is not None
        families = {(fault.family, fault.target) for fault in plan.faults}
        for family, name in sorted(families):
            backend, target = self._backends.named(family), plan.targets[name]
            undo = backend.open(run_id, plan, target)
            if undo is not None:
                lease = Lease(run_id, f"target.{name}.{family}", self._owner, None, undo, holder=myself())
                self._made.append(self._store.save(lease))
                backend.build(undo, target)
                audit("make", lease.label, description(backend, undo), "made")

    def _renew(self) -> None:
        """Keeps the leases on the disk as far ahead as the run's last sign of life allows."""
        while not self._over.wait(self._pulse.silent_run_s / 5):
            for keeper in self._keepers.values():
                keeper.renew()

    def _recover(self, command: Mapping[str, Any]) -> None:
        self._voice.start_epoch_s = float(command["epoch_s"])
        self._voice.open(command["folder"])
        self._made = self._undoer.recover(command["run_id"], command["told"], self._run)

    def _one_of(self, lease: Lease) -> str:
        """A fault of the target that something was made for: what is told of belongs to a fault."""
        target = lease.label.split(".")[1]
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


def serve(source: int, output: int, store: LeaseStore, backends: Backends) -> int:
    """Until the end of the input, or `close`. Returns 0, or 5 when something could not be undone."""
    voice = Voice(output)
    guardian = Guardian(voice, store, backends)
    reason = "the run ended"
    unread = b""
    going = True
    while going:
        ready, _, _ = select.select([source], [], [], _LOOK_EVERY_S)
        if ready:
            data = os.read(source, 65536)
            if not data:
                reason = RUN_DIED
                break
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                try:
                    going = guardian.obey(json.loads(line)) and going
                except (KeyError, ValueError) as error:  # whatever is said, what acts must still be undone
                    voice.emit("note", detail=f"a command was not understood: {error!r}")
        if guardian.owner_is_dead:
            reason = RUN_DIED
            break
        guardian.watch_leases()
    clean = guardian.end(reason)
    if clean and reason == RUN_DIED:
        guardian.tidy()
    voice.emit("closed", clean=clean)
    voice.close()
    return 0 if clean else 5


def main(store: LeaseStore, backends: Backends) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    code = serve(sys.stdin.fileno(), sys.stdout.fileno(), store, backends)
    sys.stderr.flush()
    os._exit(code)  # a thread that hangs in a backend must not keep the process


if __name__ == "__main__":
    main(LeaseStore(leases_folder(os.environ)), Backends())
