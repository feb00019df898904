"""Fills typed values from JSON, and writes JSON, as Go's `encoding/json` does.

Decoding is described by shapes. A value of the wrong type does not stop it: the rest is still filled in,
and the first such error is raised at the end, exactly as in Go.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from chaos_locust.proxy.errors import bad_body
from chaos_locust.proxy.gojson_scan import GoJsonError, Node, scan


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, bool, float32, int or int64 by its Go name; `nullable` is a Go pointer."""

    go_type: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a struct: its shape, its key in the filled dict, and the embedded structs on the way."""

    shape: Scalar | Struct | List
    embedded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Struct:
    """A Go struct; `name` is "" for an anonymous one. Filled into a dict by JSON name."""

    name: str
    go_type: str
    members: dict[str, Member] = field(default_factory=dict)

    def member(self, key: str) -> str | None:
        """The JSON name that `key` means: exact first, then in any case, as Go does."""
        if key in self.members:
            return key
        folded = _fold(key)
        return next((name for name in self.members if _fold(name) == folded), None)


@dataclass(frozen=True, slots=True)
class List:
    """A Go slice of structs. Filled into a list of dicts."""

    go_type: str
    element: Struct


def decode(data: bytes, shape: Struct | List, target: Any) -> Any:
    """Fills `target` (a dict for a Struct, a list for a List) from the first JSON value in `data`.

    Raises `ApiError`: for bad syntax before anything was filled in, for a bad type after all the rest was.
    """
    filler = _Filler()
    try:
        filler.fill(scan(data), shape, target, "", ())
    except GoJsonError as error:
        raise bad_body(error) from None
    if filler.error is not None:
        raise bad_body(filler.error)
    return target


def value_of(data: bytes, key: str) -> Any:
    """The value of a key of the object in `data` as plain data, for what is not Toxiproxy's; None: not there.

    To be asked after `decode`, which tells what is wrong with the JSON.
    """
    members = scan(data).members or []
    return next((_plain(value) for name, value in reversed(members) if name == key), None)


def plain(data: bytes) -> Any:
    """The first JSON value of `data` as plain data. Raises `GoJsonError`."""
    return _plain(scan(data))


def _plain(node: Node) -> Any:
    match node.kind:
        case "object":
            return {key: _plain(value) for key, value in node.members or []}
        case "array":
            return [_plain(item) for item in node.items or []]
        case "number":
            return int(node.text) if node.text.lstrip("-").isdigit() else float(node.text)
        case "bool":
            return node.text == "true"
        case "null":
            return None
    return node.text


class _Filler:
    def __init__(self) -> None:
        self.error: str | None = None

    def wrong(self, word: str, go_type: str, owner: str, path: tuple[str, ...]) -> None:
        if self.error is None:
            place = f"struct field {owner}.{'.'.join(path)}" if owner or path else "value"
            self.error = f"json: cannot unmarshal {word} into Go {place} of type {go_type}"

    def fill(
        self, node: Node, shape: Scalar | Struct | List, current: Any, owner: str, path: tuple[str, ...]
    ) -> Any:
        """Returns what `current` becomes; dicts and lists are filled in place."""
        if node.kind == "null":
            return None if isinstance(shape, Scalar) and shape.nullable else current
        if isinstance(shape, Scalar):
            return self.scalar(node, shape, current, owner, path)
        if isinstance(shape, List) and node.items is not None:
            for item in node.items:
                element: dict[str, Any] = {}
                self.fill(item, shape.element, element, owner, path)
                current.append(element)
        elif isinstance(shape, Struct) and node.members is not None:
            for key, value in node.members:
                name = shape.member(key)
                if name is not None:
                    member = shape.members[name]
                    inner = (*path, *member.embedded, name)
                    current[name] = self.fill(value, member.shape, current.get(name, {}), shape.name, inner)
        else:
            self.wrong(node.kind, shape.go_type, owner, path)
        return current

    def scalar(self, node: Node, shape: Scalar, current: Any, owner: str, path: tuple[str, ...]) -> Any:
        if node.kind == "string" and shape.go_type == "string":
            return node.text
        if node.kind == "bool" and shape.go_type == "bool":
            return node.text == "true"
        if node.kind == "number" and shape.go_type in ("int", "int64", "float32"):
            number = float32(node.text) if shape.go_type == "float32" else _int64(node.text)
            if number is not None:
                return number
            self.wrong(f"number {node.text}", shape.go_type, owner, path)
            return current
        self.wrong(node.kind, shape.go_type, owner, path)
        return current


def _fold(name: str) -> str:
    # Under simple folding the long s and the Kelvin sign are letters too; lower() knows only the second.
    return name.replace("\u017f", "s").lower()


def _int64(text: str) -> int | None:
    # 19 digits are enough for every int64; the test also keeps Python from converting endless texts.
    if not text.lstrip("-").isdigit() or len(text) > 20:
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def float32(text: str) -> float | None:
    """The nearest float32 of a JSON number; None if it is too large."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", float(text)))[0])
    except OverflowError:
        return None


def _format_float32(value: float) -> str:
    """The shortest text that is this float32 and no other, in Go's notation."""
    shortest = next(text for digits in range(1, 18) if float32(text := f"{value:.{digits}g}") == value)
    number = Decimal(shortest)
    if number and (abs(number) < Decimal("1e-6") or abs(number) >= Decimal("1e21")):
        mantissa, _, exponent = f"{number.normalize():e}".partition("e")
        return f"{mantissa}e{int(exponent):+d}"
    return f"{number:f}"


_HTML = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})
_QUOTED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROL = str.maketrans({chr(c): f"\\u{c:04x}" for c in range(0x20)} | _QUOTED)


def encode(value: Any) -> str:
    """JSON text as Go's Marshal writes it: no spaces, HTML characters escaped, floats as float32."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_CONTROL).translate(_HTML)}"'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _format_float32(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(str(k))}:{encode(v)}" for k, v in value.items()) + "}"
    return "[" + ",".join(map(encode, value)) + "]"
