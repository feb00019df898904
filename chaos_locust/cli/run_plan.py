"""`chaos-locust run PLAN`: a headless Locust run with nothing to edit."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.plan.documents import load_plan


def run(
    plan: Annotated[Path, typer.Argument(help="The plan, a YAML file.")],
    workers: Annotated[int, typer.Option(min=0, help="Generate the load from so many worker processes.")] = 0,
    results: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("results"),
) -> None:
    """Run a plan headless. The exit code is the verdict: 0 upheld, 3 deviated, 4 inconclusive."""
    os.execv(sys.executable, locust_command(plan, results, os.environ, workers))


def locust_command(plan: Path, results: Path, environ: Mapping[str, str], workers: int = 0) -> list[str]:
    """The Locust command line that runs `plan`. Raises InvalidPlan."""
    document = load_plan(plan, environ)
    here = Path(__file__).parent.parent / "locust_plugin"
    files = [str(here / ("plain.py" if document.locustfile is None else "registered.py"))]
    if document.locustfile is not None:
        files.append(str(locustfile_of(plan, document.locustfile)))
    command = [sys.executable, "-m", "locust", "-f", ",".join(files), "--headless", "--only-summary"]
    command += ["--chaos-plan", str(plan), "--chaos-results", str(results)]
    return command + (_with_workers(workers) if workers else [])


def _with_workers(workers: int) -> list[str]:
    """A master and its workers on loopback, at a port of their own: other runs may go on beside this one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    address = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    return ["--processes", str(workers), *address]


def locustfile_of(plan: Path, locustfile: str) -> Path:
    """A plan's locustfile is looked for from the working directory, then from the plan's folder upwards."""
    for folder in (Path.cwd(), *plan.absolute().parents):
        if (folder / locustfile).exists():
            return folder / locustfile
    return Path(locustfile)
