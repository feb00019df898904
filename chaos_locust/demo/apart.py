"""One process of a shop whose processes run apart, each in a container of its own.

There is no supervisor, no proxy and no TLS: what runs the containers starts them again, and what is to go
through a proxy is told its address. Any number of `web` and `consumer` may share one database, cache,
payments and identity.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from chaos_locust.demo import identity, payments
from chaos_locust.demo.logins import SERVICE, way_of
from chaos_locust.demo.servers import in_the_database
from chaos_locust.demo.service import run
from chaos_locust.demo.settings import Apart, Ports, Settings
from chaos_locust.demo.shop.app import application
from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.shipping import ship

DATABASE, ADMIN = "SHOP_DATABASE_URL", "SHOP_ADMIN_DATABASE_URL"
CACHE, PAYMENTS, IDENTITY = "SHOP_CACHE_URL", "SHOP_PAYMENTS_URL", "SHOP_IDENTITY_URL"
SCHEMES = {
    DATABASE: ("postgresql", "postgres"),
    ADMIN: ("postgresql", "postgres"),
    CACHE: ("redis",),
    PAYMENTS: ("http",),
    IDENTITY: ("http",),
}
PARTS = {
    "web": (DATABASE, CACHE, PAYMENTS, IDENTITY),
    "payments": (),
    "identity": (),
    "consumer": (DATABASE,),
    "prepare": (DATABASE, ADMIN),
}
START_S = 60.0  # for the database to answer
AGAIN_S = 0.5

# The server gives up before the shop does, as that of `serve` (servers.POSTGRES_SETTINGS).
_ROLES = f"""
CREATE ROLE audit_keeper;
ALTER ROLE {SERVICE} SET statement_timeout = '800ms';
ALTER ROLE {SERVICE} SET idle_in_transaction_session_timeout = '2s';
"""


def run_part(part: str, listen: str, state: Path, environ: Mapping[str, str]) -> int:
    """Until SIGTERM; 0 then, 1 if it could not do its work, 2 for bad input."""
    problem = _problem(part, listen, state, environ)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    if part == "prepare":
        return asyncio.run(_prepare(environ[ADMIN], environ[DATABASE]))
    host, _, port = listen.rpartition(":")
    urls = {name: environ.get(name, "") for name in SCHEMES}
    apart = Apart(urls[DATABASE], urls[CACHE], urls[PAYMENTS], urls[IDENTITY])
    services: dict[str, Callable[[Settings], ASGIApp]] = {
        "web": application,
        "payments": payments.service,
        "identity": identity.service,
        "consumer": _consumer,
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as a container's first process it has no default
    run(services[part](Settings(state, Ports(), None, apart)), int(port), host)
    return 0


def _problem(part: str, listen: str, state: Path, environ: Mapping[str, str]) -> str:
    """URLs are not shown: they may have passwords in them."""
    if part not in PARTS:
        return f"there is no part {part!r}; allowed: {', '.join(PARTS)}"
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        return f"--listen: {listen!r} is not HOST:PORT"
    if not state.is_dir():
        return f"--state: {state} is no folder"
    for name in PARTS[part]:
        if problem := _problem_of_url(name, environ.get(name, "")):
            return f"{name}: {problem}"
    return ""


def _problem_of_url(name: str, url: str) -> str:
    wanted = f"{SCHEMES[name][0]}://"
    try:
        parts = urlsplit(url)
        known = parts.scheme in SCHEMES[name] and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not url or not known:
        return f"{'is not set; it' if not url else 'it'} has to be a URL as {wanted}HOST"
    if name == DATABASE and (parts.username != SERVICE or parts.path != f"/{SERVICE}"):
        return f"its user and its database have to be {SERVICE}, as in {wanted}{SERVICE}:...@HOST/{SERVICE}"
    return ""


def _consumer(settings: Settings) -> Starlette:
    """Ships what the others put into the outbox. GET /health tells that it runs."""

    @contextlib.asynccontextmanager
    async def shipping(_: Starlette) -> AsyncIterator[None]:
        database = Database(settings)
        task = asyncio.create_task(ship(database, asyncio.Event()))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            database.close()

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route("/health", health)], lifespan=shipping)


async def _prepare(admin: str, service: str) -> int:
    """Waits for the database; all of it is made, or nothing; what is there is left as it is."""
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            connection = await asyncpg.connect(admin, database=SERVICE, timeout=5)
            break
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            if time.monotonic() > deadline_s:
                print(f"the database does not answer: {type(error).__name__}", file=sys.stderr)
                return 1
            await asyncio.sleep(AGAIN_S)
    try:
        async with connection.transaction():
            if await connection.fetchval("SELECT to_regclass('public.products') IS NOT NULL"):
                return 0
            make = "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
            password = way_of(service, 0)["password"]
            await connection.execute(await connection.fetchval(make, SERVICE, password))
            await connection.execute(_ROLES + in_the_database("RESET SESSION AUTHORIZATION;\n"))
        return 0
    except asyncpg.PostgresError as error:
        print(f"the database could not be prepared: {error}", file=sys.stderr)
        return 1
    finally:
        await connection.close()
