"""Reads one JSON value with the grammar and the error texts of Go's `encoding/json` decoder.

Toxiproxy's clients see these texts, so they are part of the contract. What follows the first value is
ignored, as by Go's stream decoder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["object", "array", "string", "number", "bool", "null"]

_MAX_DEPTH = 10_000
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_STRAY = re.compile("[\udc80-\udcff]")
_DIGITS = re.compile(rb"[0-9]*")
_HEX = b"0123456789abcdefABCDEF"
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", "/": "/", '"': '"'}
_WORDS: dict[bytes, tuple[bytes, Kind]] = {
    b"t": (b"true", "bool"),
    b"f": (b"false", "bool"),
    b"n": (b"null", "null"),
}


class GoJsonError(ValueError):
    """The value cannot be read; its text is what Go would say."""


@dataclass(slots=True)
class Node:
    """One JSON value: `text` is a string's content or a literal as written; `members` an object's pairs in
    the order written; `items` an array's values."""

    kind: Kind
    text: str = ""
    members: list[tuple[str, Node]] | None = None
    items: list[Node] | None = None


def quote_char(c: int) -> str:
    """One byte in single quotes as Go prints it in an error."""
    special = {0x27: r"'\''", 0x22: "'\"'", 0x5C: r"'\\'", 7: r"'\a'", 8: r"'\b'", 9: r"'\t'"}
    special |= {10: r"'\n'", 11: r"'\v'", 12: r"'\f'", 13: r"'\r'"}
    if c in special:
        return special[c]
    if c < 0x20 or c == 0x7F:
        return f"'\\x{c:02x}'"
    # U+00A0 and U+00AD are the two Latin-1 characters that Go does not count as printable.
    if 0x80 <= c < 0xA1 or c == 0xAD:
        return f"'\\u{c:04x}'"
    return f"'{chr(c)}'"


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def peek(self) -> int:
        """The byte here. Raises at the end of the data."""
        if self.at >= len(self.data):
            raise GoJsonError("unexpected EOF" if self.data.strip(b" \t\r\n") else "EOF")
        return self.data[self.at]

    def fail(self, context: str) -> GoJsonError:
        return GoJsonError(f"invalid character {quote_char(self.peek())} {context}")

    def skip(self, pattern: re.Pattern[bytes]) -> bytes:
        match = pattern.match(self.data, self.at)
        assert match is not None  # every pattern here also matches nothing
        self.at = match.end()
        return match.group()

    def space(self) -> int:
        self.skip(_SPACE)
        return self.peek()

    def literal(self) -> Node:
        c = self.peek()
        first = bytes((c,))
        if c == 0x22:
            return Node("string", self.string())
        if c == 0x2D or first.isdigit():
            return Node("number", self.number())
        if first in _WORDS:
            word, kind = _WORDS[first]
            for expected in word:
                if self.peek() != expected:
                    raise self.fail(f"in literal {word.decode()} (expecting '{chr(expected)}')")
                self.at += 1
            return Node(kind, word.decode())
        raise self.fail("looking for beginning of value")

    def string(self) -> str:
        self.at += 1
        parts: list[str] = []
        while True:
            # Every single byte that is not UTF-8 becomes a U+FFFD.
            parts.append(_STRAY.sub("\ufffd", self.skip(_PLAIN).decode("utf-8", "surrogateescape")))
            c = self.peek()
            if c == 0x22:
                self.at += 1
                # A pair of \u escapes is one character; a lone half of one is U+FFFD.
                joined = "".join(parts).encode("utf-16-le", "surrogatepass")
                return joined.decode("utf-16-le", "replace")
            if c != 0x5C:
                raise self.fail("in string literal")
            self.at += 1
            parts.append(self.escape())

    def escape(self) -> str:
        c = chr(self.peek())
        if c in _ESCAPES:
            self.at += 1
            return _ESCAPES[c]
        if c != "u":
            raise self.fail("in string escape code")
        self.at += 1
        start = self.at
        for _ in range(4):
            if self.peek() not in _HEX:
                raise self.fail("in \\u hexadecimal character escape")
            self.at += 1
        return chr(int(self.data[start : self.at], 16))

    def number(self) -> str:
        start = self.at
        if self.peek() == 0x2D:
            self.at += 1
        if self.peek() == 0x30:
            self.at += 1
        elif not self.skip(_DIGITS):
            raise self.fail("in numeric literal")
        if self.data[self.at : self.at + 1] == b".":
            self.at += 1
            self.digits("after decimal point in numeric literal")
        if self.data[self.at : self.at + 1] in (b"e", b"E"):
            self.at += 1
            if self.peek() in b"+-":
                self.at += 1
            self.digits("in exponent of numeric literal")
        return self.data[start : self.at].decode()

    def digits(self, context: str) -> None:
        self.peek()
        if not self.skip(_DIGITS):
            raise self.fail(context)

    def key(self) -> str:
        if self.peek() != 0x22:
            raise self.fail("looking for beginning of object key string")
        name = self.string()
        if self.space() != 0x3A:
            raise self.fail("after object key")
        self.at += 1
        return name


def _closes(scanner: _Scanner, container: Node) -> bool:
    """True if the empty container that was just opened is closed at once."""
    if scanner.space() == (0x7D if container.kind == "object" else 0x5D):
        scanner.at += 1
        return True
    return False


def scan(data: bytes) -> Node:
    """Returns the first JSON value of `data`. Raises `GoJsonError`. Nesting is not recursion here."""
    scanner = _Scanner(data)
    open_: list[Node] = []
    keys: list[str] = []
    while True:
        c = scanner.space()
        if c in b"{[":
            node = Node("object", members=[]) if c == 0x7B else Node("array", items=[])
            open_.append(node)
            if len(open_) > _MAX_DEPTH:
                raise scanner.fail("exceeded max depth")
            scanner.at += 1
            if not _closes(scanner, node):
                if node.members is not None:
                    keys.append(scanner.key())
                continue
            open_.pop()
        else:
            node = scanner.literal()
        while True:
            if not open_:
                return node
            parent = open_[-1]
            if parent.members is not None:
                parent.members.append((keys.pop(), node))
                end, context = 0x7D, "after object key:value pair"
            else:
                assert parent.items is not None
                parent.items.append(node)
                end, context = 0x5D, "after array element"
            c = scanner.space()
            if c == 0x2C:
                scanner.at += 1
                if parent.members is not None:
                    scanner.space()
                    keys.append(scanner.key())
                break
            if c != end:
                raise scanner.fail(context)
            scanner.at += 1
            node = open_.pop()
