"""A plan as a YAML document: read with every mistake reported at once, and nothing that can blow up.

YAML 1.2's plain types only: `on` and `no` are text, `1:30` is not ninety, a date is text. `${NAME}` and
`${NAME:-default}` stand for the environment; they are put in after parsing, so that a value cannot change
the structure, and may be written without quotes even inside `{...}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from chaos_locust.data import Data, check_mapping
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.plan.model import Plan

_D = TypeVar("_D", bound=Data)
MOST_BYTES = 1_000_000
MOST_VALUES = 100_000
_VARIABLE = re.compile(r"\$\{([^${}]*)\}")
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)
# private characters of Unicode hold the place of a variable while YAML is parsed
_HOLDER = re.compile("\ue000(\\d+)\ue001")


def load_plan(path: Path, environ: Mapping[str, str]) -> Plan:
    """The plan in a YAML (or JSON) file. Raises InvalidPlan with every problem."""
    return parse_plan(load_yaml(path), environ)


def load_yaml(path: Path) -> Any:
    """The data of a YAML (or JSON) file, variables as typed. Raises InvalidPlan."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise InvalidPlan([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise InvalidPlan([Problem(str(path), f"is not UTF-8 text (byte {error.start})")]) from None
    if len(raw) > MOST_BYTES:
        raise InvalidPlan([Problem(str(path), "is larger than 1 MB, which no plan is")])
    try:
        return read_yaml(text)
    except ValueError as error:
        raise InvalidPlan([Problem(str(path), str(error))]) from None


def parse_plan(data: object, environ: Mapping[str, str]) -> Plan:
    """The plan that parsed YAML or JSON describes, variables filled in. Raises InvalidPlan."""
    if not isinstance(data, Mapping):
        shown = {type(None): "nothing", list: "a list"}.get(type(data), f"'{str(data)[:60]}'")
        raise InvalidPlan(
            [Problem("", f"the plan is {shown}; it must be a mapping that begins with name: ...")]
        )
    return parse(Plan, data, environ)


def parse(kind: type[_D], data: Mapping[str, Any], environ: Mapping[str, str]) -> _D:
    """The object that a mapping describes, variables filled in. Raises InvalidPlan with every problem."""
    unset: list[Problem] = []
    filled = _fill(data, environ, "", unset)
    try:
        check_mapping(filled, kind.document_keys())
        found = kind(**filled)
    except InvalidPlan as error:
        # what is wrong with a value whose variable is unset is no news
        known = {problem.place for problem in unset}
        raise InvalidPlan([*unset, *(p for p in error.problems if p.place not in known)]) from None
    if unset:
        raise InvalidPlan(unset)
    return found


def read_yaml(text: str) -> Any:
    """The data of one YAML document, `${...}` kept as typed. Raises ValueError with one line."""
    variables: list[str] = []

    def hold(match: re.Match[str]) -> str:
        variables.append(match[0])
        return f"\ue000{len(variables) - 1}\ue001"

    def put_back(value: str) -> str:
        return _HOLDER.sub(lambda match: variables[int(match[1])], value)

    if "\ue000" in text:
        raise ValueError("has the character U+E000, which is not allowed")
    loader = None
    try:
        loader = _Loader(_VARIABLE.sub(hold, text))
        node = loader.get_single_node()
        if node is None:
            return None
        if (size := _size(node, {})) > MOST_VALUES:
            raise ValueError(f"has {size} values, aliases written out; at most {MOST_VALUES} are allowed")
        return _restore(loader.construct_document(node), put_back)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = " ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{where}is no YAML: {put_back(reason)}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core types, and no key twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tfTF"),
    ("int", r"[-+]?(?:0|[1-9]\d{0,17})", "-+0123456789"),
    ("float", r"[-+]?\d{1,17}\.\d{0,17}(?:[eE][-+]?\d{1,2})?", "-+0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z", re.ASCII), [*_first, ""]
    )


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values the node stands for when every alias is written out."""
    if id(node) in sizes:
        if sizes[id(node)] == 0:
            raise ValueError("has an alias that contains itself")
        return sizes[id(node)]
    sizes[id(node)] = 0  # begun
    total = 1
    if isinstance(node, yaml.MappingNode):
        total += sum(_size(key, sizes) + _size(value, sizes) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_size(item, sizes) for item in node.value)
    sizes[id(node)] = total
    return total


def _restore(value: Any, put_back: Any) -> Any:
    if isinstance(value, str):
        return put_back(value)
    if isinstance(value, dict):
        return {_restore(key, put_back): _restore(item, put_back) for key, item in value.items()}
    if isinstance(value, list):
        return [_restore(item, put_back) for item in value]
    return value


def _fill(value: Any, environ: Mapping[str, str], place: str, unset: list[Problem]) -> Any:
    """`value` with every variable replaced; what has neither value nor default goes into `unset`."""
    if isinstance(value, Mapping):
        return {
            key: _fill(item, environ, f"{place}.{key}" if place else str(key), unset)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_fill(item, environ, f"{place}[{index}]", unset) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        named = _NAMED.fullmatch(match[1])
        if named is None:
            unset.append(
                Problem(place, f"'{match[0]}' is no variable; write ${{NAME}} or ${{NAME:-default}}")
            )
            return match[0]
        name, default = named.groups()
        if environ.get(name):
            return environ[name]
        if default is None:
            unset.append(Problem(place, f"${{{name}}} is not set; set {name}, or write ${{{name}:-default}}"))
        return default or ""

    return _VARIABLE.sub(replaced, value)
