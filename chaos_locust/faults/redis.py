"""Faults on a Redis or Valkey server, done by its own protocol."""

from __future__ import annotations

from chaos_locust.faults.base import Fault

FAULTS: tuple[type[Fault], ...] = ()
