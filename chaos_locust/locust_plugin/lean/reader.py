"""The replies of one connection: framed by llhttp, which is strict; limits and ends are kept here. No I/O."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from chaos_locust.locust_plugin.lean.failures import BadReply, BodyTooLarge, CutOff, HeadTooLarge

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_INTERIM: Final = 20
"""So many 1xx replies may come before the real one."""
SWITCHING_PROTOCOLS: Final = 101
_END: Final = b"\r\n\r\n"


class _Over(Exception):
    """Makes llhttp stop: what follows belongs to no request."""


class ReplyReader:
    """`begin` a reply, `feed` what is received until `done`; then see what has come of it.

    status: 0 until the head is complete. head: status line and headers, without the empty line; llhttp lets
    pass only one line for each header, ended by CR LF. received: whether anything has come. reusable: nothing
    came after the reply, and the server keeps the connection open.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._body = bytearray()
        self.on_body = self._chunks.append
        self._parser = HttpResponseParser(self)
        self.begin(False, None)

    def begin(self, to_head: bool, max_body_bytes: int | None) -> None:
        """to_head: the request is a HEAD, whose reply has no body whatever it says. max_body_bytes: None for
        a body that is taken while it comes."""
        self.status = 0
        self.head = b""
        self.done = False
        self.reusable = False
        self.received = False
        self._interim = 0
        self._raw = b""
        self._to_head = to_head
        self._max_body_bytes = max_body_bytes

    def feed(self, data: bytes) -> None:
        """Raises BadReply, or the kind of it that fits; the connection is of no use then."""
        self.received = True
        if self._to_head:
            self._feed_lines(data)
        else:
            self._feed(data)
            if self._chunks and not self.done:
                self._gather()

    def end(self) -> None:
        """The server has closed the connection. Raises CutOff unless that is how the body ends."""
        if not self.status:
            raise CutOff("closed within the head" if self.received else "closed before the reply")
        said = {name.lower(): value.lower() for name, value in header_lines(self.head)}
        if "content-length" in said or said.get("transfer-encoding", "").endswith("chunked"):
            raise CutOff("closed within the body")
        self.done = True

    def take_body(self) -> bytes:
        """What has come of the body since the last call. Raises BodyTooLarge."""
        chunks = self._chunks
        if self._body:
            self._gather()
            body = bytes(self._body)
            self._body.clear()
            return body
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._limit(len(body))
        return body

    # -- what llhttp calls ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.done:
            raise _Over

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 or status == SWITCHING_PROTOCOLS:
            self.status = status
            if self._to_head:
                self.done = True
                raise _Over

    def on_message_complete(self) -> None:
        if self.status:
            self.done = True
            self.reusable = self.status != SWITCHING_PROTOCOLS and self._parser.should_keep_alive()
        else:
            self._interim += 1

    # -- inside -----------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        in_head = not self.status
        if in_head:
            self._raw += data  # without a copy, if it is the first
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.done:
                raise BadReply(str(error)) from None
            self.reusable = False  # the reply is right, what comes after it is not
        if in_head:
            if self.status:
                self._cut_head()
            elif len(self._raw) > MAX_HEAD_BYTES:
                raise HeadTooLarge(f"head of more than {MAX_HEAD_BYTES} bytes")
            if self._interim > MAX_INTERIM:
                raise BadReply(f"more than {MAX_INTERIM} interim replies")

    def _cut_head(self) -> None:
        raw = self._raw
        self._raw = b""
        for _ in range(self._interim):
            raw = raw.lstrip(b"\r\n").partition(_END)[2]
        if not raw.startswith(b"HTTP/1."):
            raw = raw.lstrip(b"\r\n")
            if not raw.startswith(b"HTTP/1."):
                raise BadReply("not a reply of HTTP/1")
        end = raw.find(_END)
        if end > MAX_HEAD_BYTES:
            raise HeadTooLarge(f"head of more than {MAX_HEAD_BYTES} bytes")
        self.head = raw[:end]

    def _feed_lines(self, data: bytes) -> None:
        """llhttp cannot be told that there will be no body: it is stopped at the line that ends the head."""
        lines = data.splitlines(keepends=True)
        for index, line in enumerate(lines):
            self._feed(line)
            if self.done:
                self.reusable = index == len(lines) - 1 and _stays_open(self.head)
                self._parser = HttpResponseParser(self)
                return

    def _gather(self) -> None:
        self._body += b"".join(self._chunks)
        self._chunks.clear()
        self._limit(len(self._body))

    def _limit(self, body_bytes: int) -> None:
        if self._max_body_bytes is not None and body_bytes > self._max_body_bytes:
            raise BodyTooLarge(f"body of more than {self._max_body_bytes} bytes")


def header_lines(head: bytes) -> list[tuple[str, str]]:
    """(name, value) as received, in ISO 8859-1 as every header may be."""
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    return [(name, value.strip(" \t")) for name, _, value in pairs]


def _stays_open(head: bytes) -> bool:
    said = {
        word.strip().lower()
        for name, value in header_lines(head)
        if name.lower() == "connection"
        for word in value.split(",")
    }
    return "close" not in said and (head.startswith(b"HTTP/1.1") or "keep-alive" in said)
