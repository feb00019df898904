"""One HTTP connection that is kept open, for targets. It tells what certainly did not happen from what may
have: refused or never sent, and sent without an answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chaos_locust.errors import ChaosError
from invariants.machine import NoAnswer, Refused

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that one without an answer did nothing (RFC 9110, 9.2.1)."""


class InvalidAddress(ChaosError):
    """An address that is no HTTP URL."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, whatever its status."""

    status: int
    body: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """None where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:200].decode(errors='replace')}".strip()


class HttpClient:
    """Does one thing at a time. timeout_s: to connect, and for each read of an answer."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        """Raises InvalidAddress."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidAddress(f"'{url}' is not allowed as an address; give http://HOST:PORT")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._prefix = parts.path.rstrip("/")

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """body: is sent as JSON. Raises Refused when nothing was sent, NoAnswer when no whole answer came."""
        data = None if body is None else json.dumps(body).encode()
        given = dict(headers or {}) | ({} if data is None else {"Content-Type": "application/json"})
        self._connect()
        try:
            self._connection.request(method, self._prefix + path, data, given)
            response = self._connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(f"{method} {path}: {type(error).__name__}") from error

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """What a good answer says. 4xx and 503 are refusals; after another error a write may have happened.

        Raises Refused, NoAnswer.
        """
        answer = self.send(method, path, body, headers)
        if answer.good:
            return answer.json()
        if answer.status < 500 or answer.status == 503 or method in SAFE:
            raise Refused(str(answer))
        raise NoAnswer(str(answer))

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> None:
        """Anew where the service has closed the connection: what is sent into such a one has no answer."""
        if self._connection.sock is not None and _readable(self._connection.sock):
            self.close()
        if self._connection.sock is None:
            try:
                self._connection.connect()
            except OSError as error:
                self.close()
                raise Refused(f"cannot be reached: {type(error).__name__}") from error


def _readable(sock: Any) -> bool:
    """Between answers nothing comes but the end of the connection."""
    with contextlib.suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return True
