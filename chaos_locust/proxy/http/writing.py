"""Heads of HTTP/1 messages: made here, or edited with every other line as it was."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from chaos_locust.proxy.http.settings import NO_BODY, Headers

# A body of ours has neither the coding nor the identity of the one whose place it takes.
_OF_THE_BODY = (
    b"content-length", b"transfer-encoding", b"content-encoding", b"trailer", b"content-range", b"etag",
    b"last-modified", b"content-md5", b"digest", b"content-digest", b"repr-digest",
)  # fmt: skip
# With these, an answer may leave the body out or give a part of it.
CONDITIONS: Headers = tuple(
    (name, None)
    for name in (
        "If-None-Match",
        "If-Modified-Since",
        "If-Match",
        "If-Unmodified-Since",
        "If-Range",
        "Range",
    )
)


def edited(head: bytes, headers: Headers) -> bytes:
    """The head with these headers set, in place of all of that name, or removed."""
    if not headers:
        return head
    head = _without(head, [name.lower().encode() for name, _ in headers])
    lines = [_line(name, value) for name, value in headers if value is not None]
    return head[:-2] + b"".join(lines) + b"\r\n"


def with_body(head: bytes, body: bytes, status: int | None, headers: Headers) -> bytes:
    """The head of an answer for another body, and another status where one is given."""
    if status is not None:
        head = _without(head, [b"content-type"])
        version, _, _ = head.partition(b" ")
        head = b"%s %s\r\n" % (version, _status(status)) + head.partition(b"\r\n")[2]
    head = _without(head, _OF_THE_BODY)
    return edited(_sized(head[:-2], body, status) + b"\r\n", headers)


def made(status: int, body: bytes, headers: Headers, closes: bool) -> bytes:
    """The head of an answer of ours."""
    head = _sized(b"HTTP/1.1 %s\r\n" % _status(status), body, status)
    if closes:
        head += b"Connection: close\r\n"
    return edited(head + b"\r\n", headers)


def _sized(head: bytes, body: bytes, status: int | None) -> bytes:
    return head if status in NO_BODY else head + b"Content-Length: %d\r\n" % len(body)


def _status(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"{status} {phrase}".encode()


def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()


def _without(head: bytes, names: Iterable[bytes]) -> bytes:
    first, _, rest = head.partition(b"\r\n")
    unwanted, kept, dropping = set(names), [first], False
    for line in rest.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):  # else it goes on from the line before
            dropping = line.partition(b":")[0].lower() in unwanted
        if not dropping:
            kept.append(line)
    return b"\r\n".join(kept)
