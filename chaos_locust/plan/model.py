"""The Plan: the whole experiment as frozen data, from YAML, JSON or Python alike.

Plan(name="slow database", host="http://127.0.0.1:8000", targets={"postgres": {"proxy": "postgres"}},
     load=[{"step": "base", "rate": "50/s", "for": "60s"}],
     faults=[Latency(name="slow-db", target="postgres", latency="200ms", at="40s", duration="15s")],
     objectives=["error_rate < 5% during slow-db"])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
)

from chaos_locust.data import Data, PositiveSeconds, Seconds, did_you_mean, nested, nested_in
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import parse_fault
from chaos_locust.plan.allow import read_allowed, read_url
from chaos_locust.plan.cluster import Cluster
from chaos_locust.plan.compliance import AssertedControls
from chaos_locust.plan.conditions import condition_problems
from chaos_locust.plan.fault_macros import FAULT_MACROS, Placed, expand_faults
from chaos_locust.plan.grammar import parse_abort, parse_steady_state
from chaos_locust.plan.invariants import Invariant, invariant_to_json, read_invariant
from chaos_locust.plan.load import Load, Request
from chaos_locust.plan.objectives import AbortCondition, Objective, RecoveryObjective
from chaos_locust.plan.parts import (
    Limits,
    Target,
    named_slo,
    objective_to_json,
    read_limits,
    read_objective,
    read_request,
    read_targets,
    request_to_json,
)
from chaos_locust.plan.slos import SLOS
from chaos_locust.plan.steps import LoadSettings, load_to_json, parse_load, step_places, with_settings

RESERVED = ("run", "baseline")


def _read_fault(value: object) -> Fault:
    fault = parse_fault(value, "")
    if isinstance(fault, list):
        raise InvalidPlan(fault)
    return fault


def _read_slo(value: object) -> str:
    if not isinstance(value, str) or value not in SLOS:
        raise ValueError(f"'{value}' is no list of objectives; {did_you_mean(str(value), SLOS)}")
    return value


def _duplicates(data: Mapping[str, Any], expanded: Placed) -> list[Problem]:
    """Names of steps and faults that are taken already, for labels are one namespace."""
    named: list[tuple[str, str]] = []
    if "load" in data:
        named += step_places(data["load"], "load")
    faults = data.get("faults")
    for index, fault in enumerate(faults if isinstance(faults, list | tuple) else ()):
        name = fault.get("name") if isinstance(fault, Mapping) else getattr(fault, "name", None)
        if isinstance(name, str):
            named.append((f"faults[{index}].name", name))
    named += [(f"{place}.name", fault.name) for place, fault in expanded]

    problems: list[Problem] = []
    places = dict.fromkeys(RESERVED, "a word with a meaning of its own")
    for place, name in named:
        if name in places:
            problems.append(Problem(place, f"'{name}' is taken by {places[name]}; give each its own name"))
        places.setdefault(name, place)
    return problems


def _load(given: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Load]:
    """The load, with the keys of the plan that are about it; empty when none is given. Raises InvalidPlan."""
    problems: list[Problem] = []
    load, chosen = None, LoadSettings()
    try:
        chosen = LoadSettings(**settings)
    except InvalidPlan as error:
        problems += error.problems
    try:
        load = parse_load(given["load"]) if "load" in given else None
    except InvalidPlan as error:
        problems += error.problems
    if "load" not in given:
        problems += [
            Problem(key, "has no effect without load; add load, or leave it out") for key in settings
        ]
    if problems:
        raise InvalidPlan(problems)
    return {"load": with_settings(load, **dict(chosen))} if load else {}


Url = Annotated[str, AfterValidator(read_url)]
FaultField = Annotated[Fault, nested(_read_fault), PlainSerializer(Fault.to_json)]
RequestField = Annotated[Request, nested(read_request), PlainSerializer(request_to_json)]
SteadyField = Annotated[
    Objective,
    BeforeValidator(lambda value: value if isinstance(value, Objective) else parse_steady_state(value)),
    PlainSerializer(lambda value: value.text),
]
AbortField = Annotated[
    AbortCondition,
    BeforeValidator(lambda value: value if isinstance(value, AbortCondition) else parse_abort(value)),
    PlainSerializer(lambda value: value.text),
]
ObjectiveField = Annotated[
    Objective | RecoveryObjective, nested(read_objective), PlainSerializer(objective_to_json)
]
InvariantField = Annotated[Invariant, nested(read_invariant), PlainSerializer(invariant_to_json)]
LoadField = Annotated[Load | None, PlainSerializer(lambda value: load_to_json(value) if value else None)]


class Plan(Data):
    """Raises InvalidPlan that lists every problem with its place.

    host: the URL under load. allow: addresses, networks and host names that targets may be at, besides
    loopback. kubernetes: the cluster of targets in one. warm_up_s, baseline_s: None leaves them to the rules.
    timeout_s: of one request. slo: a named list whose objectives are in `objectives` too. Macros that stand
    for faults are expanded: the plan has `faults` only.
    """

    name: str = Field(min_length=1)
    host: Url | None = None
    locustfile: str | None = Field(default=None, min_length=1)
    requests: tuple[RequestField, ...] = ()
    proxy_api: Url = "http://127.0.0.1:8474"
    allow: tuple[Annotated[str, AfterValidator(read_allowed)], ...] = ()
    kubernetes: Annotated[Cluster, nested_in(Cluster)] = Field(default_factory=Cluster)
    targets: Annotated[Mapping[str, Target], nested(read_targets)] = Field(default_factory=dict)
    load: LoadField = None
    seed: int = 1
    warm_up_s: Seconds | None = Field(default=None, alias="warm_up")
    baseline_s: Seconds | None = Field(default=None, alias="baseline")
    timeout_s: PositiveSeconds = Field(default=10.0, alias="timeout")
    faults: tuple[FaultField, ...] = ()
    limits: Annotated[Limits, nested(read_limits)] = Field(default_factory=Limits)
    steady_state: tuple[SteadyField, ...] = ()
    slo: Annotated[str, BeforeValidator(_read_slo)] | None = None
    objectives: tuple[ObjectiveField, ...] = Field(default=(), validate_default=True)
    invariants: tuple[InvariantField, ...] = ()
    compliance: Annotated[AssertedControls | None, nested_in(AssertedControls)] = None
    abort: tuple[AbortField, ...] = ()
    _places: tuple[str, ...] = ()

    def __init__(self, /, **data: Any) -> None:
        # an empty section of a YAML document is None, and means that it is not given
        given = {key: value for key, value in data.items() if value is not None}
        expanded, problems = expand_faults(given, given["seed"] if isinstance(given.get("seed"), int) else 1)
        problems += _duplicates(given, expanded)
        typed = given.get("faults", ())
        if isinstance(typed, list | tuple):
            given["faults"] = [*typed, *(fault for _, fault in expanded)]
        for key in FAULT_MACROS:
            given.pop(key, None)
        settings = {
            key: given.pop(key) for key in (*LoadSettings.document_keys(), "drop_after_s") if key in given
        }
        try:
            given.update(_load(given, settings))
        except InvalidPlan as error:
            problems += error.problems
            given.pop("load", None)
        try:
            super().__init__(**given)
        except InvalidPlan as error:
            raise InvalidPlan([*problems, *error.problems]) from None
        self._places = (
            *(f"faults[{index}]" for index in range(len(typed))),
            *(place for place, _ in expanded),
        )
        problems += condition_problems(self.faults, self._places)
        if problems:
            raise InvalidPlan(problems)

    def __eq__(self, other: object) -> bool:
        """Whether they say the same, wherever in their documents it stands."""
        return isinstance(other, Plan) and dict(self) == dict(other)

    @classmethod
    def document_keys(cls) -> list[str]:
        return [*super().document_keys(), *FAULT_MACROS, *LoadSettings.document_keys()]

    @field_validator("objectives", mode="after")
    @classmethod
    def _with_slo(cls, objectives: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        slo = info.data.get("slo")
        added = named_slo(slo) if slo else ()
        return (*objectives, *(objective for objective in added if objective not in objectives))

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        if data.get("locustfile") and data.get("requests"):
            return [Problem("requests", "does not go beside locustfile; give one or the other")]
        if data.get("invariants") and data.get("requests"):
            text = "has no effect with requests; give a locustfile whose users write down their operations"
            return [Problem("invariants", text)]
        return []

    def fault(self, name: str) -> Fault:
        """The fault of that name. Raises KeyError."""
        for fault in self.faults:
            if fault.name == name:
                return fault
        raise KeyError(name)

    def placed_faults(self) -> list[tuple[str, Fault]]:
        """Each fault with its place in the document, such as `faults[0]` or `cascade.steps[1]`."""
        return list(zip(self._places, self.faults, strict=True))

    def labels(self) -> tuple[str, ...]:
        """Every name that a scope may have: run, baseline, the steps, the faults."""
        steps = [step.name for step in self.load.steps] if self.load else []
        return (*RESERVED, *steps, *(fault.name for fault in self.faults))

    @property
    def duration_s(self) -> float | None:
        """Length of the load; None when the plan leaves it to Locust's own options."""
        return self.load.duration_s if self.load else None

    def to_json(self) -> dict[str, Any]:
        """JSON data that is a plan itself, macros expanded; `from_json` gives an equal Plan."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**data)
