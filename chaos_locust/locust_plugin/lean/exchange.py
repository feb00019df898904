"""Requests and their replies over kept connections. A connection is used again only when its last reply has
ended, nothing came after it, and both sides leave it open."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Final

from gevent.lock import BoundedSemaphore

from chaos_locust.locust_plugin.lean.connecting import Opener, Origin
from chaos_locust.locust_plugin.lean.failures import CutOff, ReplyTimeout
from chaos_locust.locust_plugin.lean.reader import ReplyReader
from chaos_locust.locust_plugin.lean.tls import TlsWire
from chaos_locust.locust_plugin.lean.wire import Wire
from chaos_locust.locust_plugin.lean.writing import Head

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""May be sent again when nobody knows whether they arrived (RFC 9110, 9.2.2)."""
_LATE: Final = "no complete reply in time"


class _Connection:
    __slots__ = ("reader", "wire")

    def __init__(self, wire: Wire | TlsWire) -> None:
        self.wire = wire
        self.reader = ReplyReader()


class _Place:
    """The connections to one origin; `free` counts how many more requests may be under way."""

    __slots__ = ("free", "idle")

    def __init__(self, concurrency: int) -> None:
        self.free = BoundedSemaphore(concurrency)
        self.idle: list[_Connection] = []

    def take(self) -> _Connection | None:
        """The one used last, if it is still open. What came unasked must not be taken for an answer."""
        while self.idle:
            connection = self.idle.pop()
            if connection.wire.quiet():
                return connection
            connection.wire.close()
        return None

    def give_back(self, connection: _Connection, again: bool) -> None:
        if again:
            self.idle.append(connection)
        else:
            connection.wire.close()
        self.free.release()


class OpenBody:
    """A body that has not been read to its end. `read` gives the next piece, nothing at the end; `close` it
    before the end only. What is forgotten is closed with it."""

    def __init__(self, connection: _Connection, place: _Place, again: bool, timeout_s: float) -> None:
        self._connection: _Connection | None = connection
        self._place = place
        self._again = again
        self._timeout_s = timeout_s

    def read(self) -> bytes:
        """Waits for at most the time-out. Raises what an exchange does."""
        if self._connection is None:
            return b""
        reader = self._connection.reader
        try:
            piece = reader.take_body()
            deadline_s = perf_counter() + self._timeout_s
            while not piece and not reader.done:
                _receive(self._connection, deadline_s)
                piece = reader.take_body()
        except BaseException:
            self.close()
            raise
        if not piece:
            self.close()
        return piece

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            reader = connection.reader
            self._place.give_back(connection, self._again and reader.done and reader.reusable)

    def __del__(self) -> None:
        self.close()


class Reply:
    """head_s: when the head was complete. body: all of it, as sent; but for a streamed one, which is `rest`.
    deadline_s: that of the request, moved on by the time that connecting took."""

    __slots__ = ("body", "deadline_s", "head", "head_s", "rest", "status")

    def __init__(self, reader: ReplyReader, head_s: float, deadline_s: float) -> None:
        self.status = reader.status
        self.head = reader.head
        self.head_s = head_s
        self.deadline_s = deadline_s
        self.body = b""
        self.rest: OpenBody | None = None


class Exchanges:
    """Those of one user. concurrency: requests to the same origin at once; more wait for one another."""

    def __init__(self, opener: Opener, concurrency: int, timeout_s: float, max_body_bytes: int) -> None:
        self._opener = opener
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._places: dict[Origin, _Place] = {}

    def exchange(
        self, head: Head, message: bytes | Iterator[bytes], deadline_s: float, stream: bool
    ) -> Reply:
        """Sends the request and reads its reply, whole or, as a stream, until its head is complete.

        A request on a kept connection that ends without a byte is sent once more, on a new one, if that can
        do no harm. Raises OSError, of which all time-outs are, BadReply, or ssl.SSLError.
        """
        origin = head.target.origin
        place = self._places.get(origin)
        if place is None:
            place = self._places[origin] = _Place(self._concurrency)
        place.free.acquire()
        connection: _Connection | None = None
        try:
            connection = place.take()
            kept = connection is not None
            if connection is None:
                connection, deadline_s = self._open(origin, deadline_s)
            try:
                head_s = self._ask(connection, head.method, message, deadline_s, stream)
            except (CutOff, ConnectionResetError, BrokenPipeError):
                received = connection.reader.received
                if not kept or received or head.method not in IDEMPOTENT or not isinstance(message, bytes):
                    raise
                connection.wire.close()
                connection, deadline_s = self._open(origin, deadline_s)
                head_s = self._ask(connection, head.method, message, deadline_s, stream)
            reader = connection.reader
            reply = Reply(reader, head_s, deadline_s)
            if stream:
                reply.rest = OpenBody(connection, place, head.plain, self._timeout_s)
            else:
                reply.body = reader.take_body()
        except BaseException:
            if connection is not None:
                connection.wire.close()
            place.free.release()
            raise
        if not stream:
            place.give_back(connection, reader.reusable and head.plain)
        return reply

    def close(self) -> None:
        """Closes what is idle."""
        for place in self._places.values():
            while place.idle:
                place.idle.pop().wire.close()

    def _open(self, origin: Origin, deadline_s: float) -> tuple[_Connection, float]:
        began_s = perf_counter()
        connection = _Connection(self._opener.open(origin))
        return connection, deadline_s + perf_counter() - began_s

    def _ask(
        self,
        connection: _Connection,
        method: str,
        message: bytes | Iterator[bytes],
        deadline_s: float,
        stream: bool,
    ) -> float:
        """Returns when the head was complete."""
        reader = connection.reader
        reader.begin(method == "HEAD", None if stream else self._max_body_bytes)
        refused: OSError | None = None
        try:
            _send(connection, message, deadline_s)
        except (BrokenPipeError, ConnectionResetError) as error:
            refused = error  # before the end of the body: it may have answered all the same
        try:
            while not reader.status:
                _receive(connection, deadline_s)
            head_s = perf_counter()
            while not (stream or reader.done):
                _receive(connection, deadline_s)
        except OSError as error:
            raise refused or error from None
        if refused is not None:
            reader.reusable = False
        return head_s


def _send(connection: _Connection, message: bytes | Iterator[bytes], deadline_s: float) -> None:
    send = connection.wire.send
    try:
        for piece in (message,) if isinstance(message, bytes) else message:
            send(piece, deadline_s)
    except TimeoutError:
        raise ReplyTimeout(_LATE) from None


def _receive(connection: _Connection, deadline_s: float) -> None:
    try:
        data = connection.wire.receive(deadline_s)
    except TimeoutError:
        raise ReplyTimeout(_LATE) from None
    if data:
        connection.reader.feed(data)
    else:
        connection.reader.end()
