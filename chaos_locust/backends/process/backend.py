"""Faults on a process of this machine that a pid file names: kill, pause and restart_storm."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict

from chaos_locust.backends.base import Effect, Reading, Undo, mark
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.process.effect import process_effect
from chaos_locust.backends.process.held import MARGIN_S, Holders, living
from chaos_locust.backends.process.signals import STOPPED, kill, stop
from chaos_locust.backends.process.storm import Storm
from chaos_locust.backends.process.undo import is_undone, undo_action
from chaos_locust.backends.process.use import link_before, resolve, use_reading
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.process import Kill, Pause, RestartStorm
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import ProcessId


class ProcessBackend:
    """An Undo: {backend, action (see `undo`), mark, process: as of ProcessId, pidfile, link: see
    `use.link_before`}. A pause has a holder with the mark, which continues the process at its end."""

    name = "process"

    def __init__(self, watch: LinkWatch) -> None:
        self._watch = watch
        self._holders = Holders()
        self._storms: dict[str, Storm] = {}

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        place = f"targets.{target.name}"
        if target.pidfile is None:
            return [Problem(place, f"gives no process; a {fault.kind} needs pidfile")]
        try:
            found = resolve(target.pidfile)
            if found.state in STOPPED:
                return [Problem(place, f"process {found.pid} is stopped already")]
        except BackendError as error:
            return [Problem(place, str(error))]
        return []

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for a process")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if target.pidfile is None:
            raise BackendError(f"target {target.name} has no pid file")
        found = resolve(target.pidfile)
        if isinstance(fault, Pause) and found.state in STOPPED:
            raise BackendError(f"process {found.pid} is stopped already")
        return {
            "backend": self.name,
            "action": "continue" if isinstance(fault, Pause) else "nothing",
            "mark": mark(run_id, fault.name),
            "process": asdict(found),
            "pidfile": target.pidfile,
            "link": link_before(run_id, plan, target),
        }

    def inject(self, fault: Fault, undo: Undo) -> None:
        victim = ProcessId(**undo["process"])
        if isinstance(fault, Kill):
            kill(victim, signal.Signals[f"SIG{fault.signal}"])
        elif isinstance(fault, RestartStorm):
            storm = self._storms[undo["mark"]] = Storm(fault, undo["pidfile"], victim)
            storm.begin()
        else:
            assert fault.duration_s is not None
            # The holder is there first, so there is no moment at which nobody would continue the process.
            known = {key: value for key, value in undo.items() if key != "link"}
            self._holders.start(undo["mark"], fault.duration_s + MARGIN_S, {"undo": known})
            stop(victim)
            if self._holders.pid(undo["mark"]) is None:
                raise BackendError("the process of ours that would continue it has ended")

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        storm = self._storms.get(undo["mark"])
        if storm is None:
            raise BackendError(f"a {fault.kind} does not change with time")
        storm.go_on(elapsed_s)

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        victim, storm = ProcessId(**undo["process"]), self._storms.get(undo["mark"])
        if storm is None:
            return use_reading(self._watch, victim, undo["link"]) | {"killed": 0}
        reading = use_reading(self._watch, storm.current() or victim, undo["link"], storm.ports)
        storm.ports |= set(reading["ports"])
        return reading | {"killed": storm.killed}

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return process_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        if undo["action"] != "nothing":
            self._holders.end(undo["mark"])
        undo_action(undo)

    def verify(self, undo: Undo) -> bool:
        """A process that is gone is not stopped; its pid may be somebody else's by now."""
        return undo["action"] == "nothing" or (is_undone(undo) and not living(undo["mark"]))

    def describe(self, undo: Undo) -> str:
        return f"the pause of process {undo['process']['pid']} ({undo['pidfile']})"

    def scan(self, place: str) -> list[Undo]:
        """A stopped process carries no mark, but who continues it does."""
        jobs = [job for _, job in living().values()]
        return [job["undo"] for job in jobs if job.get("undo", {}).get("backend") == self.name]
