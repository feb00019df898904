"""What clients send, on its way to the upstream: requests are met, edited, or kept from it."""

from __future__ import annotations

from collections import deque

import h11

from chaos_locust.proxy.http.exchange import Exchange
from chaos_locust.proxy.http.reading import NotUnderstood, Part, Reader, begins_a_request, request_reader
from chaos_locust.proxy.http.session import Mode, Session
from chaos_locust.proxy.http.writing import edited
from chaos_locust.proxy.toxics.base import Chunk, End, Item, Stage

SILENCE_S = 2.0
"""The beginning of a request is kept back no longer than this after its last byte: whoever waits for an
answer to it already speaks no HTTP."""


class RequestStage(Stage):
    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._out: deque[Item] = deque()
        self._begun = b""  # of a request whose line is not whole
        self._reader: Reader | None = None
        self._heard_s = 0.0

    def push(self, item: Item) -> None:
        if item is End.CLOSE or item is End.RESET:  # what waits for its turn has nobody who waits for it
            self.queue.clear()
            self.cost = 0
        super().push(item)

    def pull(self, now_s: float) -> Item | None:
        while not self._out:
            if not (self._read(now_s) if self.queue else self._is_silent(now_s)):
                return None
        return self._out.popleft()

    def due_s(self) -> float | None:
        return self._heard_s + SILENCE_S if self._is_in_a_head and not self._out else None

    def bypassed(self, now_s: float) -> list[Item]:
        return [*self._out, *self._held(now_s), *super().bypassed(now_s)]

    @property
    def _is_in_a_head(self) -> bool:
        """A request has begun that was not met yet."""
        current = self._session.current
        return bool(self._begun) or (self._reader is not None and (current is None or current.request_over))

    def _held(self, now_s: float) -> list[Item]:
        """What was kept back to be read, and is read no further."""
        held = self._begun + (self._reader.rest if self._reader is not None else b"")
        self._begun, self._reader = b"", None
        return [Chunk(held, now_s)] if held else []

    def _is_silent(self, now_s: float) -> bool:
        due_s = self.due_s()
        if due_s is None or due_s > now_s:
            return False
        self._give_up(now_s)
        return True

    def _read(self, now_s: float) -> bool:
        """Goes on by one item of the queue; False: it has to wait there."""
        session, item = self._session, self.queue[0]
        if isinstance(item, End):
            return self._end(item, now_s)
        data, exchange = bytes(item.data), session.current
        if session.mode is Mode.SEEKING:
            if not (session.upstream_spoke and begins_a_request(data)):
                session.upstream_spoke = False
                self._out.append(self.take())
                return True
            session.mode = Mode.HTTP
        if session.mode is Mode.UNTOUCHED:
            self._out += [*self._held(now_s), self.take()]
        elif session.mode is Mode.CLOSING:
            self.take()
        elif exchange is not None and exchange.request_over:
            # The next request waits for its turn. What is none is of something that we do not understand.
            if exchange.may_switch or begins_a_request(data) is not False:
                return False
            session.give_up()
        else:
            self.take()
            self._heard_s = now_s
            self._feed(data, now_s)
        return True

    def _feed(self, data: bytes, now_s: float) -> None:
        if self._reader is None:
            self._begun += data
            begins = begins_a_request(self._begun)
            if begins is False:
                self._give_up(now_s)
            if not begins:
                return
            data, self._begun = self._begun, b""
            self._reader = request_reader()
        reader = self._reader
        try:
            for part in reader.feed(data):
                self._part(part, now_s)
        except NotUnderstood:
            self._give_up(now_s)
            return
        if reader.over:
            self._reader = None
            if reader.rest:
                self.put_back(Chunk(reader.rest, now_s))

    def _part(self, part: Part, now_s: float) -> None:
        session, exchange, raw = self._session, self._session.current, part.raw
        if isinstance(part.event, h11.Request):
            exchange = session.meet(part.event)
            raw = edited(raw, exchange.request_headers())
            self._expects(exchange)
        if exchange is None:  # it was answered before it was over, and that answer was the last
            return
        if raw and exchange.answers is None:
            self._out.append(Chunk(raw, now_s))
        if part.kind == "end":
            session.request_over(exchange)

    def _expects(self, exchange: Exchange) -> None:
        """A body that waits for leave may never come, so an answer of ours must not wait for it."""
        assert self._reader is not None
        if exchange.answers is not None and self._reader.is_waiting_for_100_continue:
            exchange.closes = exchange.answers_early = True
            self._session.news.add("downstream")

    def _end(self, end: End, now_s: float) -> bool:
        session, exchange = self._session, self._session.current
        held = self._held(now_s)
        if session.mode is Mode.HTTP and (held or (exchange is not None and not exchange.request_over)):
            session.switch()  # it ends in the middle of a request, to which there will be no answer
            self._out += held if exchange is None or exchange.answers is None else []
        self._out.append(self.take())
        return True

    def _give_up(self, now_s: float) -> None:
        exchange = self._session.current
        swallowed = exchange is not None and exchange.answers is not None
        self._session.give_up()
        held = self._held(now_s)
        # Where the upstream has not seen the beginning of this, the rest can only do harm.
        self._out += [End.CLOSE] if swallowed else held
