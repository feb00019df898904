"""One Redis or Valkey server as we talk to it: counted, bounded in time, no secret in any message."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from chaos_locust.backends.base import MARK
from chaos_locust.errors import BackendError

if TYPE_CHECKING:
    from chaos_locust.backends.redis.link import Link

ANSWER_S = 2.0
OUR_NAME = f"{MARK}locust"
"""Connections whose names begin with the mark are ours or another run's, and never cut."""


class Refused(BackendError):
    """The server answered with an error; `word` is its kind, such as NOREPLICAS, OOM or ERR."""

    def __init__(self, message: str, word: str) -> None:
        super().__init__(message)
        self.word = word


class Account:
    """What we sent to one server, so that it never counts as use. bytes: at most, handshakes too.

    on_connected: is told of our side of each connection before anything is sent over it.
    """

    def __init__(self, on_connected: Callable[[tuple[str, int]], None]) -> None:
        self.on_connected = on_connected
        self.bytes = 0
        self._commands: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, commands: Mapping[str, int], size: int = 0) -> None:
        with self._lock:
            self._commands.update(commands)
            self.bytes += size

    def commands(self) -> dict[str, int]:
        """By name, those too that our scripts called."""
        with self._lock:
            return dict(self._commands)


class Cut(BackendError):
    """The connection is not there, or no longer."""


class RedisServer:
    """Our dealings with the server of one URL; for several threads. on_connected: see Account."""

    def __init__(self, url: str, on_connected: Callable[[tuple[str, int]], None]) -> None:
        self.url, self.shown = url, shown(url)
        self.account = Account(on_connected)
        self._lock = threading.RLock()
        self._link: Link | None = None

    def link(self, name: str = OUR_NAME, answer_s: float = ANSWER_S) -> Link:
        """A connection of its own, made when first used."""
        try:
            from chaos_locust.backends.redis.link import Link
        except ImportError:
            raise BackendError(
                "faults on Redis need the package redis: pip install 'chaos-locust[redis]'"
            ) from None
        return Link(self.url, name, answer_s, self.account)

    def call(self, *command: Any) -> Any:
        """One command. Raises BackendError; Refused when the server answered with an error."""
        with self._lock:
            kept, self._link = self._link, None
            if kept is not None:
                try:
                    return self._answer(kept, *command)
                except Cut:
                    pass  # closed while nobody used it
            return self._answer(self.link(), *command)

    def _answer(self, link: Link, *command: Any) -> Any:
        try:
            answer = link.call(*command)
        except Refused:
            self._link = link
            raise
        self._link = link
        return answer

    def script(self, text: str, *arguments: Any) -> dict[str, Any]:
        """A script of ours, which returns JSON; `calls` in it is what it called, by name."""
        with self._lock:
            answer: dict[str, Any] = json.loads(self.call("EVAL", text, 0, *arguments))
            self.account.add(answer.pop("calls"))
            return answer

    def info(self) -> tuple[dict[str, str], dict[str, int]]:
        """INFO by field, and our own commands so far at that very moment."""
        with self._lock:
            return fields_of(self.call("INFO", "all")), self.account.commands()

    def settings(self, *names: str) -> dict[str, str]:
        """CONFIG GET of each."""
        return {name: self._setting(name) for name in names}

    def _setting(self, name: str) -> str:
        answer = self.call("CONFIG", "GET", name)
        if len(answer) != 2:
            raise BackendError(f"{self.shown} has no setting {name}")
        return str(answer[1].decode())

    def scan(self, pattern: str) -> list[bytes]:
        """One step of a SCAN at a time would leave the caller with the cursor: all matching keys at once,
        without ours."""
        cursor, found = b"0", dict[bytes, None]()
        while True:
            cursor, keys = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found |= dict.fromkeys(key for key in keys if not key.startswith(MARK.encode()))
            if cursor == b"0":
                return list(found)


def fields_of(info: bytes) -> dict[str, str]:
    """`cmdstat_get` -> `calls=1,...` and the like."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {key: value for key, colon, value in lines if colon and not key.startswith("#")}


def counts_in(value: str) -> Mapping[str, int]:
    """Of `calls=3,usec=7,rejected_calls=1`, the whole numbers."""
    return {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)(?=,|$)", value)}


def shown(url: str) -> str:
    """The URL without user, password and options."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{parts.port or 6379}", parts.path.rstrip("/"), "", ""))
