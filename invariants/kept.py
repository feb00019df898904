"""Sequences that failed once, kept in a folder to be run first the next time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from chaos_locust.errors import ChaosError
from invariants.machine import Machine, Rule
from invariants.sequence import Step


class UnreadableKept(ChaosError):
    """A file of kept sequences that is not one; the message names it and the line."""


class Kept:
    """One file for each invariant, `<name>.jsonl`, a sequence in each line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, machine: type[Machine], faults: Sequence[str]) -> list[tuple[Step, ...]]:
        """Those whose rules the machine still has as they were, and whose faults are among these. Raises
        UnreadableKept."""
        path = self._path(machine)
        if not path.exists():
            return []
        sequences = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                sequences.append(tuple(Step.from_json(step) for step in json.loads(line)))
            except (ValueError, KeyError, TypeError):
                raise UnreadableKept(f"{path}, line {number}: no sequence of steps; take it away") from None
        return [steps for steps in sequences if all(_known(step, machine.rules(), faults) for step in steps)]

    def add(self, machine: type[Machine], sequences: Iterable[Sequence[Step]]) -> None:
        """Each once."""
        lines = [json.dumps([step.to_json() for step in steps]) for steps in sequences]
        path = self._path(machine)
        self._folder.mkdir(parents=True, exist_ok=True)
        known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        new = [line for line in lines if line not in known]
        with path.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in new)

    def _path(self, machine: type[Machine]) -> Path:
        return self._folder / f"{machine.name}.jsonl"


def _known(step: Step, rules: Mapping[str, Rule], faults: Sequence[str]) -> bool:
    if step.fault:
        return step.fault in faults
    return step.rule in rules and set(rules[step.rule].arguments) == set(step.arguments)
