"""`chaos-locust compliance list` and `explain`: which controls there are, and what tells of them."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from chaos_locust.errors import ChaosError

if TYPE_CHECKING:
    from compliance.catalogue import Framework
    from compliance.checks import Binding

WIDTH = 100


def list_(
    framework: Annotated[str | None, typer.Option(help="Only its controls, each with its checks.")] = None,
) -> None:
    """List the frameworks with their profiles, or the controls of one and which checks tell of them."""
    from compliance.catalogue import FRAMEWORKS, load
    from compliance.checks import bindings

    if framework is None:
        for name in FRAMEWORKS:
            typer.echo(_overview(load(name), bindings(name)))
        return
    loaded, bound = load(framework), bindings(framework)
    group = ""
    for control in loaded.controls.values():
        if control.group != group:
            group = control.group
            typer.echo(f"\n{group}")
        told = ", ".join(f"{each.check}{_part(each)}" for each in bound.get(control.id, ()))
        kind = f" ({control.obligation})" if control.obligation else ""
        late = f" (superseded by {control.superseded_by})" if control.superseded_by else ""
        typer.echo(f"  {control.id:<16} {control.title}{kind}{late}: {told or 'attestation'}")
    typer.echo("\n~ sees only a part of what the control asks for; the rest needs an attestation")


def explain(
    control: Annotated[str, typer.Argument(help="A control's id, as `list --framework` names it.")],
    framework: Annotated[str | None, typer.Option(help="Only as it is in this one.")] = None,
) -> None:
    """Explain a control: where it applies, what is measured, when that fails and what is then to be done."""
    from compliance.catalogue import FRAMEWORKS, load

    loaded = [load(name) for name in ([framework] if framework else FRAMEWORKS)]
    found = [each for each in loaded if control in each.controls]
    if not found and framework:
        loaded[0].control(control)
    if not found:
        known = {each for one in loaded for each in one.controls}
        near = difflib.get_close_matches(control.upper(), known, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ChaosError(f"no framework has a control {control!r}{hint}")
    typer.echo("\n\n".join(_explained(each, control) for each in found))


def _overview(framework: Framework, bound: Mapping[str, object]) -> str:
    lines = [f"{framework.id}: {framework.title}, {framework.version}"]
    for profile in framework.profiles.values():
        measured = sum(each in bound for each in profile.controls)
        default = ", the default" if profile.name == framework.default_profile else ""
        counts = f"{len(profile.controls)} controls, checks tell of {measured}"
        lines.append(f"  --profile {profile.name:<14} {profile.title}: {counts}{default}")
    return "\n".join(lines)


def _explained(framework: Framework, control_id: str) -> str:
    from compliance.checks import bindings, checks
    from compliance.measures.registry import measures

    control = framework.controls[control_id]
    inside = [each for each in framework.profiles.values() if control_id in each.controls]
    lines = [
        f"{framework.id} {control.id}: {control.title}",
        f"  group: {control.group}{f', {control.obligation}' if control.obligation else ''}",
        f"  profiles: {', '.join(each.name for each in inside) or 'none'}",
    ]
    bound = bindings(framework.id).get(control_id, ())
    if not bound:
        lines.append("  checks: none; nothing that can be measured tells of it, it needs an attestation")
    for binding in bound:
        check = checks()[binding.check]
        measure = measures()[check.measure]
        lines += [
            "",
            f"  {check.id}: sees {'all' if binding.coverage == 'full' else 'a part'} of what it asks for",
            *_text(f"measures: {measure.says} ({measure.side_effect})"),
            *_text(f"needs of the target: {', '.join(measure.needs) or 'nothing'}"),
            *_text(f"holds when: {check.condition.text}"),
        ]
        for profile in inside:
            for name in sorted(check.condition.parameters & set(profile.parameters)):
                value, source = profile.parameters[name], profile.parameter_sources[name]
                lines += _text(f"params.{name} of {profile.name}: {value} ({source.rstrip('.')})")
        lines += _text(f"else: [{check.severity}, {check.team}] {check.violation}")
        lines += [line for step in check.remediation for line in _text(f"- {step}")]
    return "\n".join(lines)


def _part(binding: Binding) -> str:
    return "" if binding.coverage == "full" else "~"


def _text(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6)
