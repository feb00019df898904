"""Faults on a process of this machine that a pid file names: kill and pause."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict

from chaos_locust.backends.base import Effect, Reading, Undo
from chaos_locust.backends.link_watch import LinkWatch
from chaos_locust.backends.process_effect import process_effect
from chaos_locust.backends.process_use import link_before, resolve, use_reading
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.process import Kill
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import ProcessId

_SIGNAL_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.002


class ProcessBackend:
    """An Undo: {backend, action, process: {pid, start_ticks, boot_id}, pidfile, link}. Actions: `continue`
    sends SIGCONT, `nothing` is for what cannot be undone. link: {api, proxy} of the target or None."""

    name = "process"

    def __init__(self, watch: LinkWatch) -> None:
        self._watch = watch

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        place = f"targets.{target.name}"
        if target.pidfile is None:
            return [Problem(place, f"gives no process; a {fault.kind} needs pidfile")]
        try:
            found = resolve(target.pidfile)
            if found.state in ("T", "t"):
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
        if not isinstance(fault, Kill) and found.state in ("T", "t"):
            raise BackendError(f"process {found.pid} is stopped already")
        return {
            "backend": self.name,
            "action": "nothing" if isinstance(fault, Kill) else "continue",
            "process": asdict(found),
            "pidfile": target.pidfile,
            "link": link_before(run_id, plan, target),
        }

    def inject(self, fault: Fault, undo: Undo) -> None:
        victim = ProcessId(**undo["process"])
        if isinstance(fault, Kill):
            _kill(victim, signal.Signals[f"SIG{fault.signal}"])
            return
        _send(victim, signal.SIGSTOP)
        deadline_s = time.monotonic() + _SIGNAL_LIMIT_S
        while (state := victim.state) not in ("T", "t"):
            if state is None:
                raise BackendError(f"process {victim.pid} is gone")
            if time.monotonic() > deadline_s:
                raise BackendError(f"process {victim.pid} does not stop (state {state})")
            time.sleep(_LOOK_AGAIN_S)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        return use_reading(self._watch, ProcessId(**undo["process"]), undo["link"])

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return process_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        victim = ProcessId(**undo["process"])
        if undo["action"] == "nothing" or victim.state is None:
            return
        _send(victim, signal.SIGCONT)  # also takes back a SIGSTOP that has not stopped it yet
        deadline_s = time.monotonic() + _SIGNAL_LIMIT_S
        while victim.state in ("T", "t"):
            if time.monotonic() > deadline_s:
                raise BackendError(f"process {victim.pid} is still stopped")
            time.sleep(_LOOK_AGAIN_S)

    def verify(self, undo: Undo) -> bool:
        """A process that is gone is not stopped; its pid may be somebody else's by now."""
        return undo["action"] == "nothing" or ProcessId(**undo["process"]).state not in ("T", "t")

    def describe(self, undo: Undo) -> str:
        return f"the pause of process {undo['process']['pid']} ({undo['pidfile']})"

    def scan(self, place: str) -> list[Undo]:
        return []  # a stopped process carries no mark


def _send(victim: ProcessId, number: signal.Signals) -> None:
    """To this very process: the descriptor is opened first, so that the pid cannot be another's by then."""
    try:
        descriptor = os.pidfd_open(victim.pid)
    except OSError as error:
        raise BackendError(f"process {victim.pid} cannot be reached: {error.strerror}") from None
    try:
        if victim.state is None:
            raise BackendError(
                f"process {victim.pid} is not the one that was meant: its pid was given to another"
            )
        signal.pidfd_send_signal(descriptor, number)
    except OSError as error:
        raise BackendError(f"process {victim.pid} takes no {number.name}: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _kill(victim: ProcessId, number: signal.Signals) -> None:
    """Returns when the process is gone."""
    try:
        descriptor = os.pidfd_open(victim.pid)
    except OSError as error:
        raise BackendError(f"process {victim.pid} cannot be reached: {error.strerror}") from None
    try:
        _send(victim, number)
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        gone = ended.poll(_SIGNAL_LIMIT_S * 1000)
    finally:
        os.close(descriptor)
    if not gone:
        raise BackendError(f"process {victim.pid} lives on {_SIGNAL_LIMIT_S:g} s after {number.name}")
