"""The attributes of a toxic on HTTP messages: what it matches and what it does, read from the API's JSON."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

Headers = tuple[tuple[str, str | None], ...]

_LONGEST_BODY = 1 << 20
_LARGEST = 2**53
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[^\x00-\x1f\x7f]*")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
# They say where a message ends, which has to stay true.
_FRAMING = frozenset(("content-length", "transfer-encoding", "connection", "upgrade", "trailer", "te"))
NO_BODY = (204, 304)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is no text")
    return value


def _route(value: Any) -> str:
    if _text(value) and (value[0] not in "/*" or not re.fullmatch("[!-~\u0080-\u00ff]+", value)):
        raise ValueError(f"'{value[:60]}' is no path; give one such as /orders/*")
    return str(value)


def _method(value: Any) -> str:
    if _text(value) and not _METHOD.fullmatch(value):
        raise ValueError(f"'{value[:60]}' is no method; give one such as GET")
    return str(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _whole(least: int, most: int = _LARGEST) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"is not allowed; give a whole number from {least} to {most}")
        return value

    return read


def _body(value: Any) -> bytes:
    return _limited(_text(value).encode())


def _body_base64(value: Any) -> bytes:
    try:
        return _limited(base64.b64decode(_text(value), validate=True))
    except ValueError as error:
        raise ValueError(f"is not allowed: {error}") from None


def _limited(body: bytes) -> bytes:
    if len(body) > _LONGEST_BODY:
        raise ValueError(f"is too long; allowed are {_LONGEST_BODY} bytes")
    return body


def _headers(value: Any) -> Headers:
    if not isinstance(value, Mapping):
        raise ValueError("is no object; give names and values, null for a header to be removed")
    for name, text in value.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"'{name[:60]}' is no name of a header")
        if name.lower() in _FRAMING:
            raise ValueError(f"{name} says where the message ends, and cannot be changed")
        if text is not None and not (isinstance(text, str) and _FIELD_VALUE.fullmatch(text)):
            raise ValueError(f"the value of {name} is neither one line of text nor null")
        if text is not None and not text.isascii():
            raise ValueError(f"the value of {name} is not ASCII")
    return tuple(value.items())


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Which messages a toxic of type `http` changes, and how. What is left out is left as it is.

    route: a path, `*` for any characters; matched against the path with its query if it has a `?`, else
    without; "": every path. method: "": every method.
    status: the answer is made here, and the request is never sent on; with `ask_upstream` it is sent on, and
    the answer to it is replaced. body: of a made answer; without `status` it takes the place of the body of
    the upstream's answer. `body_base64` gives it as bytes.
    delay_ms: the answer is held so long. rate: bytes of body a second. truncate: the connection is closed
    after so many bytes of body, where there are more. corrupt_every: one byte of each so many bytes of body
    is changed, and at least one. request_headers, response_headers: set, or removed where the value is null.
    expires_ms: the toxic removes itself so long after it was made or this was last set; 0: never.
    """

    route: str = ""
    method: str = ""
    status: int = 0
    ask_upstream: bool = False
    body: bytes | None = None
    delay_ms: int = 0
    rate: int = 0
    truncate: int | None = None
    corrupt_every: int = 0
    request_headers: Headers = ()
    response_headers: Headers = ()
    expires_ms: int = 0

    def changed(self, given: Mapping[str, Any]) -> HttpSettings:
        """With the attributes of the API's JSON; null sets one back. Raises ValueError: what is wrong."""
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in _READERS:
                raise ValueError(f"'{key}' is no attribute of an http toxic; allowed: {', '.join(_READERS)}")
            field = "body" if key == "body_base64" else key
            if field in values:
                raise ValueError("body and body_base64 are both given")
            try:
                values[field] = _DEFAULTS[field] if value is None else _READERS[key](value)
            except ValueError as error:
                raise ValueError(f"attribute {key}: {error}") from None
        settings = replace(self, **values)
        if settings.status in NO_BODY and settings.body:
            raise ValueError(f"attribute body: a status of {settings.status} has no body")
        if settings.ask_upstream and not settings.status:
            raise ValueError("attribute ask_upstream: has no effect without status")
        return settings

    def document(self) -> dict[str, Any]:
        """As the API shows it: what is not left out."""
        document: dict[str, Any] = {}
        for name in _DEFAULTS:
            value = getattr(self, name)
            if value == _DEFAULTS[name]:
                continue
            if name == "body":
                name, value = _shown(value)
            document[name] = dict(value) if isinstance(value, tuple) else value
        return document

    def matches(self, method: bytes, target: bytes) -> bool:
        """target: as in the request line."""
        if self.method and method != self.method.encode():
            return False
        return not self.route or glob_matches(self.route, path_of(target, "?" in self.route))

    @property
    def answers(self) -> bool:
        """The answer is made here, without asking the upstream."""
        return self.status > 0 and not self.ask_upstream

    @property
    def replaces(self) -> bool:
        """The upstream's answer, or its body, gives way to another."""
        return not self.answers and (self.status > 0 or self.body is not None)


def _shown(body: bytes) -> tuple[str, str]:
    try:
        return "body", body.decode()
    except UnicodeDecodeError:
        return "body_base64", base64.b64encode(body).decode()


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(HttpSettings)}
_READERS: dict[str, Callable[[Any], Any]] = {
    "route": _route,
    "method": _method,
    "status": _whole(200, 599),
    "ask_upstream": _boolean,
    "body": _body,
    "body_base64": _body_base64,
    "delay_ms": _whole(0),
    "rate": _whole(0),
    "truncate": _whole(0),
    "corrupt_every": _whole(0),
    "request_headers": _headers,
    "response_headers": _headers,
    "expires_ms": _whole(0),
}


def path_of(target: bytes, with_query: bool) -> str:
    """The path of a request's target, of the absolute form too."""
    text = target.decode("latin-1")
    if not text.startswith("/") and "://" in text:
        text = "/" + text.partition("://")[2].partition("/")[2]
    return text if with_query else text.partition("?")[0]


def glob_matches(pattern: str, text: str) -> bool:
    """`*` stands for any characters, also none. In linear time for each part."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
