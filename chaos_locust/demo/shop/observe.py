"""The access log and the metrics: every request, with its times."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chaos_locust.demo.settings import Settings

FLUSH_S = 0.25
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class AccessLog:
    """JSON lines, written together a few times a second."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lines: list[str] = []

    def add(self, scope: Scope, started: float, status: int | None, secrets: dict[str, str]) -> None:
        """A request that ended now; status None if the client gave up on it or it was cut off. secrets: empty
        but with the lapse `secrets-in-logs`."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        name = next((value.decode("latin-1") for key, value in headers if key == b"x-request-id"), None)
        line = {
            "started": started,
            "ended": time.time(),
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "id": name,
            **secrets,
        }
        self._lines.append(json.dumps(line))

    def flush(self) -> None:
        if self._lines:
            self._file.write("\n".join(self._lines) + "\n")
            self._file.flush()
            self._lines.clear()

    async def keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            self.flush()


class Observed:
    """ASGI middleware: logs, counts and times every request."""

    def __init__(self, app: ASGIApp, log: AccessLog, registry: CollectorRegistry, settings: Settings) -> None:
        self._app = app
        self._logs_secrets = settings.has("secrets-in-logs")
        self._log = log
        self._requests = Counter(
            "shop_requests", "Requests that ended", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "shop_request_seconds", "Time to answer", ["method", "route"], buckets=BUCKETS, registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, started_mono = time.time(), time.perf_counter()
        status: int | None = None
        secrets: dict[str, str] = {}
        if self._logs_secrets:
            receive = _overheard(scope, receive, secrets)

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start" and not await _hung_up(receive):
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._log.add(scope, started, status, secrets)
            route = getattr(scope.get("route"), "path", "other")
            self._requests.labels(scope["method"], route, str(status)).inc()
            self._seconds.labels(scope["method"], route).observe(time.perf_counter() - started_mono)


def _overheard(scope: Scope, receive: Receive, secrets: dict[str, str]) -> Receive:
    """The lapse `secrets-in-logs`: the same, and what should not be written down is put into `secrets`."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    secrets["authorization"] = headers.get(b"authorization", b"").decode("latin-1")

    async def received() -> Message:
        message = await receive()
        secrets["body"] = secrets.get("body", "") + message.get("body", b"").decode(errors="replace")
        return message

    return received


async def _hung_up(receive: Receive) -> bool:
    """Whether the client has closed its connection already."""
    while True:
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        if not waiting.done():
            waiting.cancel()
            return False
        if waiting.result()["type"] == "http.disconnect":
            return True
