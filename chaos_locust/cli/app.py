"""Puts the commands together and turns our own errors into one clear line and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from chaos_locust import __version__
from chaos_locust.cli import (
    abort,
    check,
    cleanup,
    clock,
    compliance,
    demo,
    experiment,
    faults,
    invariants,
    load,
    proxy,
    report,
    run_plan,
)
from chaos_locust.errors import ChaosError
from chaos_locust.judge.verdict import EXIT_USAGE

app = typer.Typer(
    name="chaos-locust",
    help="Does it hold under load while things break?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run_plan.run)
app.command("load")(load.load)
app.command("check")(check.check)
app.command("faults")(faults.faults)
app.command("experiment")(experiment.experiment)
app.command("cleanup")(cleanup.cleanup)
app.command("abort")(abort.abort)
app.command("report")(report.report)
app.command("proxy", context_settings=proxy.CONTEXT_SETTINGS, add_help_option=False)(proxy.proxy)
app.command("clock", context_settings=clock.CONTEXT_SETTINGS)(clock.clock)
app.add_typer(demo.app, name="demo")
app.add_typer(invariants.app, name="invariants")
app.add_typer(compliance.app, name="compliance")


@app.callback(invoke_without_command=True)
def version(
    version: bool = typer.Option(False, "--version", help="Print the version and end.", is_eager=True),
) -> None:
    """Does it hold under load while things break?"""
    if version:
        typer.echo(f"chaos-locust {__version__}")
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Carries out one command; returns its exit code."""
    try:
        app(list(arguments), prog_name="chaos-locust")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except ChaosError as error:
        for entry in error.entries:
            print(f"chaos-locust: {entry}", file=sys.stderr)
        return EXIT_USAGE
    return 0
