"""A connected socket of which every wait ends at a deadline. One greenlet at a time may use it.

Waits are what a load generator does most: the socket's watchers are kept, and so is one timer, which is only
looked at when it has run out.
"""

from __future__ import annotations

import os
import select
import weakref
from math import inf
from time import perf_counter
from typing import Any, Final

from gevent import get_hub, getcurrent
from gevent.monkey import get_original
from gevent.socket import IPPROTO_TCP, SO_ERROR, SOL_SOCKET, TCP_NODELAY

BLOCK_BYTES: Final = 64 * 1024
_READ: Final = 1
_WRITE: Final = 2
_READY: Final = object()
_LATE: Final = object()

new_socket: Final[Any] = get_original("socket", "socket")
"""Python's own: gevent's would wait by itself."""
_new_poll: Final[Any] = get_original("select", "poll")


class Wire:
    """Deadlines are moments of `perf_counter`; TimeoutError when one has passed.

    It has to be closed; what is forgotten is closed with it.
    """

    def __init__(self, sock: Any) -> None:
        sock.setblocking(False)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._sock = sock
        self._hub: Any = get_hub()
        self._readable: Any = self._hub.loop.io(sock.fileno(), _READ)
        self._writable: Any = None
        self._timer: Any = None
        self._fires_s = inf
        self._deadline_s = inf
        self._waiting: Any = None
        self._poll = _new_poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    def connect(self, address: Any, deadline_s: float) -> None:
        if self._sock.connect_ex(address):
            self._wait(self._to_write(), deadline_s)
            code = self._sock.getsockopt(SOL_SOCKET, SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))

    def send(self, data: bytes, deadline_s: float) -> None:
        sent = self._send(data)
        if sent == len(data):
            return
        rest = memoryview(data)[sent:]
        while rest:
            self._wait(self._to_write(), deadline_s)
            rest = rest[self._send(rest) :]

    def receive(self, deadline_s: float) -> bytes:
        """At most 64 KiB; nothing when the other side has closed."""
        while True:
            self._wait(self._readable, deadline_s)
            try:
                return self._sock.recv(BLOCK_BYTES)  # type: ignore[no-any-return]
            except BlockingIOError:
                continue

    def quiet(self) -> bool:
        """Has nothing come, not even the end?"""
        return not self._poll.poll(0)

    def receive_now(self) -> bytes:
        """What has come already, which must be something."""
        return self._sock.recv(BLOCK_BYTES)  # type: ignore[no-any-return]

    def close(self) -> None:
        for watcher in (self._readable, self._writable, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._readable = self._writable = self._timer = None
        self._sock.close()

    def __del__(self) -> None:
        self.close()

    # -- inside -----------------------------------------------------------------------------------------

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)  # type: ignore[no-any-return]
        except BlockingIOError:
            return 0

    def _to_write(self) -> Any:
        if self._writable is None:
            self._writable = self._hub.loop.io(self._sock.fileno(), _WRITE)
        return self._writable

    def _wait(self, watcher: Any, deadline_s: float) -> None:
        if deadline_s < self._fires_s:
            self._arm(deadline_s)
        self._deadline_s = deadline_s
        self._waiting = getcurrent()
        watcher.start(self._waiting.switch, _READY)
        try:
            reason = self._hub.switch()
        finally:
            watcher.stop()
            self._waiting = None
        if reason is _LATE:
            raise TimeoutError

    def _arm(self, deadline_s: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._fires_s = deadline_s
        self._timer = self._hub.loop.timer(max(0.0, deadline_s - perf_counter()), ref=False)
        self._timer.start(_look, weakref.ref(self))

    def _look(self) -> None:
        """The timer has run out. Most often it was set for a wait that is long over."""
        self._fires_s = inf
        if self._waiting is None:
            return
        if perf_counter() >= self._deadline_s:
            self._waiting.switch(_LATE)
        else:
            self._arm(self._deadline_s)


def _look(reference: weakref.ref[Wire]) -> None:
    wire = reference()
    if wire is not None:
        wire._look()
