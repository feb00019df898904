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
from chaos_locust.cli.compliance_mail import Email, Smtp, check_mail, mail_reports
from chaos_locust.cli.compliance_report import report
from chaos_locust.cli.compliance_schedule import schedule
from chaos_locust.cli.compliance_trail import trail
from chaos_locust.errors import ChaosError
from chaos_locust.units import parse_share

if TYPE_CHECKING:
    from compliance.catalogue import Framework
    from compliance.gate import Gate
    from compliance.history import History
    from compliance.outputs.report import Report
    from compliance.result import AuditResult
    from compliance.target import Target

app = typer.Typer(
    help="Audit a live target against the controls of a framework: evidence, no certificate.",
    no_args_is_help=True,
)
app.command("list")(list_)
app.command("explain")(explain)
app.command("attest")(attest)
app.command("waive")(waive)
app.command("report")(report)
app.command("schedule")(schedule)
app.add_typer(trail, name="trail")


@app.command()
def audit(
    framework: Annotated[str | None, typer.Option(help="fisma, fedramp, soc2, hipaa or pcidss.")] = None,
    all_frameworks: Annotated[
        bool, typer.Option("--all-frameworks", help="All five; each measure is taken once for all of them.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(help="What of it applies, as `list` names them; without: what the target's says."),
    ] = None,
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print audit.json; of all frameworks, a list of them.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the reports and the trail.")] = Path("results"),
    email: Email = None,
    smtp: Smtp = None,
) -> None:
    """Measure the target, and say which controls that shows to be met, violated, or not assessed.

    The exit code is 0, 3 for violations that were asked for, 4 when too much could not be assessed; of
    several frameworks the worst one's: 3, then 4.
    """
    from chaos_locust.reports.folder import new_folder
    from compliance.auditor import Auditor
    from compliance.catalogue import FRAMEWORKS, load
    from compliance.decisions import read_decisions
    from compliance.gate import worst
    from compliance.history import history_for, read_audits
    from compliance.outputs import console, summary
    from compliance.outputs.report import TRAIL
    from compliance.outputs.write import write_all
    from compliance.target import load_target
    from compliance.trail import check_end

    check_mail(email, smtp)
    gate = _gate(fail_if_violations, fail_on, fail_on_new, min_assessed)
    if (framework is None) != all_frameworks:
        raise ChaosError("one of --framework and --all-frameworks is needed, and not both")
    if all_frameworks and profile is not None:
        raise ChaosError("--profile goes with --framework; for all, the target's description has `profiles`")
    loaded = [load(name) for name in ([framework] if framework else FRAMEWORKS)]
    described = load_target(target or _running_demo(), os.environ)
    applying = [(each, each.profile(_profile(each, profile, described))) for each in loaded]
    decided = [] if decisions is None else read_decisions(decisions, known_controls)
    earlier = read_audits(output)
    check_end(output / TRAIL)
    folders = [new_folder(output, f"_{each.id}" if all_frameworks else "") for each in loaded]
    progress = console.Progress(sys.stderr)
    try:
        auditor = Auditor(described, allow_disruptive, progress=progress.show)
        if all_frameworks:
            auditor.take(applying)
        reports = [
            _report(auditor.audit(*each, decided, history.open), folder, gate, history)
            for each, folder in zip(applying, folders, strict=True)
            for history in [history_for(earlier, described.name, each[0].id, each[1].name)]
        ]
    finally:
        progress.stop()
    written = [write_all(folder, report) for folder, report in zip(folders, reports, strict=True)]
    told = [(report, folder) for (report, _), folder in zip(written, folders, strict=True)]
    if as_json:
        documents = [document for _, document in written]
        shown = documents if all_frameworks else documents[0]
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif all_frameworks:
        typer.echo(summary.render(told, sys.stdout.isatty()))
    else:
        typer.echo(console.render(*told[0], sys.stdout.isatty()))
    mail_reports(told, email, smtp)
    raise typer.Exit(worst(report.gated.exit_code for report, _ in told))


def _report(result: AuditResult, folder: Path, gate: Gate, history: History) -> Report:
    from compliance.gate import gated
    from compliance.outputs.report import Report, without_secrets

    clean = without_secrets(result)
    command = shlex.join(["chaos-locust", *sys.argv[1:]])
    return Report(
        clean, folder.name, command, gated(gate, clean, history.new(clean)), history.difference(clean)
    )


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


def _profile(framework: Framework, profile: str | None, target: Target) -> str | None:
    profile = profile or target.profile(framework.id)
    if profile is not None or framework.default_profile is not None:
        return profile
    why = "the impact level of the system by FIPS 199" if framework.id == "fisma" else "what applies"
    allowed = ", ".join(f"{name} ({each.title})" for name, each in framework.profiles.items())
    raise ChaosError(
        f"--profile: {framework.id} needs {why}, which its owner says, here or as profiles.{framework.id} of "
        f"the target's description; allowed: {allowed}"
    )


def _running_demo() -> Path:
    from chaos_locust.demo.settings import Ports, state_folder

    path = state_folder(Ports().shop) / "target.yaml"
    if not path.exists():
        raise ChaosError(
            "--target: no demo is running, and no other target is named; "
            "start one (`chaos-locust demo serve`), or give the target's description as target.yaml"
        )
    return path
