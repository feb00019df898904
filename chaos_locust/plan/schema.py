"""The JSON Schema of a plan document, for editors: made from the same classes that read it."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from chaos_locust.data import DURATION_PATTERN, NAME_PATTERN, Data
from chaos_locust.faults.registry import KINDS
from chaos_locust.plan.cluster import Cluster
from chaos_locust.plan.compliance import AssertedControls
from chaos_locust.plan.fault_macros import FAULT_MACROS
from chaos_locust.plan.invariants import InvariantItem
from chaos_locust.plan.macros import MACROS, StepItem
from chaos_locust.plan.parts import Limits, ObjectiveItem, RequestItem, Target
from chaos_locust.plan.slos import SLOS
from chaos_locust.plan.steps import LoadSettings

_DURATION = {"type": "string", "pattern": DURATION_PATTERN}
_TEXT = {"type": "string", "minLength": 1}


def plan_schema() -> dict[str, Any]:
    """Draft 2020-12. `${NAME}` is filled in before: a document with variables may not match."""
    parts: list[type[Data]] = [StepItem, *MACROS.values(), *FAULT_MACROS.values()]
    parts += [
        Cluster,
        Target,
        Limits,
        RequestItem,
        ObjectiveItem,
        InvariantItem,
        AssertedControls,
        LoadSettings,
    ]
    _, definitions = models_json_schema([(cls, "validation") for cls in (*parts, *KINDS.values())])
    classes = definitions["$defs"]
    settings = classes.pop("LoadSettings")["properties"]
    classes["Target"]["properties"].pop("name")
    classes["InvariantItem"]["additionalProperties"] = True  # options of the checker
    objective = {"anyOf": [_TEXT, {"$ref": "#/$defs/ObjectiveItem"}]}
    faults = []
    for kind, cls in KINDS.items():
        schema = classes[cls.__name__]
        schema["properties"] = {"kind": {"const": kind}, **schema["properties"]}
        schema["required"] = ["kind", *schema["required"], *([] if cls.instant else ["for"])]
        schema["description"] = cls.summary
        faults.append({"$ref": f"#/$defs/{cls.__name__}"})
    template = {"type": "object", "properties": {"kind": {"enum": list(KINDS)}, "target": _TEXT}}
    template["required"] = ["kind", "target"]
    classes["Cascade"]["properties"]["steps"]["items"] = template
    classes["Random"]["properties"]["faults"]["items"] = template
    properties = {
        "name": _TEXT,
        "host": {"type": "string", "format": "uri"},
        "locustfile": _TEXT,
        "requests": _list({"$ref": "#/$defs/RequestItem"}),
        "proxy_api": {"type": "string", "format": "uri"},
        "allow": _list(_TEXT),
        "kubernetes": {"$ref": "#/$defs/Cluster"},
        "targets": {
            "type": "object",
            "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
            "additionalProperties": {"$ref": "#/$defs/Target"},
        },
        "load": _load(),
        **settings,
        "seed": {"type": "integer"},
        "warm_up": _DURATION,
        "baseline": _DURATION,
        "timeout": _DURATION,
        "faults": _list({"oneOf": faults}),
        **{key: _one_or_more(f"#/$defs/{cls.__name__}") for key, cls in FAULT_MACROS.items()},
        "limits": {"$ref": "#/$defs/Limits"},
        "steady_state": _list(_TEXT),
        "slo": {"enum": list(SLOS)},
        "objectives": _list(objective),
        "invariants": _list({"anyOf": [_TEXT, {"$ref": "#/$defs/InvariantItem"}]}),
        "compliance": {"$ref": "#/$defs/AssertedControls"},
        "abort": _list(_TEXT),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "chaos-locust plan",
        "type": "object",
        "properties": properties,
        "required": ["name"],
        "additionalProperties": False,
        "$defs": classes,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _one_or_more(reference: str) -> dict[str, Any]:
    return {"anyOf": [{"$ref": reference}, _list({"$ref": reference})]}


def _load() -> dict[str, Any]:
    macros = [
        {
            "type": "object",
            "properties": {"step": {"type": "string"}, name: {"$ref": f"#/$defs/{cls.__name__}"}},
            "required": [name],
            "additionalProperties": False,
        }
        for name, cls in MACROS.items()
    ]
    item = {"oneOf": [{"$ref": "#/$defs/StepItem"}, *macros]}
    return {"oneOf": [{**_list(item), "minItems": 1}, *macros, _expanded(item)]}


def _expanded(item: dict[str, Any]) -> dict[str, Any]:
    """What the plan in a journal has."""
    return {"type": "object", "properties": {"steps": _list(item)}, "required": ["steps"]}
