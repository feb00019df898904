"""The checkers that can judge the history of a load run, and their options as a plan has them.

An option is a field of the checker's class, without the unit in its name: `stale_s` is `stale: 2s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from chaos_locust.data import did_you_mean
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.units import parse_duration, parse_share
from invariants.checkers.base import Checker
from invariants.checkers.catalogue import checker_named

SHARES = ("limit", "quantile")
"""Options that are a share of one, such as 99%."""


@dataclass(frozen=True, slots=True)
class Judges:
    """What a checker looks at in a load run.

    kinds: of operations, empty: all. measures: it judges the target's speed or errors, which may be the load
    generator's own trouble.
    """

    kinds: tuple[str, ...] = ()
    measures: bool = False


CHECKERS: Mapping[str, Judges] = {
    "bank": Judges(("read", "transfer")),
    "cache-consistency": Judges(("read", "write")),
    "circuit-breaker": Judges(("call",)),
    "counter": Judges(("add", "take", "read")),
    "delivery": Judges(("enqueue", "dequeue", "drain")),
    "error-rate-limited": Judges(measures=True),
    "latency-bounded": Judges(measures=True),
    "linearizable": Judges(("read", "write", "cas", "add")),
    "list-append": Judges(("txn",)),
    "publication": Judges(("publish", "look")),
    "run-once": Judges(("request", "executions")),
    "session-guarantees": Judges(("read", "write")),
    "set-full": Judges(("add", "read")),
    "shared-map": Judges(("put", "delete", "get", "iterate")),
    "total-queue": Judges(("enqueue", "dequeue", "drain")),
    "transaction-atomicity": Judges(("transaction", "read")),
}
"""Those that stay right when intervals are widened by what the clocks may be off, and whose operations users
themselves can write down."""


def made(name: str, options: Mapping[str, Any]) -> Checker:
    """The checker of that name with options as they are typed. Raises InvalidPlan with every problem."""
    if name not in CHECKERS:
        text = f"'{name}' is no checker of load runs; {did_you_mean(name.replace('_', '-'), CHECKERS)}"
        raise InvalidPlan([Problem("", text)])
    cls = _class_of(name)
    hints, problems, values = get_type_hints(cls), list[Problem](), dict[str, Any]()
    known = {_key(each.name): each for each in fields(cls) if each.init}
    for key, value in options.items():
        if key not in known:
            text = f"{name} has no option '{key}'; {did_you_mean(key, known) if known else 'it has none'}"
            problems.append(Problem("", text))
            continue
        name_of = known[key].name
        try:
            values[name_of] = _value(name_of, hints[name_of], value)
        except ValueError as error:
            problems.append(Problem(key, str(error)))
    for key, field in known.items():
        if key not in options and field.default is MISSING and field.default_factory is MISSING:
            problems.append(Problem(key, f"is missing; {name} needs it"))
    if problems:
        raise InvalidPlan(problems)
    checker: Checker = cls(**values)
    return checker


def _class_of(name: str) -> type[Any]:
    try:
        return checker_named(name)
    except ModuleNotFoundError as error:
        text = f"{name} needs {error.name}, which is not installed; pip install 'chaos-locust[invariants]'"
        raise InvalidPlan([Problem("", text)]) from None


def _key(field: str) -> str:
    return field.removesuffix("_s")


def _value(field: str, kind: Any, value: Any) -> Any:
    """Raises ValueError that says what is allowed."""
    if field.endswith("_s"):
        return parse_duration(value)
    if field in SHARES:
        return parse_share(value)
    if get_origin(kind) is Literal:
        return _one_of(value, get_args(kind))
    if kind is bool:
        return _one_of(value, (True, False))
    if get_origin(kind) in (tuple, frozenset):
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"'{value}' is not allowed; give a list of names")
        return get_origin(kind)(texts)
    if kind in (int, float):
        allowed = int if kind is int else int | float
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise ValueError(
                f"'{value}' is not allowed; give {'a whole number' if kind is int else 'a number'}"
            )
    return value


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if not any(value is each or (isinstance(each, str) and value == each) for each in allowed):
        shown = ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in allowed)
        raise ValueError(f"'{value}' is not allowed; allowed: {shown}")
    return value
