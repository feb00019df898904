"""How the shop's own services run: uvicorn, one worker."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

from chaos_locust.demo.settings import HOST


def run(application: ASGIApp, port: int) -> None:
    """Serve until SIGTERM: requests under way get 3 s to end, connections that idle are closed."""
    uvicorn.run(
        application,
        host=HOST,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
