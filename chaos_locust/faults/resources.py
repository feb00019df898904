"""Faults that take CPU, memory or file descriptors away from a process."""

from __future__ import annotations

from chaos_locust.faults.base import Fault

FAULTS: tuple[type[Fault], ...] = ()
