"""Faults that take CPU, memory or file descriptors away from a process that a pid file names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from chaos_locust.backends.base import MARK, Effect, Reading, Undo, mark
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.process.held import Holders, living
from chaos_locust.backends.process.undo import is_undone, undo_action
from chaos_locust.backends.process.use import link_before, resolve, use_reading
from chaos_locust.backends.resources.cgroup import marked_below
from chaos_locust.backends.resources.effect import resources_effect
from chaos_locust.backends.resources.limits import Descriptors, MemoryCap, Throttle
from chaos_locust.backends.resources.pressure import Burners, Memory
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import ProcessId


class Means(Protocol):
    """How one kind is done."""

    def prepare(self, fault: Any, victim: ProcessId, mark: str) -> Undo:
        """What undoing needs besides the process. Changes nothing. Raises BackendError with a refusal."""

    def begin(self, fault: Any, undo: Undo) -> None:
        """Raises BackendError."""

    def read(self, fault: Any, undo: Undo) -> Reading:
        """Never raises for what it cannot see."""


class ResourcesBackend:
    """An Undo: {backend, action (see `process.undo`), kind, mark, process: as of ProcessId, pidfile, link
    (see `process.use.link_before`), ...}. Every fault has a holder with the mark: it does it, or ends it."""

    name = "resources"

    def __init__(self, watch: LinkWatch) -> None:
        self._watch = watch
        self._holders = Holders()
        memory = Memory(self._holders)
        self._means: dict[str, Means] = {
            "cpu_throttle": Throttle(self._holders),
            "cpu_pressure": Burners(self._holders),
            "memory_pressure": memory,
            "memory_leak": memory,
            "memory_limit": MemoryCap(self._holders),
            "file_descriptors": Descriptors(self._holders),
        }

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        try:
            self.prepare("preflight", plan, fault, target)
        except BackendError as error:
            return [Problem(f"targets.{target.name}", f"{fault.kind}: {error}")]
        return []

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for a process")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if target.pidfile is None:
            raise BackendError(f"target {target.name} gives no process; it needs pidfile")
        victim, own = resolve(target.pidfile), mark(run_id, fault.name)
        return {
            "backend": self.name,
            "kind": fault.kind,
            "mark": own,
            "process": asdict(victim),
            "pidfile": target.pidfile,
            "link": link_before(run_id, plan, target),
            **self._means[fault.kind].prepare(fault, victim, own),
        }

    def inject(self, fault: Fault, undo: Undo) -> None:
        if ProcessId(**undo["process"]).state is None:
            raise BackendError(f"process {undo['process']['pid']} is gone")
        self._means[fault.kind].begin(fault, undo)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        use = use_reading(self._watch, ProcessId(**undo["process"]), undo["link"])
        return use | self._means[fault.kind].read(fault, undo)

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return resources_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        self._holders.end(undo["mark"])
        undo_action(undo)

    def verify(self, undo: Undo) -> bool:
        return is_undone(undo) and not living(undo["mark"])

    def describe(self, undo: Undo) -> str:
        if "process" not in undo:
            return f"the {undo['action']} {undo['mark']}"
        return f"the {undo['kind']} of process {undo['process']['pid']} ({undo['pidfile']})"

    def scan(self, place: str) -> list[Undo]:
        found: dict[str, Undo] = {}
        for cgroup in marked_below(MARK):
            found[cgroup.folder.name] = {
                "backend": self.name,
                "action": "cgroup",
                "mark": cgroup.folder.name,
                "folder": str(cgroup.folder),
                "version": cgroup.version,
                "controller": cgroup.controller,
                # Who turned it on is not known; below a cgroup with processes it was hardly anybody else.
                "turn_off": (cgroup.folder.parent / "cgroup.type").exists(),
            }
        for name, job in living().values():
            undo = job.get("undo", {"backend": self.name, "action": "hold", "mark": name})
            if undo["backend"] == self.name:
                found[name] = undo
        return list(found.values())
