"""One direction of one connection: a pump from a socket to a socket, with the toxics between them.

There is no greenlet here. All work is done in callbacks of the event loop, which never block: bytes are read
when there are some, pass through the stages, and are written when there is room. So an edit of the toxics
takes effect at once and cannot hang, whatever the peers do.
"""

from __future__ import annotations

import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chaos_locust.proxy.metrics import Direction
from chaos_locust.proxy.tls import TlsSocket
from chaos_locust.proxy.toxics.base import Chunk, End, Item, Stage

if TYPE_CHECKING:
    from chaos_locust.proxy.chain import InstalledToxic
    from chaos_locust.proxy.connection import Connection

Wire = socket.socket | TlsSocket

_READ, _WRITE = 1, 2
# Bytes that may wait for a slow reader before the sender is no longer read.
_WAITING_LIMIT = 256 * 1024
_CHUNK = 64 * 1024
_LONGEST_TIMER_S = 3600.0


class _Slot:
    """A toxic's place on this link, or that of all toxics on HTTP. `active` is the roll of its toxicity."""

    __slots__ = ("active", "stage", "toxic")

    def __init__(self, toxic: InstalledToxic | None, stage: Stage, active: bool) -> None:
        self.toxic = toxic
        self.stage = stage
        self.active = active


class Link:
    """Pumps `source` to `dest` until the end of the stream has gone through; then tells the connection."""

    def __init__(self, connection: Connection, direction: Direction, source: Wire, dest: Wire) -> None:
        self.direction = direction
        self.received = 0
        self.sent = 0
        self.done = False
        self._connection = connection
        self._context = connection.context
        self._source = source
        self._dest = dest
        self._slots: list[_Slot] = []
        self._waiting: deque[bytes | memoryview | End] = deque()
        self._waiting_bytes = 0
        self._input_over = False
        self._plain = True
        self._http: Stage | None = None
        loop = self._context.loop
        self._reader = loop.io(source.fileno(), _READ)
        self._writer = loop.io(dest.fileno(), _WRITE)
        self._timer: Any = None
        self._timer_s: float | None = None

    @property
    def received_on_wire(self) -> int:
        return self._source.received if isinstance(self._source, TlsSocket) else self.received

    def start(self, toxics: list[InstalledToxic]) -> None:
        for toxic in toxics:
            self._install(toxic)
        self.pump()
        if isinstance(self._source, TlsSocket) and not self.done:
            self._readable()  # data that came together with the end of the handshake

    # --- edits of the toxics, from the API

    def add(self, toxic: InstalledToxic) -> None:
        self._install(toxic)
        self.pump()

    def update(self, toxic: InstalledToxic) -> None:
        """The toxic's settings or toxicity changed: rolls anew whether it acts on this link."""
        now_s = self._context.clock()
        for i, slot in enumerate(self._slots):
            if slot.toxic is toxic:
                was_active, slot.active = slot.active, toxic.acts(self._context.rng)
                if slot.active:
                    slot.stage.edited(now_s)
                elif was_active:
                    self._hand_on(i, slot.stage.bypassed(now_s))
        self.pump()

    def remove(self, toxic: InstalledToxic) -> None:
        now_s = self._context.clock()
        for i, slot in enumerate(self._slots):
            if slot.toxic is toxic:
                if slot.active:
                    self._hand_on(i, slot.stage.removed(now_s))
                self._slots = [s for s in self._slots if s is not slot]
                break
        self.pump()

    def attach(self, stage: Stage) -> None:
        """Toxics on HTTP stand in one stage, next to the upstream: all others act on what they make too."""
        slot = _Slot(None, stage, True)
        self._slots.insert(0 if self.direction == "downstream" else len(self._slots), slot)
        self._http = stage

    def detach(self) -> None:
        for i, slot in enumerate(self._slots):
            if slot.stage is self._http:
                self._hand_on(i, slot.stage.bypassed(self._context.clock()))
                self._slots = [s for s in self._slots if s is not slot]
                break
        self._http = None
        self.pump()

    def _install(self, toxic: InstalledToxic) -> None:
        stage = toxic.settings.stage(self._context.rng, self._context.clock())
        if stage is not None:
            last_is_http = self._http is not None and self.direction == "upstream"
            at = len(self._slots) - last_is_http
            self._slots.insert(at, _Slot(toxic, stage, toxic.acts(self._context.rng)))

    # --- the pump

    def _readable(self) -> None:
        if not self._plain:
            self._read_chunk()
            return
        # No toxic looks at the bytes: one buffer for all links, and no copy unless the receiver is slow.
        buffer = self._context.buffer
        try:
            size = self._source.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            self._end_input(End.CLOSE)
            return
        if not size:
            self._end_input(End.EOF)
            return
        self.received += size
        self._connection.spoke_last = self.direction
        try:
            sent = self._dest.send(buffer[:size])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._broken()
            return
        self.sent += sent
        if sent < size:
            self._queue(bytes(buffer[sent:size]))
            self._arm()

    def _read_chunk(self) -> None:
        try:
            data = self._source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._end_input(End.CLOSE)
            return
        if not data:
            self._end_input(End.EOF)
            return
        self.received += len(data)
        if self.direction == "downstream":
            self._connection.spoke_last = "downstream"
        self._hand_on(-1, [Chunk(data, self._context.clock())])
        self.pump()

    def _end_input(self, end: End) -> None:
        self._input_over = True
        self._connection.input_ended(self)
        self._hand_on(-1, [end])
        self.pump()

    def _hand_on(self, index: int, items: list[Item]) -> None:
        """Gives `items` to the next active stage after slot `index`, or to the receiver."""
        stage = next((slot.stage for slot in self._slots[index + 1 :] if slot.active), None)
        for item in items:
            if stage is not None:
                stage.push(item)
            else:
                self._queue(item.data if isinstance(item, Chunk) else item)
            if item is End.CLOSE or item is End.RESET:
                self._cut(index)
                return

    def _cut(self, index: int) -> None:
        """The stream ended at slot `index`: whatever is before the next slot is lost."""
        if index >= 0:
            self._input_over = True
            self._slots = self._slots[index + 1 :]

    def _queue(self, item: bytes | memoryview | End) -> None:
        self._waiting.append(item)
        if not isinstance(item, End):
            if self.direction == "upstream":
                self._connection.spoke_last = "upstream"
            self._waiting_bytes += len(item)

    def pump(self) -> None:
        """Moves everything that may move now, then arms what will move the rest."""
        if self.done:
            return
        now_s = self._context.clock()
        for slot in list(self._slots):
            # A stream that ended in one slot takes the slots before it away; so look the place up.
            while slot.active and slot in self._slots and (item := slot.stage.pull(now_s)) is not None:
                self._hand_on(self._slots.index(slot), [item])
        self._write()
        if self._connection.session is not None:
            self._connection.settle()

    def _write(self) -> None:
        waiting = self._waiting
        while waiting:
            item = waiting[0]
            if isinstance(item, End):
                self._finish(item)
                return
            try:
                sent = self._dest.send(item)
            except BlockingIOError:
                break
            except OSError:
                self._broken()
                return
            self.sent += sent
            self._waiting_bytes -= sent
            if sent < len(item):
                waiting[0] = memoryview(item)[sent:]
                break
            waiting.popleft()
        self._arm()

    def _arm(self) -> None:
        stages = [slot.stage for slot in self._slots if slot.active]
        self._plain = not stages and not self._waiting
        if self._input_over or self._waiting_bytes > _WAITING_LIMIT or any(s.cost > s.limit for s in stages):
            self._reader.stop()
        elif not self._reader.active:
            self._reader.start(self._readable)
        if not self._waiting:
            self._writer.stop()
        elif not self._writer.active:
            self._writer.start(self._write)
        due_s = min((due for s in stages if (due := s.due_s()) is not None), default=None)
        if due_s != self._timer_s or (due_s is not None and not self._timer):
            self._set_timer(due_s)

    def _set_timer(self, due_s: float | None) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        self._timer_s = due_s
        if due_s is not None:
            after_s = min(max(due_s - self._context.clock(), 0.0), _LONGEST_TIMER_S)
            self._timer = self._context.loop.timer(after_s)
            self._timer.start(self._timed, update=True)

    def _timed(self) -> None:
        self._set_timer(None)
        self.pump()

    # --- ends

    def _finish(self, end: End) -> None:
        if end is End.RESET:
            self._connection.reset()
            return
        with suppress(OSError):  # the receiver may be gone already
            self._dest.shutdown(socket.SHUT_WR if end is End.EOF else socket.SHUT_RDWR)
        self.close(complete=True)

    def _broken(self) -> None:
        """The receiver takes no more. The other direction learns it by reading from the same socket."""
        with suppress(OSError):
            self._dest.shutdown(socket.SHUT_RDWR)
        self.close(complete=False)

    def close(self, complete: bool) -> None:
        """Stops pumping. `complete`: everything that went in has come out. Safe to call again."""
        if self.done:
            return
        self.done = True
        self._set_timer(None)
        for watcher in (self._reader, self._writer):
            watcher.stop()
            watcher.close()
        self._waiting.clear()
        self._slots.clear()
        self._connection.link_done(self, complete)
