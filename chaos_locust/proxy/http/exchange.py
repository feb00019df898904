"""One request, the answer to it, and what the toxics that chose it do to the two."""

from __future__ import annotations

import random
from collections.abc import Iterable

import h11

from chaos_locust.proxy.http.settings import Headers, HttpSettings
from chaos_locust.proxy.http.writing import CONDITIONS
from chaos_locust.proxy.toxics.http import Http


class Exchange:
    """Toxics that chose the request act until they are removed; what they began is brought to its end.

    answers: settings of an answer made here, without asking the upstream. replaces: settings that take the
    place of the upstream's answer. may_switch: the bytes after it may be of another protocol. closes: after
    an answer made here nothing can follow. answers_early: that answer comes before the request is over.
    """

    def __init__(self, request: h11.Request, chosen: Iterable[Http], rng: random.Random) -> None:
        self.method = request.method
        self._acting = [(toxic, toxic.settings) for toxic in chosen]
        self._done: set[int] = set()
        self._rng = rng
        settings = [s for _, s in self._acting]
        self.answers = next((s for s in settings if s.answers), None)
        self.replaces = None if self.answers else next((s for s in settings if s.replaces), None)
        connection = b",".join(value for name, value in request.headers if name == b"connection")
        self.may_switch = request.method == b"CONNECT" or any(n == b"upgrade" for n, _ in request.headers)
        words = [word.strip() for word in connection.lower().split(b",")]
        self.closes = b"close" in words or request.http_version == b"1.0"
        self.request_over = self.answer_over = self.answers_early = False
        self.due_s: float | None = None
        self._passed = 0
        self._until_corrupt: int | None = None
        self._block_left = 0

    def forget(self, toxic: Http) -> None:
        """The toxic was removed: nothing of this exchange is held back for it any longer."""
        self._acting = [(t, s) for t, s in self._acting if t is not toxic]

    def hold(self, now_s: float) -> None:
        """The answer begins now."""
        delays = [(t, s) for t, s in self._acting if s.delay_ms]
        if delays:
            self.due_s = now_s + sum(s.delay_ms for _, s in delays) / 1000
            self._count(toxic for toxic, _ in delays)

    def held_until(self) -> float | None:
        return self.due_s if any(s.delay_ms for _, s in self._acting) else None

    def rate(self) -> int:
        """Bytes of body a second; 0: as fast as it goes."""
        return min((s.rate for _, s in self._acting if s.rate), default=0)

    def request_headers(self) -> Headers:
        headers = tuple(pair for _, s in self._acting for pair in s.request_headers)
        self._count(toxic for toxic, s in self._acting if s.request_headers)
        wants_all = self.replaces is not None and self.replaces.body is not None
        return headers + (CONDITIONS if wants_all else ())

    def answer_headers(self) -> Headers:
        self._count(toxic for toxic, s in self._acting if s.response_headers)
        return tuple(pair for _, s in self._acting for pair in s.response_headers)

    def replaced(self, settings: HttpSettings) -> None:
        """The answer that the settings ask for was put in the place of the upstream's."""
        self._count(toxic for toxic, s in self._acting if s is settings)

    def throttled(self) -> None:
        self._count(toxic for toxic, s in self._acting if s.rate)

    def of_body(self, data: bytes, whole: int | None) -> tuple[bytes, bool]:
        """What is left of these bytes of the body, and whether the connection is to be closed after them.

        whole: the length of the body, where it is known.
        """
        data = self._corrupted(data, whole)
        limit = min((s.truncate for _, s in self._acting if s.truncate is not None), default=None)
        if limit is not None and self._passed + len(data) > limit:
            self._count(t for t, s in self._acting if s.truncate is not None)
            return data[: limit - self._passed], True
        self._passed += len(data)
        return data, False

    def _corrupted(self, data: bytes, whole: int | None) -> bytes:
        every = min((s.corrupt_every for _, s in self._acting if s.corrupt_every), default=0)
        if not every:
            return data
        changed, at = bytearray(data), 0
        while at < len(changed):
            if not self._block_left:
                self._block_left = every
                known = min(every, len(data) - at if whole is None else whole - self._passed - at)
                # The first of an unknown length must lie in what is there, so that at least one is changed.
                first = self._passed + at == 0
                self._until_corrupt = self._rng.randrange(known if whole is not None or first else every)
            step = min(self._block_left, len(changed) - at)
            if self._until_corrupt is not None and self._until_corrupt < step:
                changed[at + self._until_corrupt] ^= self._rng.randrange(1, 256)
                self._until_corrupt = None
                self._count(toxic for toxic, s in self._acting if s.corrupt_every)
            elif self._until_corrupt is not None:
                self._until_corrupt -= step
            self._block_left -= step
            at += step
        return bytes(changed)

    def _count(self, toxics: Iterable[Http]) -> None:
        """Each toxic counts an exchange once, whatever it does to it."""
        for toxic in toxics:
            if id(toxic) not in self._done:
                self._done.add(id(toxic))
                toxic.counts.faulted += 1
