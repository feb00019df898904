"""Stateful invariants: what must hold whatever is done to a system, also while things break.

    result = StateInvariant.queue_never_loses_messages(target).with_iterations(100).verify()

Histories and checkers need nothing but the standard library; machines need Hypothesis, from the extra
`invariants`. So these names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invariants.history import History, Operation
    from invariants.machine import Machine, NoAnswer, Refused, TargetDown, fresh, of_target, rule
    from invariants.result import Found, Replay, Result
    from invariants.sequence import Step
    from invariants.state_invariant import StateInvariant
    from invariants.targets.base import Target

_HOMES = {
    "Found": "result",
    "History": "history",
    "Machine": "machine",
    "NoAnswer": "machine",
    "Operation": "history",
    "Refused": "machine",
    "Replay": "result",
    "Result": "result",
    "StateInvariant": "state_invariant",
    "Step": "sequence",
    "Target": "targets.base",
    "TargetDown": "machine",
    "fresh": "machine",
    "of_target": "machine",
    "rule": "machine",
}

__all__ = [
    "Found",
    "History",
    "Machine",
    "NoAnswer",
    "Operation",
    "Refused",
    "Replay",
    "Result",
    "StateInvariant",
    "Step",
    "Target",
    "TargetDown",
    "fresh",
    "of_target",
    "rule",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'invariants' has no attribute '{name}'")
    return getattr(import_module(f"invariants.{_HOMES[name]}"), name)
