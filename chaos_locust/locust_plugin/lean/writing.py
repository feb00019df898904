"""Requests as bytes. No I/O but reading the files that are to be sent."""

from __future__ import annotations

import io
import json as jsonlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from geventhttpclient.url import URL, requote_uri
from requests import PreparedRequest

from chaos_locust import __version__
from chaos_locust.locust_plugin.lean.connecting import Origin, Proxy
from chaos_locust.locust_plugin.lean.decoding import codings

BLOCK_BYTES: Final = 64 * 1024
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_WITH_BODY = ("POST", "PUT", "PATCH")
_FRAMING = ("content-length", "transfer-encoding", "connection", "upgrade", "expect")

Body = bytes | Iterable[bytes | str] | None
"""All of it, or what gives it piece by piece: then it can be sent once only."""


class Target:
    """Where one request goes. Raises ValueError for what is no URL of HTTP.

    url: as asked for. path: with the query, escaped as it is sent.
    """

    __slots__ = ("origin", "path", "url")

    def __init__(self, url: str, params: Any = None) -> None:
        try:
            parts = URL(url, params=params)
            host, port = parts.host, parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not host or not port:
            raise ValueError(f"{url!r} is no URL that begins with http:// or https:// and names a host")
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        self.url = str(parts)
        self.origin = Origin(parts.scheme, host, port)
        path = parts.quoted_uri
        self.path = path if path.startswith("/") else f"/{path}"


class Head:
    """All of a request that stays the same however often it is sent.

    lines: each ended by CR LF. own: the names of the headers that were asked for, in small letters.
    """

    __slots__ = ("fields", "lines", "method", "own", "target")

    def __init__(self, method: str, target: Target, fields: Mapping[str, Any], proxy: Proxy | None) -> None:
        if not _TOKEN.fullmatch(method) or method == "CONNECT":
            raise ValueError(f"{method!r} is no method of a request")
        self.method = method
        self.target = target
        self.fields = {name: str(value) for name, value in fields.items() if value is not None}
        self.own = frozenset(name.lower() for name in self.fields)
        standard = {
            "Host": target.origin.netloc(),
            "User-Agent": f"chaos-locust/{__version__}",
            "Accept-Encoding": ", ".join(codings()),
        }
        path = target.path
        if proxy is not None:
            path = f"{target.origin.scheme}://{target.origin.netloc()}{path}"
            if proxy.authorization is not None:
                standard["Proxy-Authorization"] = proxy.authorization
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in standard.items() if name.lower() not in self.own]
        for name, value in self.fields.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if not _VALUE.fullmatch(value):
                raise ValueError(f"header {name}: the value has a character that none may have")
            lines.append(f"{name}: {value}")
        self.lines = "".join(f"{line}\r\n" for line in lines).encode("latin-1")

    @property
    def plain(self) -> bool:
        """Does the request leave it to us how its body is framed and how long the connection lasts?"""
        return self.own.isdisjoint(_FRAMING)

    def message(self, body: Body, cookies: str | None) -> bytes | Iterator[bytes]:
        """What is to be sent; in one piece, if the body is."""
        start = self.lines if cookies is None else self.lines + f"Cookie: {cookies}\r\n".encode("latin-1")
        if body is None and (self.method not in _WITH_BODY or not self.plain):
            return start + b"\r\n"
        if "transfer-encoding" in self.own:
            return _pieces(start + b"\r\n", _chunked(body))
        if body is None:
            body = b""
        if isinstance(body, bytes):
            if "content-length" in self.own:
                return start + b"\r\n" + body
            return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)
        length = _length(body)
        if length is None:
            return _pieces(start + b"Transfer-Encoding: chunked\r\n\r\n", _chunked(body))
        if "content-length" not in self.own:
            start += b"Content-Length: %d\r\n" % length
        return _pieces(start + b"\r\n", _blocks(body))


def body_of(data: Any, json: Any, files: Any) -> tuple[Body, dict[str, str]]:
    """The body, and the headers that go with it unless others were asked for."""
    if files:
        prepared = PreparedRequest()
        prepared.prepare_headers({})
        prepared.prepare_body(data, files)
        body: Any = prepared.body
        return body, {"Content-Type": str(prepared.headers["Content-Type"])}
    if not data:
        if json is None:
            return None, {}
        return jsonlib.dumps(json).encode(), {"Content-Type": JSON, "Accept": JSON}
    if isinstance(data, str):
        return data.encode(), {"Content-Type": TEXT}
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), {"Content-Type": BYTES}
    if isinstance(data, Mapping) or (isinstance(data, list | tuple) and isinstance(data[0], tuple)):
        return urlencode(data, doseq=True).encode(), {"Content-Type": FORM}
    if hasattr(data, "read") or hasattr(data, "__iter__"):
        return data, {"Content-Type": BYTES}
    raise ValueError(f"data of type {type(data).__name__} cannot be sent")


def redirected(url: str, location: bytes) -> str:
    """Where the Location header leads to from this URL; without a fragment."""
    try:
        text = location.decode()
    except UnicodeDecodeError:
        text = location.decode("latin-1")
    place = requote_uri(text)
    parts = urlsplit(place if urlsplit(place).scheme else urljoin(url, place))
    return urlunsplit(parts._replace(fragment=""))


def _length(body: Any) -> int | None:
    """What is left of a file of bytes; None: only its end tells."""
    if isinstance(body, io.TextIOBase):
        return None
    try:
        return os.fstat(body.fileno()).st_size - int(body.tell())
    except (AttributeError, OSError):
        return None


def _blocks(body: Any) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    blocks = iter(lambda: body.read(BLOCK_BYTES), type(body.read(0))()) if hasattr(body, "read") else body
    for block in blocks:
        yield block.encode() if isinstance(block, str) else bytes(block)


def _chunked(body: Body) -> Iterator[bytes]:
    for block in _blocks(b"" if body is None else body):
        if block:
            yield b"%x\r\n%b\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


def _pieces(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from rest
