"""Options of invariants and checkers as people type them: `limit_s=100ms`, `limit=1%`, `quantile=0.99`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from chaos_locust.errors import ChaosError
from chaos_locust.units import parse_duration, parse_share

_MACHINES_OWN = ("target", "scope", "acting")


class InvalidOption(ChaosError):
    """An option that is not known, or whose value is not allowed; the message names it."""


def defaults_of(made: type) -> dict[str, Any]:
    """The options of a machine or a checker with their defaults; MISSING: it has none."""
    found: dict[str, Any] = {}
    for each in fields(made) if is_dataclass(made) else ():
        if each.name not in _MACHINES_OWN and each.init:
            given = each.default_factory() if each.default_factory is not MISSING else each.default
            found[each.name] = given
    return found


def parse_options(texts: Iterable[str], made: Iterable[type]) -> list[dict[str, Any]]:
    """`name=value` for those of `made` that have an option of that name. Raises InvalidOption."""
    kinds = list(made)
    parsed: list[dict[str, Any]] = [{} for _ in kinds]
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidOption(f"--option {text}: give name=value, such as limit_s=100ms")
        # With a unit in the value the name needs none, as in plans: `limit=100ms` is `limit_s=0.1`.
        allowed = {name, f"{name}_s"} if value[-1:].isalpha() else {name}
        having = [(place, kind) for place, kind in enumerate(kinds) if allowed & set(defaults_of(kind))]
        if not having:
            known = sorted({each for kind in kinds for each in defaults_of(kind)})
            raise InvalidOption(f"--option {name} is not known; there are {', '.join(known) or 'none'}")
        for place, kind in having:
            field = name if name in defaults_of(kind) else f"{name}_s"
            parsed[place][field] = _parse(field, value, get_type_hints(kind)[field], text)
    return parsed


def options_to_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON can say them: sets as sorted lists."""
    data: dict[str, Any] = json.loads(json.dumps(dict(options), default=_as_text))
    return data


def options_from_json(options: Mapping[str, Any], made: type) -> dict[str, Any]:
    """What `options_to_json` made, for that machine or checker."""
    kinds = {name: type(value) for name, value in defaults_of(made).items()}
    return {
        name: kinds[name](value) if kinds.get(name) in (tuple, frozenset) else value
        for name, value in options.items()
    }


def shown_options(options: Mapping[str, Any]) -> str:
    return ", ".join(
        name if value is MISSING else f"{name}={json.dumps(value, default=_as_text)}"
        for name, value in options.items()
    )


def _parse(name: str, value: str, kind: Any, text: str) -> Any:
    try:
        return _value(name, value, kind)
    except ValueError as error:
        raise InvalidOption(f"--option {text} is not allowed: {error}") from None


def _value(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(f"give {', '.join(get_args(kind))}")
        return text
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError("give true or false")
        return text == "true"
    if kind is str:
        return text
    if get_origin(kind) in (tuple, frozenset, list):
        return get_origin(kind)(each.strip() for each in text.split(","))
    if kind is int:
        return int(text)
    if kind is float:
        if text.endswith("%"):
            return parse_share(text)
        if name.endswith("_s") and text[-1:].isalpha():
            return parse_duration(text)
        return float(text)
    return json.loads(text)


def _as_text(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)
