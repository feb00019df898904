"""Faults on the clock of a process that was started with a clock of its own (libfaketime)."""

from __future__ import annotations

from chaos_locust.faults.base import Fault

FAULTS: tuple[type[Fault], ...] = ()
