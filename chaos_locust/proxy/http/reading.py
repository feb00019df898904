"""Cuts a stream of bytes into the parts of HTTP/1 messages, with every byte as it was sent.

h11 does the reading. What it refuses, what contradicts itself and what is no HTTP is `NotUnderstood`: then
nobody can say where the message ends, and it has to pass as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import h11

HEAD_LIMIT = 64 * 1024
"""A longer head is not understood."""

# What h11 is given at a time: it copies what it has not read yet whenever it is asked for that.
_SLICE = 16 * 1024
_REQUEST_LINE = re.compile(rb"[A-Z][A-Z-]{0,31} [!-\xff]+ HTTP/1\.[01]\r\n")
_REQUEST_LINE_BEGUN = re.compile(
    rb"[A-Z][A-Z-]{0,31}(?: (?:[!-\xff]+(?: (?:H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[01]\r?)?)?)?)?)?)?)?)?)?)?)?"
)
_STATUS_LINE = b"HTTP/1."
# All that has a bearing on how the answer is read; any other method is as good as GET. To the upgrade that is
# proposed here only an upstream agrees to which the client has proposed one.
_ASKED = {
    method: h11.Request(
        method=method, target=b"/", headers=[(b"host", b"-"), (b"connection", b"upgrade"), (b"upgrade", b"-")]
    )
    for method in (b"GET", b"HEAD", b"CONNECT")
}


class NotUnderstood(Exception):
    """The bytes are no HTTP/1 message, or one whose end cannot be told for certain."""


class Part(NamedTuple):
    """kind: `head` (with `event`), `body`, `framing` (between pieces of a chunked body) or `end`. raw: as on
    the wire."""

    kind: Literal["head", "body", "framing", "end"]
    raw: bytes
    event: h11.Request | h11.InformationalResponse | h11.Response | None = None


def begins_a_request(data: bytes) -> bool | None:
    """Whether these bytes are the beginning of a request; None: they may become one."""
    if b"\n" in data:
        return _REQUEST_LINE.match(data) is not None
    if len(data) > HEAD_LIMIT:
        return False
    return None if not data or _REQUEST_LINE_BEGUN.fullmatch(data) else False


def may_begin_an_answer(data: bytes) -> bool:
    return data.startswith(_STATUS_LINE) or _STATUS_LINE.startswith(data)


class Reader:
    """Reads one message; `rest` is what came after it, or what could not be read."""

    def __init__(self, parser: h11.Connection) -> None:
        self._parser = parser
        self._raw = bytearray()  # given to the parser, and not told yet
        self._unfed = b""
        self.over = False

    def feed(self, data: bytes) -> Iterator[Part]:
        """The parts that these bytes complete. Raises NotUnderstood; what was told before it stands."""
        self._unfed += data
        while not self.over and self._unfed:
            piece, self._unfed = self._unfed[:_SLICE], self._unfed[_SLICE:]
            self._raw += piece
            self._parser.receive_data(piece)
            yield from self._parts()

    def feed_end(self) -> Iterator[Part]:
        """The stream has ended. Raises NotUnderstood if that is in the middle of the message."""
        self._parser.receive_data(b"")
        yield from self._parts()

    @property
    def rest(self) -> bytes:
        return bytes(self._raw) + self._unfed

    @property
    def is_waiting_for_100_continue(self) -> bool:
        return self._parser.they_are_waiting_for_100_continue

    def _parts(self) -> Iterator[Part]:
        while not self.over:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                raise NotUnderstood(str(error)) from None
            if isinstance(event, h11.Request | h11.InformationalResponse | h11.Response):
                _certain(bytes(self._raw[: self._read()]), event)
                yield Part("head", self._told(), event)
            elif isinstance(event, h11.Data):
                raw, size = self._told(), len(event.data)
                if len(raw) > size:
                    yield Part("framing", raw[:-size])
                yield Part("body", raw[-size:])
            elif isinstance(event, h11.EndOfMessage):
                self.over = True
                yield Part("end", self._told())
            else:  # more is needed
                if framing := self._told():
                    yield Part("framing", framing)
                return

    def _read(self) -> int:
        return len(self._raw) - len(self._parser.trailing_data[0])

    def _told(self) -> bytes:
        size = self._read()
        raw = bytes(self._raw[:size])
        del self._raw[:size]
        return raw


def _certain(raw: bytes, event: h11.Request | h11.InformationalResponse | h11.Response) -> None:
    """Raises NotUnderstood for what one receiver may read in one way and another in another."""
    names = {name for name, _ in event.headers}
    if b"content-length" in names and b"transfer-encoding" in names:
        raise NotUnderstood("it has a content-length and a transfer-encoding")
    if b"transfer-encoding" in names and event.http_version != b"1.1":
        raise NotUnderstood("it has a transfer-encoding, and is not of HTTP/1.1")
    if raw.count(b"\n") != raw.count(b"\r\n") or raw.count(b"\r") != raw.count(b"\r\n"):
        raise NotUnderstood("it has lines that do not end in CR LF")


def request_reader() -> Reader:
    return Reader(h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT))


def answer_reader(method: bytes) -> Reader:
    """For the answers to a request of this method: those in between (1xx) one by one, then the last."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
    parser.send(_ASKED.get(method, _ASKED[b"GET"]))
    return Reader(parser)
