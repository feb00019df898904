"""Faults on a container, done through the Docker API."""

from __future__ import annotations

from chaos_locust.faults.base import Fault

FAULTS: tuple[type[Fault], ...] = ()
