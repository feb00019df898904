"""`chaos-locust compliance attest` and `waive`: what people decide, appended to a file of decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

Controls = Annotated[list[str], typer.Argument(help="Controls, as `list --framework` names them.")]
Framework = Annotated[str, typer.Option(help="fisma, fedramp, soc2, hipaa or pcidss.")]
Statement = Annotated[str, typer.Option(help="What is stated, in a sentence.")]
Owner = Annotated[str, typer.Option(help="Who states it.")]
Approver = Annotated[str, typer.Option(help="Who approves it: somebody else.")]
Expires = Annotated[str, typer.Option(help="The last day on which it is good, such as 2030-12-31.")]
Evidence = Annotated[Path | None, typer.Option(help="A file that shows it; its SHA-256 is taken.")]
Decisions = Annotated[Path, typer.Option(help="The file it is appended to.")]
Output = Annotated[Path, typer.Option(help="The folder of the audits, whose trail tells of it.")]


def attest(
    controls: Controls,
    framework: Framework,
    statement: Statement,
    owner: Owner,
    approver: Approver,
    expires: Expires,
    evidence: Evidence = None,
    decisions: Decisions = Path("decisions.yaml"),
    output: Output = Path("results"),
) -> None:
    """State that controls are met which no measure can judge. It never outweighs a check that fails."""
    texts = (framework, statement, owner, approver, expires)
    _add("attestation", controls, texts, evidence, decisions, output)


def waive(
    controls: Controls,
    framework: Framework,
    statement: Statement,
    owner: Owner,
    approver: Approver,
    expires: Expires,
    evidence: Evidence = None,
    decisions: Decisions = Path("decisions.yaml"),
    output: Output = Path("results"),
) -> None:
    """Accept the violations of controls until a day: they stay violations, but fail no gate."""
    texts = (framework, statement, owner, approver, expires)
    _add("waiver", controls, texts, evidence, decisions, output)


def known_controls(framework: str) -> frozenset[str]:
    from compliance.catalogue import load

    return frozenset(load(framework).controls)


def _add(
    kind: Literal["attestation", "waiver"],
    controls: list[str],
    texts: tuple[str, str, str, str, str],
    evidence: Path | None,
    decisions: Path,
    output: Path,
) -> None:
    from chaos_locust.reports.text import plain
    from compliance.catalogue import load
    from compliance.measurement import digest
    from compliance.outputs.decided import Entry, add
    from compliance.outputs.report import TRAIL
    from compliance.trail import append, check_end

    framework, statement, owner, approver, expires = texts
    for control in controls:
        load(framework).control(control)
    check_end(output / TRAIL)
    now = datetime.now(UTC)
    entry = Entry(
        "attestations" if kind == "attestation" else "waivers",
        framework,
        tuple(controls),
        statement,
        owner,
        approver,
        now.date().isoformat(),
        expires,
        evidence,
    )
    data = add(decisions, entry, known_controls)
    summary = plain(f"{framework} {', '.join(controls)}: {statement} ({owner}, approved by {approver})")
    written = append(output / TRAIL, kind, digest(data), summary, now)
    typer.echo(f"{kind} of {', '.join(controls)} appended to {decisions}, good until {expires}")
    typer.echo(f"entry {written.number} of {output / TRAIL}, hash {written.hash}")
