"""`chaos-locust demo`: the shop behind the proxy, a spike with two faults, the verdict and the report."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.cli.run_plan import locust_command
from chaos_locust.errors import ChaosError, PreflightFailed, Problem

app = typer.Typer(help="A real shop under load, with faults, judged.", invoke_without_command=True)

START_LIMIT_S = 90.0
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


@app.callback()
def demo(
    context: typer.Context,
    results: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("results"),
    defect: Annotated[str | None, typer.Option(help="Plant a defect in the shop first.")] = None,
) -> None:
    """Start the shop, run the two-fault demo against it, and judge it."""
    if context.invoked_subcommand is None:
        raise typer.Exit(run_demo(results, defect))


@app.command()
def serve(
    defect: Annotated[str | None, typer.Option(help="Plant one defect; --defect help lists them.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once everything answers.")] = None,
    ports: Annotated[str, typer.Option(help="`default`, or `free` for ports nobody uses.")] = "default",
    clock: Annotated[
        bool, typer.Option("--clock", help="Give the shop a clock that faults can set (libfaketime).")
    ] = False,
) -> None:
    """Run the shop alone, until Ctrl-C."""
    try:
        from chaos_locust.demo import serve as serve_shop
    except ImportError as error:
        raise PreflightFailed(
            [Problem("", f"the demo needs an extra: pip install 'chaos-locust[demo]' ({error})")]
        ) from error
    raise typer.Exit(serve_shop(defect, ready_file, ports, clock))


def run_demo(results: Path, defect: str | None) -> int:
    """Returns the exit code of the verdict."""
    with tempfile.TemporaryDirectory(prefix="chaos-locust-demo-") as folder:
        ready_file = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free"]
        command += ["--ready-file", str(ready_file), *(["--defect", defect] if defect else [])]
        typer.echo(
            "Starting the shop: PostgreSQL, Valkey, payments, identity, the proxy and the shop itself.",
            err=True,
        )
        shop = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=_end_with_parent)
        try:
            ready = _wait_until_ready(shop, ready_file)
            typer.echo(f"The shop answers at {ready['shop']}. The run takes about a minute.", err=True)
            run = locust_command(
                shipped_plan("demo.yaml"), results, environ := {**os.environ, **ready["env"]}
            )
            return subprocess.run(run, env=environ, check=False).returncode
        finally:
            shop.terminate()
            shop.wait()


def _end_with_parent() -> None:
    """Linux asks the shop to end when this process dies, even of kill -9. Elsewhere it is left running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_ready(shop: subprocess.Popen[bytes], ready_file: Path) -> dict[str, dict[str, str]]:
    give_up = time.monotonic() + START_LIMIT_S
    while not ready_file.exists():
        if shop.poll() is not None:
            raise ChaosError("the shop did not start; what it said is above")
        if time.monotonic() > give_up:
            raise ChaosError(f"the shop did not answer within {START_LIMIT_S:.0f} s")
        time.sleep(0.1)
    ready: dict[str, dict[str, str]] = json.loads(ready_file.read_text())
    return ready


def shipped_plan(name: str) -> Path:
    """A plan of `locustfiles/plans`: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parent.parent
    for folder in (package / "locustfiles", package.parent / "locustfiles"):
        if (folder / "plans" / name).exists():
            return folder / "plans" / name
    raise ChaosError(f"the plan {name} is not part of this installation")
