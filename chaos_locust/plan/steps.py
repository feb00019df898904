"""The load as it is typed: steps and the macros that stand for steps.

A load is a list of steps and macros, one after the other, or one macro alone:

    [{step: base, rate: 50/s, for: 60s}, {step: up, ramp: {from: 50/s, to: 100/s, for: 30s}}]
    {spike: {base: 10/s, peak: 100/s, before: 10s, for: 30s, after: 20s}}

`{shape, at_least, steps}` is the expanded form that `load_to_json` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, cast

from pydantic import Field

from chaos_locust.data import Data, Name, PositiveSeconds, check_mapping, did_you_mean, from_mapping, within
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.plan.load import Load, Step
from chaos_locust.plan.macros import MACROS, MOST_STEPS, Level, LevelField, StepItem, Stretch
from chaos_locust.units import format_duration, format_rate

Shape = Literal["steps", "ramp", "spike", "soak", "stress"]
_ITEM_KEYS = ("step", "rate", "users", "for", *MACROS)


def parse_load(data: object, place: str = "load") -> Load:
    """The load that a list of steps, or one macro, stands for. Raises InvalidPlan with places in `place`."""
    if isinstance(data, Load):
        return data
    shape, at_least, settings, items = _items(data, place)
    problems: list[Problem] = []
    stretches: list[tuple[str, Stretch]] = []
    for here, item in items:
        try:
            found, minimum = _expand(item)
        except InvalidPlan as error:
            problems += within(here, error.problems)
            continue
        stretches += [(here, stretch) for stretch in found]
        at_least = at_least or minimum
    problems += _mixed(
        [(here, level) for here, (_, *ends, _) in stretches for level in ends], at_least, place
    )
    if stretches and all(level[1] == 0 for _, (_, *ends, _) in stretches for level in ends):
        problems.append(Problem(place, "is zero everywhere; give at least one step with a rate or users"))
    if len(stretches) > MOST_STEPS:
        problems.append(Problem(place, f"makes {len(stretches)} steps; at most {MOST_STEPS} are allowed"))
    if problems:
        raise InvalidPlan(problems)
    load = Load(
        workload=stretches[0][1][1][0],
        shape=shape,
        steps=_in_a_row(stretch for _, stretch in stretches),
        at_least=at_least[1] if at_least else None,
    )
    return with_settings(load, settings.arrivals, settings.max_users, settings.drop_after_s)


def step_places(data: object, place: str) -> list[tuple[str, str]]:
    """(place, name) of every step that can be read, for naming those that clash."""
    if isinstance(data, Load):
        return [(f"{place} step {step.name}", step.name) for step in data.steps]
    found: list[tuple[str, str]] = []
    with suppress(InvalidPlan):
        for here, item in _items(data, place)[3]:
            with suppress(InvalidPlan):
                found += [(here, name) for name, *_ in _expand(item)[0]]
    return found


def _items(data: object, place: str) -> tuple[Shape, Level | None, LoadSettings, list[tuple[str, Any]]]:
    """Shape, level to reach and settings where they are written out; (place, item) of each step or macro."""
    if isinstance(data, Mapping) and "steps" in data:
        try:
            expanded = from_mapping(_Expanded, data)
        except InvalidPlan as error:
            raise InvalidPlan(within(place, error.problems)) from None
        items = [(f"{place}.steps[{index}]", item) for index, item in enumerate(expanded.steps)]
        return expanded.shape, expanded.at_least, expanded, items
    if isinstance(data, Mapping):
        items = [(place, data)]
    elif isinstance(data, list | tuple) and data:
        items = [(f"{place}[{index}]", item) for index, item in enumerate(data)]
    else:
        raise InvalidPlan(
            [Problem(place, "is no load; give a list of steps, or one of " + ", ".join(MACROS))]
        )
    alone = items[0][1] if len(items) == 1 and isinstance(items[0][1], Mapping) else {}
    shape = next((name for name in MACROS if name in alone), "steps")
    return cast(Shape, shape), None, LoadSettings(), items


class LoadSettings(Data):
    """The keys of a plan that are about its load, whatever its steps; None leaves the default."""

    arrivals: Literal["constant", "poisson"] | None = None
    max_users: int | None = Field(default=None, ge=1)
    drop_after_s: PositiveSeconds | None = Field(default=None, alias="drop_after")


class _Expanded(LoadSettings):
    """What `load_to_json` writes."""

    steps: list[Any] = Field(min_length=1)
    shape: Shape = "steps"
    at_least: LevelField | None = None


def load_to_json(load: Load) -> dict[str, Any]:
    """The load as `parse_load` reads it back."""

    def shown(level: float) -> str | int:
        return format_rate(level) if load.workload == "open" else int(level)

    key = "rate" if load.workload == "open" else "users"
    steps: list[dict[str, Any]] = []
    for step in load.steps:
        start, end = shown(step.start_level), shown(step.end_level)
        level = start if start == end else f"{start} to {end}"
        steps.append({"step": step.name, key: level, "for": format_duration(step.duration_s)})
    data: dict[str, Any] = {"shape": load.shape, "steps": steps, "arrivals": load.arrivals}
    data |= {"max_users": load.max_users, "drop_after": format_duration(load.drop_after_s)}
    return data if load.at_least is None else {**data, "at_least": shown(load.at_least)}


def parse_load_option(text: str) -> Load:
    """One line of the command line: `spike base=10/s peak=100/s before=10s for=30s after=20s`,
    `steps base=50/s:60s peak=100/s:30s`. Raises InvalidPlan."""
    words = text.split()
    shape = words[0] if words else ""
    if shape not in (*MACROS, "steps"):
        raise InvalidPlan(
            [Problem("load", f"'{shape}' is no shape; {did_you_mean(shape, [*MACROS, 'steps'])}")]
        )
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or not value or key in values:
            reason = "is given twice" if key in values else "is not of the form NAME=VALUE"
            problems.append(Problem("load", f"'{word}' {reason}"))
        values[key] = value
    if problems:
        raise InvalidPlan(problems)
    if shape != "steps":
        return parse_load({shape: values}, "load")
    items: list[dict[str, Any]] = []
    for name, value in values.items():
        level, colon, duration = value.rpartition(":")
        if not colon:
            problems.append(Problem("load", f"'{name}={value}' is not of the form NAME=LEVEL:DURATION"))
        level = level.replace("..", " to ")
        items.append({"step": name, "rate" if "/" in level else "users": level, "for": duration})
    if problems:
        raise InvalidPlan(problems)
    return parse_load(items, "load")


def _expand(item: object) -> tuple[list[Stretch], Level | None]:
    """The stretches of a step or macro, and the level that a stress load must reach."""
    check_mapping(item, _ITEM_KEYS)
    assert isinstance(item, Mapping)
    macros = [key for key in MACROS if key in item]
    if not macros:
        if unknown := [key for key in item if key not in _ITEM_KEYS]:
            problem = f"'{unknown[0]}' is no key here; {did_you_mean(unknown[0], _ITEM_KEYS)}"
            raise InvalidPlan([Problem(unknown[0], problem)])
        return StepItem(**item).stretches(), None
    name = item.get("step")
    if name is not None:
        _Named(step=name)
    if extra := [key for key in item if key not in ("step", macros[0])]:
        raise InvalidPlan([Problem(extra[0], f"'{extra[0]}' does not go beside {macros[0]}; put it inside")])
    try:
        macro = from_mapping(MACROS[macros[0]], item[macros[0]])
        levels = [level for _, level in macro if isinstance(level, tuple) and isinstance(level[0], str)]
        if len({level[0] for level in levels}) > 1:
            raise InvalidPlan([Problem("", "mixes rates and users; give all levels in the same way")])
        stretches: list[Stretch] = macro.stretches(name)
    except InvalidPlan as error:
        raise InvalidPlan(within(macros[0], error.problems)) from None
    return stretches, getattr(macro, "at_least", None)


class _Named(Data):
    step: Name


def _mixed(levels: list[tuple[str, Level]], at_least: Level | None, place: str) -> list[Problem]:
    """Rates and users may not be mixed."""
    if at_least is not None:
        levels = [*levels, (place, at_least)]
    for here, (workload, _) in levels:
        if workload != levels[0][1][0]:
            first, other = ("rates", "users") if workload == "closed" else ("users", "rates")
            return [
                Problem(here, f"gives {other} where {levels[0][0]} gives {first}; the two cannot be mixed")
            ]
    return []


def _in_a_row(stretches: Iterable[Stretch]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for name, start, end, duration_s in stretches:
        starts_s = steps[-1].ends_s if steps else 0.0
        steps.append(Step(name, starts_s, duration_s, start[1], end[1]))
    return tuple(steps)


def with_settings(
    load: Load,
    arrivals: Literal["constant", "poisson"] | None,
    max_users: int | None,
    drop_after_s: float | None,
) -> Load:
    """The load with the plan's own keys applied where they are given."""
    given = {"arrivals": arrivals, "max_users": max_users, "drop_after_s": drop_after_s}
    return replace(load, **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
