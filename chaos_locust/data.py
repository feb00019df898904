"""The base of everything that is written in a plan: frozen data whose mistakes are problems with places.

A class names its fields with their units (`latency_s`) and gives each the key of the YAML as alias
(`latency`). Text with a unit is always right; a bare number only under the name that carries the unit:
`Latency(latency="200ms")` and `Latency(latency_s=0.2)` are the same, `latency=0.2` is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from chaos_locust import units
from chaos_locust.errors import InvalidPlan, Problem

NAME_PATTERN = "[a-z][a-z0-9-]*"
DURATION_PATTERN = r"^\s*\d+(\.\d+)?\s*(us|µs|ms|s|min|h)\s*$"
_SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*(B|[kK]B|MB|GB|KiB|MiB|GiB)"


class Data(BaseModel):
    """Raises InvalidPlan with every problem at once, places relative to this object."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    def __init__(self, /, **data: Any) -> None:
        problems = self.contradictions(data)
        try:
            super().__init__(**{key: self._marked(key, value) for key, value in data.items()})
        except ValidationError as error:
            problems += problems_of(error, type(self))
        if problems:
            raise InvalidPlan(problems)

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        """What is wrong between the keys as given, found even when single values are wrong too."""
        return []

    @classmethod
    def document_keys(cls) -> list[str]:
        """The keys of the YAML."""
        return [_key(name, field) for name, field in cls.model_fields.items()]

    @classmethod
    def _marked(cls, key: str, value: Any) -> Any:
        field = cls.model_fields.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return _Plain(value) if is_number and field is not None and _key(key, field) != key else value


class _Plain(float):
    """A number given under a name that carries its unit."""


def _unit(parse: Callable[[object], float]) -> BeforeValidator:
    return BeforeValidator(lambda value: float(value) if isinstance(value, _Plain) else parse(value))


def _at_least_zero(value: float) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError(f"'{value:g}' is not allowed; give zero or more")
    return value


def _positive(value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"'{value:g}' is not allowed; give more than zero")
    return value


def _name(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            f"'{value}' is no name; allowed: lower-case letters, digits and hyphens, beginning with a letter"
        )
    return value


def _part_of_one(value: object) -> float:
    share = units.parse_share(value)
    if share == 0:
        raise ValueError("'0%' is not allowed; give a share above 0%, up to 100%")
    return share


_DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": DURATION_PATTERN, "examples": ["200ms", "1.5s"]}
)

Name = Annotated[
    str, BeforeValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$"})
]
Seconds = Annotated[
    float,
    BeforeValidator(_at_least_zero),
    _unit(units.parse_duration),
    PlainSerializer(units.format_duration),
    _DURATION_SCHEMA,
]
PositiveSeconds = Annotated[
    float,
    BeforeValidator(_positive),
    _unit(units.parse_duration),
    PlainSerializer(units.format_duration),
    _DURATION_SCHEMA,
]
Share = Annotated[
    float,
    BeforeValidator(_part_of_one),
    PlainSerializer(units.format_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "%$"},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            ]
        }
    ),
]
Bytes = Annotated[
    int,
    BeforeValidator(_positive),
    _unit(units.parse_size),
    PlainSerializer(units.format_size),
    WithJsonSchema({"type": "string", "pattern": _SIZE_PATTERN + r"\s*$", "examples": ["100KB"]}),
]
BytesPerSecond = Annotated[
    int,
    BeforeValidator(_positive),
    _unit(units.parse_byte_rate),
    PlainSerializer(lambda value: units.format_size(value) + "/s"),
    WithJsonSchema({"type": "string", "pattern": _SIZE_PATTERN + r"\s*/s\s*$", "examples": ["100KB/s"]}),
]

D = TypeVar("D", bound=Data)


def from_mapping(cls: type[D], value: object, **given: Any) -> D:
    """`value` itself when it is one, else one made of the mapping. Raises InvalidPlan."""
    if isinstance(value, cls):
        return value
    check_mapping(value, cls.document_keys())
    assert isinstance(value, Mapping)
    return cls(**{**value, **given})


def nested_in(cls: type[Data]) -> BeforeValidator:
    """For a field that holds one of these, or None: what is wrong in it keeps its place in the whole."""
    return nested(lambda value: None if value is None else from_mapping(cls, value))


def check_mapping(value: object, allowed: Iterable[str]) -> None:
    """Raises InvalidPlan unless `value` is a mapping whose keys are text."""
    if not isinstance(value, Mapping):
        shown = type(value).__name__ if isinstance(value, list | tuple) else f"'{value}'"
        raise InvalidPlan([Problem("", f"{shown} is not a mapping; allowed keys: {', '.join(allowed)}")])
    if wrong := [key for key in value if not isinstance(key, str)]:
        raise InvalidPlan([Problem("", f"'{key}' is no key; allowed: {', '.join(allowed)}") for key in wrong])


def nested(read: Callable[[Any], Any]) -> BeforeValidator:
    """A validator that keeps the places of the InvalidPlan that `read` raises."""

    def validate(value: Any) -> Any:
        try:
            return read(value)
        except InvalidPlan as error:
            raise refusal(error.problems) from None

    return BeforeValidator(validate)


def refusal(problems: Iterable[Problem]) -> PydanticCustomError:
    """To be raised in a validator: problems with places of their own."""
    return PydanticCustomError("problems", "see problems", {"problems": tuple(problems)})


def within(place: str, problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a part, as problems of the whole: `at` in `faults[2]` is `faults[2].at`."""
    return [Problem(_join(place, problem.place), problem.message) for problem in problems]


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """`did you mean latency? allowed: ...`"""
    options = list(allowed)
    close = difflib.get_close_matches(word, options, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}allowed: {', '.join(options)}"


def problems_of(error: ValidationError, cls: type[Data]) -> list[Problem]:
    """Every mistake that pydantic found, in our words."""
    problems: list[Problem] = []
    for detail in error.errors(include_url=False):
        place = ""
        for part in detail["loc"]:
            place = _join(place, f"[{part}]" if isinstance(part, int) else part)
        if detail["type"] == "problems":
            problems += within(place, detail["ctx"]["problems"])
        else:
            problems.append(Problem(place, _message(detail, cls)))
    return problems


def _message(detail: ErrorDetails, cls: type[Data]) -> str:
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            return f"'{key}' is no key here; {did_you_mean(key, cls.document_keys())}"
        case "missing":
            return "is missing"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "literal_error":
            return f"'{value}' is not allowed; allowed: {detail['ctx']['expected'].replace(' or ', ', ')}"
        case "tuple_type" | "list_type":
            return f"'{str(value)[:60]}' is not a list"
        case "string_type":
            return f"'{str(value)[:60]}' is no text"
        case _:
            return f"'{str(value)[:60]}' is not allowed; {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _join(place: str, rest: str) -> str:
    if not place or not rest:
        return place or rest
    return place + rest if rest.startswith("[") else f"{place}.{rest}"


def _key(name: str, field: Any) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias or name)
