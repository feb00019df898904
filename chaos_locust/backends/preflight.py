"""Finds out before anything starts whether a plan can be carried out here and now."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

from chaos_locust.backends.registry import backend_for
from chaos_locust.backends.state import state_problems
from chaos_locust.errors import PreflightFailed, Problem
from chaos_locust.plan.model import Plan
from chaos_locust.plan.probes import probes_of

CONNECT_LIMIT_S = 5.0
LEAST_FREE_BYTES = 32_000_000


def preflight(plan: Plan, results: Path) -> None:
    """Raises PreflightFailed with every reason why this plan cannot run here and now."""
    problems = [*_results_problems(results), *_host_problems(plan.host)]
    if plan.faults:
        problems += state_problems(os.environ)
    if probes_of(plan):
        from chaos_locust.backends.kubernetes.preflight import reading_problems

        problems += reading_problems(plan)
    for fault in plan.faults:
        problems += backend_for(fault).preflight(plan, fault, plan.targets[fault.target])
    if problems:
        # what belongs to no place, such as a Role to be copied, comes last
        raise PreflightFailed(sorted(dict.fromkeys(problems), key=lambda problem: not problem.place))


def _results_problems(results: Path) -> list[Problem]:
    """The nearest existing folder must be one that we may write to."""
    existing = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.exists())
    if not existing.is_dir():
        return [Problem("results", f"{existing} is not a folder")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Problem("results", f"the folder {existing} is not writable")]
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < LEAST_FREE_BYTES:
        return [Problem("results", f"the disk of {existing} has {free_bytes:,} bytes left; 32 MB are needed")]
    return []


def _host_problems(host: str | None) -> list[Problem]:
    """The address under load must accept a connection."""
    parts = urlsplit(host or "")
    if not parts.hostname:
        return [Problem("host", f"{host!r} is no URL such as http://127.0.0.1:8000")]
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), CONNECT_LIMIT_S).close()
    except ValueError as error:
        return [Problem("host", f"{host!r}: {error}")]
    except OSError as error:
        return [Problem("host", f"{host} does not accept connections: {error.strerror or error}")]
    return []
