"""How the shop's own services run: uvicorn, one worker."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from chaos_locust.demo.certificates import Certificates
from chaos_locust.demo.settings import HOST

GRACE_S = 3  # for requests under way at the end; connections that idle are closed
TLS_GRACE_S = 1  # before them

_OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "http": "httptools",
    "ws": "none",
    "access_log": False,
    "log_level": "warning",
    "timeout_keep_alive": 75,
    "server_header": False,
}


def run(application: ASGIApp, port: int, host: str = HOST) -> None:
    """Serve until SIGTERM."""
    uvicorn.run(application, host=host, port=port, timeout_graceful_shutdown=GRACE_S, **_OPTIONS)


def run_with_tls(
    application: ASGIApp, port: int, tls_port: int, certificates: Certificates, weak: bool
) -> None:
    """Serve the same application over HTTP and HTTPS until SIGTERM. weak: TLS 1.0 and old ciphers too."""
    beside = uvicorn.Config(
        application,
        host=HOST,
        port=tls_port,
        lifespan="off",
        timeout_graceful_shutdown=TLS_GRACE_S,
        **_OPTIONS,
    )
    beside.load()
    beside.ssl = _context(certificates, weak)
    config = uvicorn.Config(application, host=HOST, port=port, timeout_graceful_shutdown=GRACE_S, **_OPTIONS)
    server = _WithAnother(config, _Silent(beside))
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve())


def _context(certificates: Certificates, weak: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1 if weak else ssl.TLSVersion.TLSv1_2
    if weak:
        context.set_ciphers("ALL:!aNULL:!eNULL:@SECLEVEL=0")
    else:
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


class _Silent(uvicorn.Server):
    """Ended by another server, not by signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _WithAnother(uvicorn.Server):
    """Starts another server once the application has started, and ends it before the application is."""

    def __init__(self, config: uvicorn.Config, other: uvicorn.Server) -> None:
        super().__init__(config)
        self._other = other
        self._serving: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._serving = asyncio.create_task(self._other.serve())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._other.should_exit = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._other.should_exit = True
        if self._serving is not None:
            await self._serving
        await super().shutdown(sockets)
