"""Every kind of fault, described by the classes themselves: for the command line and for documentation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from chaos_locust.data import DURATION_PATTERN
from chaos_locust.faults.base import Fault

EXTRAS: Mapping[str, str] = {
    **{family: family for family in ("containers", "kubernetes", "postgres", "redis")},
    "chaos_mesh": "kubernetes",
}
"""Family -> what to add in `pip install 'chaos-locust[...]'`; the others need nothing more."""

NEEDS: Mapping[str, str] = {"link": "proxy, or upstream and listen"}
"""What stands for several keys of a target."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key of a fault in a plan. type: in words. default: as it is typed; None where there is none."""

    name: str
    type: str
    required: bool
    default: str | None
    description: str


@dataclass(frozen=True, slots=True)
class Kind:
    """needs: keys of the target. extra: of the package, None: nothing more has to be installed.

    about: what there is to know, in the words of the class. parameters: its own, those first that it shares
    with no other; what every fault takes is in COMMON.
    """

    kind: str
    family: str
    summary: str
    about: str
    parameters: tuple[Parameter, ...]
    needs: tuple[str, ...]
    extra: str | None
    instant: bool
    undo: str
    effect: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def kind_of(cls: type[Fault]) -> Kind:
    """The description of one class."""
    common = set(Fault.model_fields)
    _, schema = models_json_schema([(cls, "validation")])
    properties = schema["$defs"][cls.__name__]["properties"]
    keys = dict(zip(cls.model_fields, cls.document_keys(), strict=True))
    names = [name for name in cls.model_fields if name not in common]
    parameters = [
        _parameter(keys[name], cls.model_fields[name], properties[keys[name]], schema["$defs"])
        for name in sorted(names, key=lambda name: name not in vars(cls).get("__annotations__", {}))
    ]
    return Kind(
        kind=cls.kind,
        family=cls.family,
        summary=cls.summary,
        about=inspect.cleandoc(cls.__doc__ or ""),
        parameters=tuple(parameters),
        needs=tuple(NEEDS.get(key, key) for key in cls.needs),
        extra=EXTRAS.get(cls.family),
        instant=cls.instant,
        undo=cls.undo,
        effect=cls.effect_text,
    )


COMMON: tuple[Parameter, ...] = (
    Parameter("name", "name", True, None, "a label for objectives"),
    Parameter("target", "name", True, None, "of one of the plan's targets"),
    Parameter("at", "duration", False, None, "when it comes, from the start of the run; or when"),
    Parameter("when", "condition", False, None, "what it waits for, such as steady for 10s or OTHER over"),
    Parameter("for", "duration", True, None, "how long it stays; not for what happens at once"),
    Parameter("anyway", "true or false", False, "false", "it comes into a target that is not steady, too"),
)


def _parameter(key: str, field: FieldInfo, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Parameter:
    required = field.is_required()
    default = None if required else field.get_default(call_default_factory=True)
    shown = None
    if default not in (None, "", {}, ()):
        written = TypeAdapter(field.rebuild_annotation()).dump_python(default, mode="json")
        shown = str(written).lower() if isinstance(written, bool) else str(written)
    return Parameter(key, _words(schema, defs), required, shown, field.description or "")


def _words(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """What a value may be."""
    if "$ref" in schema:
        return _words(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema:
        options = [_words(each, defs) for each in schema["anyOf"] if each.get("type") != "null"]
        # a share is written as a percentage; that a number from 0 to 1 does as well is no news
        return "share" if "share" in options else " or ".join(dict.fromkeys(options))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    pattern = schema.get("pattern", "")
    if pattern == DURATION_PATTERN:
        return "duration"
    if pattern.endswith("%$") and "examples" not in schema:
        return "share"
    if re.search(r"GiB.*/s", pattern):
        return "bytes a second"
    if "GiB" in pattern:
        return "size"
    if schema.get("examples"):
        return "such as " + " or ".join(map(str, schema["examples"]))
    if schema.get("type") == "array":
        return f"list of {_words(schema.get('items', {}), defs)}"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    return words.get(str(schema.get("type")), "mapping" if schema.get("type") == "object" else "anything")
