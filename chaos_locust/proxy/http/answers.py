"""What the upstream sends, on its way to the client: answers are held, changed, cut off, or made here."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import h11

from chaos_locust.proxy.http.exchange import Exchange
from chaos_locust.proxy.http.reading import NotUnderstood, Part, Reader, answer_reader, may_begin_an_answer
from chaos_locust.proxy.http.session import Mode, Session
from chaos_locust.proxy.http.settings import NO_BODY, HttpSettings
from chaos_locust.proxy.http.writing import edited, made, with_body
from chaos_locust.proxy.toxics.base import CHUNK_OVERHEAD, Chunk, End, Item, Stage

_WORTH_S = 0.1  # at most so many seconds' worth of a slow body go on at a time


class _Piece(NamedTuple):
    """item: None: the answer is over. exchange: whose answer it is of, which may hold it back."""

    item: Item | None
    exchange: Exchange | None = None
    is_body: bool = False


class AnswerStage(Stage):
    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._out: deque[_Piece] = deque()
        self._begun = b""  # of an answer whose first bytes do not say yet that it is one
        self._reader: Reader | None = None
        self._whole: int | None = None  # bytes of the body, where they are known
        self._cut = False  # the connection is about to be closed in the middle of the body
        self._swallows = False  # another answer has taken the place of the one that is being read
        self._free_s = 0.0
        self._due_s: float | None = None

    def pull(self, now_s: float) -> Item | None:
        while True:
            if not self._out:
                if not self._read(now_s):
                    return None
                continue
            piece = self._out[0]
            if piece.exchange is not None and not self._is_due(piece, piece.exchange, now_s):
                return None
            piece = self._drop_first()
            if piece.item is not None:
                return piece.item
            assert piece.exchange is not None
            closes = piece.exchange.answers is not None and piece.exchange.closes
            self._session.answer_over(piece.exchange, closes)
            if closes:
                return End.EOF

    def due_s(self) -> float | None:
        return self._due_s

    def bypassed(self, now_s: float) -> list[Item]:
        pieces = [piece.item for piece in self._out if piece.item is not None]
        held = self._held()
        return [*pieces, *([Chunk(held, now_s)] if held else []), *super().bypassed(now_s)]

    # --- what goes on

    def _is_due(self, piece: _Piece, exchange: Exchange, now_s: float) -> bool:
        """Also cuts a piece of a slow body down to what may go on now."""
        held_s = exchange.held_until()
        self._due_s = held_s if held_s is not None and held_s > now_s else None
        if self._due_s is not None:
            return False
        rate = exchange.rate()
        if not (piece.is_body and rate):
            return True
        assert isinstance(piece.item, Chunk)
        size = min(len(piece.item.data), max(int(rate * _WORTH_S), 1))
        due_s = max(self._free_s, piece.item.at_s, exchange.due_s or 0.0) + size / rate
        if due_s > now_s:
            exchange.throttled()
            self._due_s = due_s
            return False
        self._free_s = due_s
        if size < len(piece.item.data):
            self._drop_first()
            view, at_s = memoryview(piece.item.data), piece.item.at_s
            self._put(_Piece(Chunk(view[size:], at_s), exchange, True), first=True)
            self._put(_Piece(Chunk(view[:size], now_s), exchange, True), first=True)
        return True

    def _put(self, piece: _Piece, first: bool = False) -> None:
        (self._out.appendleft if first else self._out.append)(piece)
        if isinstance(piece.item, Chunk):
            self.cost += len(piece.item.data) + CHUNK_OVERHEAD

    def _drop_first(self) -> _Piece:
        piece = self._out.popleft()
        if isinstance(piece.item, Chunk):
            self.cost -= len(piece.item.data) + CHUNK_OVERHEAD
        return piece

    # --- what comes

    def _read(self, now_s: float) -> bool:
        """Goes on by one item of the queue, or by an answer of ours; False: there is nothing to do."""
        session, exchange = self._session, self._session.current
        if session.mode is Mode.HTTP and exchange is not None and exchange.answers is not None:
            # Whatever the upstream says to this connection meanwhile comes after the answer.
            if exchange.answer_over or not (exchange.request_over or exchange.answers_early):
                return False
            self._answer(exchange, exchange.answers, now_s)
            return True
        if not self.queue:
            return False
        item = self.take()
        if isinstance(item, End):
            self._end(item, exchange, now_s)
        elif session.mode is not Mode.HTTP or exchange is None or exchange.answer_over:
            session.upstream_spoke = True
            if session.mode is Mode.HTTP:
                session.give_up()  # nobody has asked for this
            held = self._held()
            if self._swallows:
                self._put(_Piece(End.CLOSE))
            self._pass(held, now_s)
            self._put(_Piece(item))
        else:
            self._feed(exchange, bytes(item.data), now_s)
        return True

    def _feed(self, exchange: Exchange, data: bytes, now_s: float) -> None:
        if self._reader is None:
            self._begun += data
            if not may_begin_an_answer(self._begun):
                self._give_up(now_s)
                return
            data, self._begun = self._begun, b""
            self._reader = answer_reader(exchange.method)
        reader = self._reader
        try:
            for part in reader.feed(data):
                self._part(exchange, part, now_s)
                if self._reader is None:  # they speak something else from here on
                    self._pass(reader.rest, now_s)
                    return
        except NotUnderstood:
            self._give_up(now_s)
            return
        self._after(reader, now_s)

    def _after(self, reader: Reader, now_s: float) -> None:
        if reader.over:
            self._reader = None
            if reader.rest:
                self.put_back(Chunk(reader.rest, now_s))

    def _end(self, end: End, exchange: Exchange | None, now_s: float) -> None:
        """The upstream sends no more; where nothing else says so, that is the end of the answer."""
        if self._reader is not None and exchange is not None:
            reader = self._reader
            try:
                if end is End.EOF:
                    for part in reader.feed_end():
                        self._part(exchange, part, now_s)
                    self._after(reader, now_s)
            except NotUnderstood:
                pass  # it was cut off: so it is passed on
        held = self._held()
        if not self._swallows:
            self._pass(held, now_s, exchange)
        self._put(_Piece(end, exchange))

    def _part(self, exchange: Exchange, part: Part, now_s: float) -> None:
        event = part.event
        if isinstance(event, h11.InformationalResponse):
            self._pass(part.raw, now_s)
            if event.status_code == 101:
                self._reader = None
                self._session.switch()
        elif isinstance(event, h11.Response):
            if exchange.method == b"CONNECT" and event.status_code < 300:
                self._reader = None
                self._pass(part.raw, now_s)
                self._session.switch()
            else:
                self._head(exchange, part.raw, event, now_s)
        elif not self._swallows and not self._cut:
            if part.kind == "body":
                self._body(exchange, part.raw, now_s)
            else:
                self._pass(part.raw, now_s, exchange)
        if part.kind == "end":
            self._swallows = False
            if not self._cut:
                self._put(_Piece(None, exchange))

    def _head(self, exchange: Exchange, raw: bytes, event: h11.Response, now_s: float) -> None:
        exchange.hold(now_s)
        settings = exchange.replaces
        if settings is not None and not settings.status and event.status_code in NO_BODY:
            settings = exchange.replaces = None  # there is no body to be replaced
        if settings is None:
            lengths = [value for name, value in event.headers if name == b"content-length"]
            self._whole = int(lengths[0]) if lengths else None
            self._pass(edited(raw, exchange.answer_headers()), now_s, exchange)
            return
        self._swallows = True
        exchange.replaced(settings)
        body, status = settings.body or b"", settings.status or None
        self._pass(with_body(raw, body, status, exchange.answer_headers()), now_s, exchange)
        self._whole_body(exchange, body, status or event.status_code, now_s)

    def _answer(self, exchange: Exchange, settings: HttpSettings, now_s: float) -> None:
        """Makes the answer, without asking the upstream."""
        exchange.hold(now_s)
        exchange.replaced(settings)
        body = settings.body or b""
        head = made(settings.status, body, exchange.answer_headers(), exchange.closes)
        self._pass(head, now_s, exchange)
        self._whole_body(exchange, body, settings.status, now_s)
        if not self._cut:
            self._put(_Piece(None, exchange))

    def _whole_body(self, exchange: Exchange, body: bytes, status: int, now_s: float) -> None:
        self._whole = len(body)
        if body and exchange.method != b"HEAD" and status not in NO_BODY:
            self._body(exchange, body, now_s)

    def _body(self, exchange: Exchange, data: bytes, now_s: float) -> None:
        if self._cut:
            return
        data, self._cut = exchange.of_body(data, self._whole)
        if data:
            self._put(_Piece(Chunk(data, now_s), exchange, True))
        if self._cut:
            self._put(_Piece(End.CLOSE, exchange))

    def _pass(self, data: bytes, now_s: float, exchange: Exchange | None = None) -> None:
        if data:
            self._put(_Piece(Chunk(data, now_s), exchange))

    def _held(self) -> bytes:
        held = self._begun + (self._reader.rest if self._reader is not None else b"")
        self._begun, self._reader = b"", None
        return held

    def _give_up(self, now_s: float) -> None:
        """The answer cannot be read; it goes on as it is, unless another has taken its place already."""
        exchange = self._session.current
        self._session.give_up()
        held = self._held()
        if self._swallows:
            self._put(_Piece(End.CLOSE, exchange))
        else:
            self._pass(held, now_s, exchange)
