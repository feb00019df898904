"""`chaos-locust invariants`: what must hold whatever is done to a system, also while things break."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.cli.isolation import isolation
from chaos_locust.errors import ChaosError, DirtyTarget, PreflightFailed, Problem
from chaos_locust.judge.verdict import EXIT_CODES, EXIT_DIRTY, Outcome
from chaos_locust.redact import redact_text
from chaos_locust.units import parse_duration

app = typer.Typer(
    help="What must hold whatever is done to a system: find the sequence that breaks it.",
    no_args_is_help=True,
)
app.command("isolation")(isolation)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="name=value, such as limit_s=100ms; may be repeated."),
]


@app.callback()
def needs_its_extra() -> None:
    """What must hold whatever is done to a system: find the sequence that breaks it."""
    try:
        import hypothesis  # noqa: F401
        import networkx  # noqa: F401
    except ImportError as error:
        raise PreflightFailed(
            [Problem("", f"invariants need an extra: pip install 'chaos-locust[invariants]' ({error})")]
        ) from error


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every invariant: what holds, why it matters, what the target has to offer, options."""
    from invariants.reports.listing import listing, render_listing

    entries = listing()
    typer.echo(json.dumps(entries, indent=2) if as_json else render_listing(entries))


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Invariants, as `list` names them.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every invariant that the target binds.")] = False,
    target: Annotated[
        str, typer.Option(help="shop, a URL (redis://, postgresql://), or module:attribute.")
    ] = "shop",
    iterations: Annotated[int | None, typer.Option(min=1, help="So many sequences.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="So many steps in each.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="So many connections at a time.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same sequences.")] = None,
    budget: Annotated[str | None, typer.Option(help="So long for each invariant, such as 60s.")] = None,
    chaos_plan: Annotated[Path | None, typer.Option(help="A plan, whose faults become steps.")] = None,
    option: Options = None,
    output: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Look for a sequence of steps that breaks an invariant, and make it short.

    The exit code is the verdict: 0 upheld, 3 deviated, 4 inconclusive, 5 the target was left dirty.
    """
    from chaos_locust.reports.folder import new_folder
    from invariants.apart import Job
    from invariants.reports import console
    from invariants.reports.json import suite_to_json
    from invariants.reports.write import write_all
    from invariants.suite import Suite, cases_of, draw_seed, run_all

    asked = Job(
        invariant="",
        target=target,
        seed=draw_seed() if seed is None else seed,
        faults=None if chaos_plan is None else str(chaos_plan),
        iterations=iterations,
        steps=steps,
        concurrency=concurrency,
        budget_s=None if budget is None else _duration("--budget", budget),
    )
    cases = cases_of(asked, names or [], all_, option or [])
    folder = new_folder(output)
    colour = sys.stdout.isatty()
    # A run that is ended is told and written down like one that is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started_epoch_s, started_s = time.time(), time.monotonic()
    with console.Progress(sys.stderr) as progress:
        done = run_all(
            cases,
            progress.show,
            lambda case: None if as_json else progress.print(console.render_case(case, colour)),
        )
    suite = Suite(
        run_id=folder.name,
        target=redact_text(target),
        seed=asked.seed,
        command=_command(asked.seed, seed),
        started_epoch_s=started_epoch_s,
        elapsed_s=time.monotonic() - started_s,
        cases=done,
    )
    write_all(folder, suite)
    if as_json:
        typer.echo(json.dumps(suite_to_json(suite), indent=2, default=str))
    else:
        typer.echo(console.render_end(suite, folder, colour))
    raise typer.Exit(suite.exit_code)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A NAME.violation.json of a run's folder.")],
    tries: Annotated[int, typer.Option(min=1, help="So many times.")] = 10,
    target: Annotated[str | None, typer.Option(help="In the place of the one in the file.")] = None,
) -> None:
    """Run the steps of a violation again: 3 when it is seen again, else 0; 4 when the target is down."""
    from invariants.machine import TargetDown
    from invariants.replayed import read_violation
    from invariants.replayed import replay as run_again
    from invariants.reports.console import Progress

    recorded = read_violation(file, target)
    name = recorded.job.invariant
    try:
        with Progress(sys.stderr) as progress:
            replayed = run_again(recorded, tries, lambda done, of: progress.show(name, done, of))
    except DirtyTarget as error:
        typer.echo(f"chaos-locust: the target is still dirty: {error}", err=True)
        raise typer.Exit(EXIT_DIRTY) from error
    except TargetDown as error:
        typer.echo(f"chaos-locust: inconclusive: {error}", err=True)
        raise typer.Exit(EXIT_CODES[Outcome.INCONCLUSIVE]) from error
    typer.echo(str(replayed))
    raise typer.Exit(EXIT_CODES[Outcome.DEVIATED if replayed.failed else Outcome.UPHELD])


@app.command()
def check(
    history: Annotated[Path, typer.Argument(help="JSON lines of operations, or Jepsen's history.edn.")],
    checker: Annotated[list[str] | None, typer.Option(help="What it is judged by; may be repeated.")] = None,
    option: Options = None,
    jepsen: Annotated[
        Path | None, typer.Option(help="Also write the history as Jepsen's, for Elle and Knossos.")
    ] = None,
    keyed: Annotated[
        bool, typer.Option("--keyed", help="Values of history.edn are [key value], as of `independent`.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a history that was recorded: 0 upheld, 3 deviated, 4 inconclusive."""
    from invariants.jepsen import write_jepsen
    from invariants.judged import checkers_of, exit_code, judge, read
    from invariants.reports.console import render_judged

    checkers = checkers_of(checker or [], option or [])
    operations = read(history, keyed)
    judged = judge(operations, checkers)
    if jepsen is not None:
        write_jepsen(jepsen, operations)
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in judged], indent=2, default=str))
    else:
        typer.echo("\n".join(render_judged(each, sys.stdout.isatty()) for each in judged))
    raise typer.Exit(exit_code(judged))


def _duration(name: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ChaosError(f"{name}: {error}") from None


def _command(seed: int, given: int | None) -> str:
    """What a person types to run it again."""
    arguments = [*sys.argv[1:], *(["--seed", str(seed)] if given is None else [])]
    return redact_text(shlex.join(["chaos-locust", *arguments]))
