"""`chaos-locust clock FILE -- COMMAND...`: start a process whose clock faults may set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.errors import PreflightFailed, Problem

CONTEXT_SETTINGS = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
}


def clock(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What the clock is set by; made if it is not there.")],
) -> None:
    """Run COMMAND with a clock of its own, which a target's `clock: FILE` lets faults set (libfaketime)."""
    from chaos_locust.backends.clock import file as clock_file

    command = context.args[1:] if context.args[:1] == ["--"] else context.args
    if not command:
        example = "such as chaos-locust clock FILE -- python app.py"
        raise PreflightFailed([Problem("COMMAND", f"is missing; {example}")])
    path = file.resolve()
    environ = clock_file.environment(path, os.environ)
    clock_file.make(path)
    try:
        os.execvpe(command[0], command, environ)
    except OSError as error:
        raise PreflightFailed([Problem("COMMAND", f"{command[0]}: {error.strerror}")]) from None
