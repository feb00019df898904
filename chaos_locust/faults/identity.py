"""Faults on the keys that a service checks tokens with (JWKS), done on the link to its identity service."""

from __future__ import annotations

from chaos_locust.faults.base import Fault

FAULTS: tuple[type[Fault], ...] = ()
