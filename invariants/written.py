"""A test file that runs the shortest sequence, fails until the target is mended, and passes then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos_locust.errors import ChaosError
from invariants.broken import Broken
from invariants.execute import Faults
from invariants.faults import PlanFaults
from invariants.machine import Machine
from invariants.sequence import Step
from invariants.shrink import tries_needed


class NotWritable(ChaosError):
    """A test file cannot name the target, the machine or the faults."""


def written(
    machine: type[Machine], target: Any, options: Mapping[str, Any], faults: Faults | None, broken: Broken
) -> str:
    """The file's text. Raises NotWritable."""
    imports = {"from invariants import StateInvariant, Step", _import(type(target)), _import(machine)}
    used = sorted({step.fault for step in broken.steps if step.fault})
    tries = tries_needed(broken.failures, broken.tries) if broken.tries else 1
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    lines = [
        f'"""{_in_docstring(broken.violation.title)}',
        "",
        f"Failed in {broken.failures} of {broken.tries} runs when it was found.",
        '"""',
        "",
        *sorted(imports),
        "",
        f"TARGET = {target!r}",
        "STEPS = [",
        *(f"    {_step(step)}," for step in broken.steps),
        "]",
        "",
        "",
        f"def test_{machine.name}():",
        f"    invariant = StateInvariant.custom({machine.__name__}, TARGET{given})",
        *([f"    invariant = invariant.with_faults({_plan(faults, used)!r})"] if used else []),
        f"    replay = invariant.replay(STEPS, tries={tries}, repeat={broken.repeat})",
        "    assert replay.failed == 0, str(replay)",
        "",
    ]
    return "\n".join(lines)


def _in_docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _import(thing: type) -> str:
    if thing.__module__ == "__main__" or "<locals>" in thing.__qualname__:
        raise NotWritable(f"{thing.__qualname__} has to stand in a module that a test can import")
    return f"from {thing.__module__} import {thing.__qualname__}"


def _step(step: Step) -> str:
    extra = f", lane={step.lane}" if step.lane else ""
    extra += f", fault={step.fault!r}" if step.fault else ""
    return f"Step({step.number}, {step.rule!r}, {dict(step.arguments)!r}{extra})"


def _plan(faults: Faults | None, used: Sequence[str]) -> str | dict[str, Any]:
    """As `with_faults` takes it."""
    source = faults.source if isinstance(faults, PlanFaults) else None
    if source is None:
        raise NotWritable(f"the faults {', '.join(used)} have to come from a plan")
    if isinstance(source, Path):
        return str(source)
    return {**source, "faults": [fault for fault in source["faults"] if fault["name"] in used]}
