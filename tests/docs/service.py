"""A small real service: every request is a query to the database at $DATABASE_URL. `service.py PORT`."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def index(request: Request) -> JSONResponse:
    now = await request.app.state.pool.fetchval("SELECT extract(epoch FROM now())::float")
    return JSONResponse({"now": now})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=0, max_size=20, timeout=3) as pool:
        app.state.pool = pool
        yield


if __name__ == "__main__":
    app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
