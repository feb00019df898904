"""Reads EDN, as much of it as Jepsen writes (https://github.com/edn-format/edn)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from chaos_locust.errors import ChaosError

_TOKEN = re.compile(
    r"[\s,]+|;[^\n]*"  # nothing
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<open>#\{|[\[({])|(?P<close>[\])}])"
    r"|(?P<tag>#[A-Za-z][\w./*+!?<>=&$%-]*)"
    r'|(?P<atom>[^\s,;"\[\](){}]+)',
    re.S,
)
_CLOSES = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_WORDS = {"nil": None, "true": True, "false": False}
_NUMBER = re.compile(r"[+-]?\d+(?P<fraction>(\.\d+)?([eE][+-]?\d+)?)[NM]?")


class InvalidEdn(ChaosError):
    """Text that is no EDN; the message names the line."""


class Keyword(str):
    """`:name`, without the colon."""

    __slots__ = ()


def read_edn(text: str) -> list[Any]:
    """All forms of the text: maps with str keys, lists for lists, vectors and sets, what a tag tags, words as
    str. Raises InvalidEdn."""
    tokens = _tokens(text)
    forms = []
    for kind, token, line in tokens:
        forms.append(_form(kind, token, line, tokens))
    return forms


Tokens = Iterator[tuple[str, str, int]]


def _tokens(text: str) -> Tokens:
    place, line = 0, 1
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise InvalidEdn(f"line {line}: no EDN: {text[place : place + 20]!r}")
        if match.lastgroup is not None:
            yield match.lastgroup, match[0], line
        line += match[0].count("\n")
        place = match.end()


def _form(kind: str, token: str, line: int, tokens: Tokens) -> Any:
    match kind:
        case "string":
            try:
                return json.loads(token, strict=False)
            except ValueError:
                raise InvalidEdn(f"line {line}: no text: {token[:40]}") from None
        case "tag":
            following = next(tokens, None)
            if following is None:
                raise InvalidEdn(f"line {line}: nothing comes after {token}")
            return _form(*following, tokens)
        case "open":
            return _collection(token, line, tokens)
        case "atom":
            return _atom(token)
    raise InvalidEdn(f"line {line}: {token} closes nothing")


def _collection(opening: str, line: int, tokens: Tokens) -> Any:
    items = []
    for kind, token, at in tokens:
        if kind != "close":
            items.append(_form(kind, token, at, tokens))
            continue
        if token != _CLOSES[opening]:
            raise InvalidEdn(f"line {at}: {token} closes the {opening} of line {line}")
        if opening != "{":
            return items
        if len(items) % 2:
            raise InvalidEdn(f"line {at}: a map with a key without a value")
        return {str(key): value for key, value in zip(items[::2], items[1::2], strict=True)}
    raise InvalidEdn(f"line {line}: the {opening} is never closed")


def _atom(token: str) -> Any:
    if token in _WORDS:
        return _WORDS[token]
    if token.startswith(":"):
        return Keyword(token[1:])
    number = _NUMBER.fullmatch(token)
    if number is None:
        return token
    bare = token.rstrip("NM")
    return float(bare) if number["fraction"] else int(bare)
