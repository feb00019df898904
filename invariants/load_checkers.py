"""The checkers that can judge the history of a load run, and their options as a plan has them.

An option is a field of the checker's class, without the unit in its name: `stale_s` is `stale: 2s`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from chaos_locust.data import did_you_mean
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.units import format_duration, format_share, parse_duration, parse_share
from invariants.checkers.base import Checker
from invariants.checkers.catalogue import OWN, UnknownChecker, checker_named, is_own
from invariants.options import defaults_of

SHARES = ("limit", "quantile")
"""Options of ours that are a share of one, such as 99%."""

ALL_IF_EMPTY = "kinds"


@dataclass(frozen=True, slots=True)
class Judges:
    """What a checker looks at in a load run.

    statement: what must hold. kinds: of operations, empty: all. measures: it judges the target's speed or
    errors, which may be the load generator's own trouble. without: options that need what no user can tell.
    """

    statement: str
    kinds: tuple[str, ...] = ()
    measures: bool = False
    without: tuple[str, ...] = ()


CHECKERS: Mapping[str, Judges] = {
    "bank": Judges("whatever is transferred, the balances add up to the total", ("read", "transfer")),
    "cache-consistency": Judges(
        "a read that began after a write was acknowledged does not give an older value", ("read", "write")
    ),
    "circuit-breaker": Judges(
        "the breaker lets a call through within timeout and grace after its dependency is healthy", ("call",)
    ),
    "conditional-updates": Judges(
        "an update is refused when another came after the read that it is based on", ("read", "update")
    ),
    "counter": Judges("a counter is what was added to it less what was taken", ("add", "take", "read")),
    "delivery": Judges(
        "each message comes once, and after those sent before it", ("enqueue", "dequeue", "drain")
    ),
    "error-rate-limited": Judges("no greater share than the limit fails or has no answer", measures=True),
    "exclusion": Judges(
        "no more than the capacity hold a lock at a time, and none is refused it while it is free",
        ("acquire", "acquire_shared", "release"),
        without=("most_overtaken",),
    ),
    "latency-bounded": Judges("the quantile of the times is within the limit", measures=True),
    "linearizable": Judges(
        "each operation on a key takes effect at one instant between its start and its answer",
        ("read", "write", "cas", "add"),
    ),
    "list-append": Judges("transactions give what they would give one after another", ("txn",)),
    "publication": Judges("who sees the flag sees the data that belong to it", ("publish", "look")),
    "run-once": Judges("each task that was accepted is executed once", ("request", "executions")),
    "session-guarantees": Judges(
        "each session reads its own writes, and never goes back behind what it has read", ("read", "write")
    ),
    "set-full": Judges("an acknowledged element is in every read that starts later", ("add", "read")),
    "shared-map": Judges(
        "each entry is what was last put there, in iterations too", ("put", "delete", "get", "iterate")
    ),
    "single-flight": Judges(
        "the origin is not asked for a key while the answer is under way or good", ("get", "origin_calls")
    ),
    "total-queue": Judges(
        "each accepted message comes out exactly once, and nothing else does", ("enqueue", "dequeue", "drain")
    ),
    "transaction-atomicity": Judges(
        "readers see all of a transaction or nothing of it", ("transaction", "read")
    ),
}
"""Those that stay right when intervals are widened by what the clocks may be off, and whose operations users
themselves can write down."""


def judges(name: str) -> Judges:
    """name: as `made` takes it. One that is not ours looks at all operations; its class says what for."""
    return CHECKERS[name] if not is_own(name) else Judges(_first_sentence(_class_of(name)))


def made(name: str, options: Mapping[str, Any]) -> Checker:
    """The checker of that name, or that `module:Class`, with options as they are typed. Raises InvalidPlan
    with every problem."""
    if name not in CHECKERS and not is_own(name):
        hint = did_you_mean(name.replace("_", "-"), [*CHECKERS, OWN])
        raise InvalidPlan([Problem("", f"'{name}' is no checker of load runs; {hint}")])
    cls = _class_of(name)
    problems, values = list[Problem](), dict[str, Any]()
    kinds = _kinds(name, cls)
    defaults = _defaults(name, cls)
    known = {_key(option): option for option in defaults}
    for key, value in options.items():
        if key not in known:
            text = f"{name} has no option '{key}'; {did_you_mean(key, known) if known else 'it has none'}"
            problems.append(Problem("", text))
            continue
        try:
            values[known[key]] = _value(known[key], kinds[known[key]], value, is_own(name))
        except ValueError as error:
            problems.append(Problem(key, str(error)))
    for option, default in defaults.items():
        if default is MISSING and _key(option) not in options:
            problems.append(Problem(_key(option), f"is missing; {name} needs it"))
    if problems:
        raise InvalidPlan(problems)
    try:
        checker: Checker = cls(**values)
    except (TypeError, ValueError) as error:  # of somebody's own: it looks at its options itself
        raise InvalidPlan([Problem("", f"{name} cannot be made: {error}")]) from None
    return checker


def shown_options(name: str, checker: Checker) -> dict[str, str]:
    """All options of it as a plan has them, those too that were not given."""
    return {
        _key(option): _shown(option, getattr(checker, option), is_own(name))
        for option in _defaults(name, type(checker))
    }


def _class_of(name: str) -> type[Any]:
    """Raises InvalidPlan."""
    try:
        return checker_named(name)
    except ModuleNotFoundError as error:
        text = f"{name} needs {error.name}, which is not installed; pip install 'chaos-locust[invariants]'"
    except UnknownChecker as error:
        text = str(error)
    raise InvalidPlan([Problem("", text)])


def _defaults(name: str, cls: type[Any]) -> dict[str, Any]:
    """Its options, as `defaults_of` has them, but for those that a load run does not have."""
    without = () if is_own(name) else CHECKERS[name].without
    return {option: default for option, default in defaults_of(cls).items() if option not in without}


def _kinds(name: str, cls: type[Any]) -> dict[str, Any]:
    """The types of its options. Raises InvalidPlan."""
    try:
        return get_type_hints(cls)
    except Exception as error:  # a name that only a type checker imports
        text = f"{name} cannot be made: the types of its options cannot be read: {error}"
        raise InvalidPlan([Problem("", text)]) from None


def _first_sentence(cls: type[Any]) -> str:
    text = " ".join((cls.__doc__ or "").split())
    generated = is_dataclass(cls) and text.startswith(f"{cls.__name__}(")
    return "" if generated else text.partition(". ")[0].removesuffix(".")


def _key(field: str) -> str:
    return field.removesuffix("_s")


def _value(field: str, kind: Any, value: Any, own: bool) -> Any:
    """Raises ValueError that says what is allowed."""
    if field.endswith("_s"):
        return parse_duration(value)
    if field in SHARES and not own:
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
    if kind is str and not isinstance(value, str):
        raise ValueError(f"'{value}' is not allowed; give text")
    return value


def _shown(field: str, value: Any, own: bool) -> str:
    if field.endswith("_s") and isinstance(value, int | float):
        return format_duration(value)
    if field in SHARES and not own:
        return format_share(value)
    if isinstance(value, tuple | frozenset):
        return ", ".join(sorted(map(str, value))) or ("all" if field == ALL_IF_EMPTY else "none")
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if not any(value is each or (isinstance(each, str) and value == each) for each in allowed):
        shown = ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in allowed)
        raise ValueError(f"'{value}' is not allowed; allowed: {shown}")
    return value
