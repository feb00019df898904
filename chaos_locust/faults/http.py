"""Faults on HTTP messages, done by the embedded proxy on a link."""

from __future__ import annotations

from chaos_locust.faults.base import Fault

FAULTS: tuple[type[Fault], ...] = ()
