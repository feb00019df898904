"""The same steps by many connections at the same time."""

from __future__ import annotations

from typing import Any

from invariants import Step
from invariants.execute import execute
from invariants.history import History
from invariants.machine import Machine

LIMIT_S = 120.0


def at_once(machine: Machine, *steps: tuple[str, dict[str, Any]], lanes: int) -> History:
    """Every lane does all of the steps, all lanes at the same time."""
    each = [(rule, given, lane) for lane in range(lanes) for rule, given in steps]
    drawn = [Step(number, rule, given, lane) for number, (rule, given, lane) in enumerate(each)]
    return execute(machine, drawn, None, LIMIT_S).history
