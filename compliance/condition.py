"""Conditions on what was measured, as text: `tls_min >= params.tls_min and chain_is_valid == true`.

NAME OPERATOR OPERAND, joined by `and`. NAME is a field of the measurement; OPERAND a JSON literal, or a
parameter of the profile, `params.NAME`. A closed set of operators, and nothing is evaluated as code.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: _same(left, right),
    "!=": lambda left, right: not _same(left, right),
    **_ORDERED,
    "in": lambda left, right: left in right,
    "contains": lambda left, right: right in left,
    "within": lambda left, right: set(left) <= set(right),
}
_TERM = re.compile(r"(?P<field>\w+) +(?P<operator>==|!=|<=|>=|<|>|in|contains|within) +(?P<operand>\S.*)")
_PARAMETER = re.compile(r"params\.(?P<name>\w+)")


class NotKnown(Exception):
    """A field was not measured, or is null: the condition neither holds nor fails."""


@dataclass(frozen=True, slots=True)
class Term:
    """parameter: the operand's name in the profile; None: `literal` is it."""

    field: str
    operator: str
    parameter: str | None
    literal: Any

    def operand(self, parameters: Mapping[str, Any]) -> Any:
        return self.literal if self.parameter is None else parameters[self.parameter]

    def holds(self, value: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
        """Raises NotKnown."""
        found = value.get(self.field)
        wanted = self.operand(parameters)
        if found is None:
            raise NotKnown(f"{self.field} was not measured")
        if self.operator in _ORDERED and not (_is_number(found) and _is_number(wanted)):
            raise NotKnown(f"{self.field} = {found!r} is no number to be compared with {wanted!r}")
        return bool(_OPERATORS[self.operator](found, wanted))


@dataclass(frozen=True, slots=True)
class Condition:
    """All of the terms must hold."""

    text: str
    terms: tuple[Term, ...]

    @staticmethod
    def parse(text: str) -> Condition:
        """Raises ValueError, which says what is allowed."""
        return Condition(text, tuple(_term(part.strip()) for part in text.split(" and ")))

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(term.field for term in self.terms)

    @property
    def parameters(self) -> frozenset[str]:
        return frozenset(term.parameter for term in self.terms if term.parameter is not None)

    def failing(self, value: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[Term, ...]:
        """The terms that do not hold; empty: the condition holds. One that fails is enough to know, whatever
        else was not measured. Raises NotKnown."""
        failing, not_known = [], None
        for term in self.terms:
            try:
                if not term.holds(value, parameters):
                    failing.append(term)
            except NotKnown as error:
                not_known = error
        if not_known is not None and not failing:
            raise not_known
        return tuple(failing)


def _term(text: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no condition; allowed: FIELD {'|'.join(_OPERATORS)} JSON or params.NAME"
        )
    operand = found["operand"]
    if named := _PARAMETER.fullmatch(operand):
        return Term(found["field"], found["operator"], named["name"], None)
    try:
        return Term(found["field"], found["operator"], None, json.loads(operand))
    except ValueError:
        raise ValueError(f"{operand!r} in {text!r} is neither JSON nor params.NAME") from None


def _same(left: Any, right: Any) -> bool:
    """As in JSON: 0 is not false."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
