"""HTTP on one connection while its proxy has toxics of the type `http`.

One exchange after the other: a request that was sent before the answer to the one before it waits, so that
an answer made here always comes in its turn. The stages for the two directions share what is here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

import h11

from chaos_locust.proxy.http.exchange import Exchange
from chaos_locust.proxy.metrics import Direction
from chaos_locust.proxy.toxics.http import Http

if TYPE_CHECKING:
    from chaos_locust.proxy.chain import InstalledToxic

OWN_AGENT = b"chaos-locust"
"""The User-Agent of our own probes: they look at the link, and are no load."""


class Mode(Enum):
    """What is known of the bytes on the connection."""

    SEEKING = "an exchange may be under way; the next request after the upstream has spoken is the first"
    HTTP = "messages are read"
    UNTOUCHED = "no HTTP, or none whose messages can be told apart: everything passes, for ever"
    CLOSING = "an answer made here was the last; nothing more goes to the upstream"


class Session:
    """news: the directions in which something may move because of what happened in the other."""

    def __init__(
        self, toxics: Sequence[InstalledToxic], rng: random.Random, spoke_last: Direction | None
    ) -> None:
        self.mode = Mode.HTTP if spoke_last is None else Mode.SEEKING
        self.upstream_spoke = spoke_last == "downstream"
        self.current: Exchange | None = None
        self.news: set[Direction] = set()
        self._rng = rng
        self._toxics = list(toxics)

    @property
    def may_go(self) -> bool:
        """No toxic is left, and nothing that one of them began has still to be brought to its end."""
        if self._toxics or self.mode is Mode.CLOSING:
            return False
        return self.current is None or not (self.current.answers or self.current.replaces)

    def change(self, toxics: Sequence[InstalledToxic]) -> None:
        """From now on these are the toxics; they may also have changed."""
        for gone in set(map(_http, self._toxics)) - set(map(_http, toxics)):
            if self.current is not None:
                self.current.forget(gone)
        if self.mode is Mode.UNTOUCHED:
            for new in set(map(_http, toxics)) - set(map(_http, self._toxics)):
                new.counts.untouched_connections += 1
        self._toxics = list(toxics)

    def meet(self, request: h11.Request) -> Exchange:
        """A request begins."""
        chosen: list[Http] = []
        own = any(name == b"user-agent" and value == OWN_AGENT for name, value in request.headers)
        for toxic in self._toxics:
            http = _http(toxic)
            if own:
                http.counts.own += 1
                continue
            http.counts.requests += 1
            if http.settings.matches(request.method, request.target):
                http.counts.matched += 1
                if toxic.acts(self._rng):
                    http.counts.chosen += 1
                    chosen.append(http)
        self.current = Exchange(request, chosen, self._rng)
        return self.current

    def request_over(self, exchange: Exchange) -> None:
        exchange.request_over = True
        self._end(exchange, "downstream")

    def answer_over(self, exchange: Exchange, closes: bool) -> None:
        """All of the answer has gone on."""
        exchange.answer_over = True
        if closes:
            self.mode, self.current = Mode.CLOSING, None
        self._end(exchange, "upstream")

    def _end(self, exchange: Exchange, concerns: Direction) -> None:
        self.news.add(concerns)
        if self.current is exchange and exchange.request_over and exchange.answer_over:
            self.current = None

    def give_up(self) -> None:
        """What is on this connection cannot be told apart from here on."""
        if self.mode is not Mode.UNTOUCHED:
            self._pass_all()
            for toxic in self._toxics:
                _http(toxic).counts.untouched_connections += 1

    def switch(self) -> None:
        """Both sides agreed to speak something else."""
        self._pass_all()

    def _pass_all(self) -> None:
        self.mode, self.current = Mode.UNTOUCHED, None
        self.news |= {"upstream", "downstream"}


def _http(toxic: InstalledToxic) -> Http:
    assert isinstance(toxic.settings, Http)
    return toxic.settings
