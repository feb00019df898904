"""`chaos-locust compliance`: what a live target shows of a framework's controls, as technical evidence."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos_locust.cli.compliance_controls import explain, list_
from chaos_locust.cli.compliance_decisions import attest, known_controls, waive
from chaos_locust.cli.compliance_mail import Email, Smtp, check_mail, mail_report
from chaos_locust.cli.compliance_schedule import schedule
from chaos_locust.cli.compliance_trail import trail
from chaos_locust.errors import ChaosError
from chaos_locust.units import parse_share

if TYPE_CHECKING:
    from compliance.catalogue import Framework
    from compliance.gate import Gate

app = typer.Typer(
    help="Audit a live target against the controls of a framework: evidence, no certificate.",
    no_args_is_help=True,
)
app.command("list")(list_)
app.command("explain")(explain)
app.command("attest")(attest)
app.command("waive")(waive)
app.command("schedule")(schedule)
app.add_typer(trail, name="trail")


@app.command()
def audit(
    framework: Annotated[str, typer.Option(help="fisma, fedramp, soc2, hipaa or pcidss.")],
    profile: Annotated[str | None, typer.Option(help="What of it applies, as `list` names them.")] = None,
    target: Annotated[
        Path | None, typer.Option(help="The target's description; without: the demo that is running.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(help="Attestations, exclusions, waivers and plans.")
    ] = None,
    allow_disruptive: Annotated[
        bool, typer.Option("--allow-disruptive", help="Also what may lock the canary account out.")
    ] = False,
    fail_if_violations: Annotated[
        bool, typer.Option("--fail-if-violations", help="Exit with 3 on any violation.")
    ] = False,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 3 on a violation of this severity or a graver one.")
    ] = None,
    fail_on_new: Annotated[
        bool, typer.Option("--fail-on-new", help="Exit with 3 on one that earlier audits did not find.")
    ] = False,
    min_assessed: Annotated[
        str | None, typer.Option(help="Exit with 4 when less was assessed, such as 60%.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the reports and the trail.")] = Path("results"),
    email: Email = None,
    smtp: Smtp = None,
) -> None:
    """Measure the target, and say which controls that shows to be met, violated, or not assessed.

    The exit code is 0, 3 for violations that were asked for, 4 when too much could not be assessed.
    """
    from chaos_locust.reports.folder import new_folder
    from compliance.auditor import Auditor
    from compliance.catalogue import load
    from compliance.decisions import read_decisions
    from compliance.gate import gated
    from compliance.history import read_history
    from compliance.outputs import console
    from compliance.outputs.report import TRAIL, Report, without_secrets
    from compliance.outputs.write import write_all
    from compliance.target import load_target
    from compliance.trail import check_end

    check_mail(email, smtp)
    gate = _gate(fail_if_violations, fail_on, fail_on_new, min_assessed)
    loaded = load(framework)
    chosen = loaded.profile(_profile(loaded, profile))
    described = load_target(target or _running_demo(), os.environ)
    decided = [] if decisions is None else read_decisions(decisions, known_controls)
    history = read_history(output, described.name, loaded.id, chosen.name)
    check_end(output / TRAIL)
    folder = new_folder(output)
    progress = console.Progress(sys.stderr)
    try:
        auditor = Auditor(described, allow_disruptive, progress=progress.show)
        result = without_secrets(auditor.audit(loaded, chosen, decided, history.open))
    finally:
        progress.stop()
    report = Report(
        result,
        folder.name,
        shlex.join(["chaos-locust", *sys.argv[1:]]),
        gated(gate, result, history.new(result)),
        history.difference(result),
    )
    report, document = write_all(folder, report)
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        typer.echo(console.render(report, folder, sys.stdout.isatty()))
    mail_report(report, folder, email, smtp)
    raise typer.Exit(report.gated.exit_code)


def _gate(any_violation: bool, severity: str | None, new: bool, min_assessed: str | None) -> Gate:
    from compliance.checks import SEVERITIES
    from compliance.gate import Gate

    known = next((each for each in SEVERITIES if each == severity), None)
    if severity is not None and known is None:
        raise ChaosError(f"--fail-on: {severity!r} is no severity; allowed: {', '.join(SEVERITIES)}")
    try:
        share = None if min_assessed is None else parse_share(min_assessed)
    except ValueError as error:
        raise ChaosError(f"--min-assessed: {error}") from None
    return Gate(any_violation, known, new, None if share is None else 100 * share)


def _profile(framework: Framework, profile: str | None) -> str | None:
    if profile is not None or framework.default_profile is not None:
        return profile
    why = "the impact level of the system by FIPS 199" if framework.id == "fisma" else "what applies"
    allowed = ", ".join(f"{name} ({each.title})" for name, each in framework.profiles.items())
    raise ChaosError(f"--profile: {framework.id} needs {why}, which its owner says; allowed: {allowed}")


def _running_demo() -> Path:
    from chaos_locust.demo.settings import Ports, state_folder

    path = state_folder(Ports().shop) / "target.yaml"
    if not path.exists():
        raise ChaosError(
            "--target: no demo is running, and no other target is named; "
            "start one (`chaos-locust demo serve`), or give the target's description as target.yaml"
        )
    return path
