"""The routes of the shop."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp

from chaos_locust.demo.breaker import Breaker
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.answers import answer_errors
from chaos_locust.demo.shop.audit import AuditLog
from chaos_locust.demo.shop.catalogue import Cache, Catalogue
from chaos_locust.demo.shop.database import POOL_SIZE, Database
from chaos_locust.demo.shop.doors import Doors, source
from chaos_locust.demo.shop.errors import Unavailable
from chaos_locust.demo.shop.guard import Guard
from chaos_locust.demo.shop.models import (
    Accounts,
    AuditRecords,
    Credentials,
    MadeUser,
    Me,
    MyData,
    NewPassword,
    NewUser,
    Order,
    OrderRequest,
    Price,
    Problem,
    ProductId,
    Products,
    RecordId,
    ReviewsOfProduct,
    StockedProduct,
    Token,
)
from chaos_locust.demo.shop.observe import AccessLog, Observed
from chaos_locust.demo.shop.orders import Orders, Wish
from chaos_locust.demo.shop.payments import Payments
from chaos_locust.demo.shop.people import People
from chaos_locust.demo.shop.reviews import Reviews
from chaos_locust.demo.shop.revoked import Revoked
from chaos_locust.demo.shop.shipping import ship
from chaos_locust.demo.shop.tokens import Tokens, User

READY_S = 1.0
NO_ID = uuid.UUID(int=0)  # below all others
EPOCH = datetime.fromtimestamp(0, UTC)


class Shop:
    """All the parts of one shop."""

    def __init__(self, settings: Settings) -> None:
        self._apart = settings.apart is not None
        # In a container it is the log; elsewhere that is for what goes wrong.
        self.log = AccessLog(sys.stdout if self._apart else (settings.state / "access.log").open("a"))
        self.database = Database(settings)
        self.cache = Cache(settings, time.monotonic)
        self.audit = AuditLog(self.database, settings)
        self.revoked = Revoked(self.database, settings)
        self.catalogue = Catalogue(self.database, self.cache, self.audit, settings)
        self.payments = Payments(settings, time.monotonic)
        self.reviews = Reviews(self.database, settings, time.monotonic)
        self.orders = Orders(self.database, self.catalogue, self.payments, self.audit, settings)
        self.tokens = Tokens(settings, time.monotonic, self.revoked)
        self.people = People(self.database, self.cache, self.tokens, self.revoked, settings)
        self.doors = Doors(self.tokens, self.audit, settings)

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """From start to shutdown; nothing need answer yet at the start."""
        for_ever = [self.log.keep_flushing(), self.database.keep_warm(), self.audit.keep_moving()]
        # Where the processes run apart, others ship, and tell whether a token was given back.
        alone = [] if self._apart else [ship(self.database, self.orders.placed), self.revoked.read_at_start()]
        tasks = [asyncio.create_task(work) for work in (*for_ever, *alone)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._apart:
                await self.audit.move_the_last()
            self.database.close()
            await asyncio.gather(self.cache.close(), self.payments.close(), self.tokens.close())
            self.audit.close()
            self.log.flush()

    async def parts(self) -> dict[str, dict[str, Any]]:
        """Whether each dependency answers."""
        answers = await asyncio.gather(
            self._database_answers(), self.cache.ping(), self.payments.answers(), self.tokens.answers()
        )
        names = ("postgres", "cache", "payments", "identity")
        parts: dict[str, dict[str, Any]] = {name: {"ok": ok} for name, ok in zip(names, answers, strict=True)}
        parts["cache"]["breaker"] = self.cache.breaker.state
        parts["payments"]["breaker"] = self.payments.breaker.state
        return parts

    async def _database_answers(self) -> bool:
        try:
            async with asyncio.timeout(READY_S), self.database.connection() as connection:
                return bool(await connection.fetchval("SELECT 1") == 1)
        except (Unavailable, TimeoutError):
            return False


def _is_open(breaker: Breaker) -> float:
    return float(breaker.state != "closed")


def application(settings: Settings) -> ASGIApp:
    """The shop as an ASGI application."""
    shop = Shop(settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    in_use = Gauge("shop_database_slots_in_use", f"Of {POOL_SIZE} database slots", registry=registry)
    in_use.set_function(lambda: shop.database.in_use)
    opened = Gauge("shop_breaker_open", "1 unless the breaker is closed", ["part"], registry=registry)
    for part, breaker in (("payments", shop.payments.breaker), ("cache", shop.cache.breaker)):
        opened.labels(part).set_function(partial(_is_open, breaker))

    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem} for status in (401, 402, 403, 404, 409, 413, 422, 503)
    }
    app = FastAPI(title="The shop", version="1", lifespan=shop.running, docs_url=None, redoc_url=None)
    answer_errors(app, shop.doors.refused, settings)
    door = shop.doors.behind
    logging_out, changing_password, unlocking = (
        door("logout"),
        door("password_change"),
        door("unlock", "admin"),
    )
    auditing, pricing = door("audit_read", "auditor"), door("price_change", "manager")
    ordering, reading = door("order"), door("order_read")
    listing, making = door("users_read", "admin"), door("user_make", "admin")
    showing, exporting, erasing = door("me_read"), door("me_export"), door("me_erase")
    logs_reads = not settings.has("reads-unlogged")

    @app.post("/login", response_model=Token, responses=problems)
    async def login(request: Request, credentials: Credentials) -> Response:
        shop.doors.comes(request, "login", credentials.user)
        body = await shop.tokens.login(credentials.model_dump(exclude_none=True))
        shop.doors.done(request)
        return JSONResponse(body)

    @app.post("/logout", status_code=204, responses=problems)
    async def logout(request: Request, user: User = logging_out) -> None:
        await shop.revoked.add(user.jti, user.expires_at)
        shop.doors.done(request)

    @app.post("/password", status_code=204, responses=problems)
    async def password(request: Request, change: NewPassword, user: User = changing_password) -> None:
        await shop.tokens.change_password(user.name, change.old, change.new)
        shop.doors.done(request)

    @app.post("/users/{name}/unlock", status_code=204, responses=problems, dependencies=[unlocking])
    async def unlock(request: Request, name: str) -> None:
        await shop.tokens.unlock(name)
        shop.doors.done(request)

    @app.get("/users", response_model=Accounts, responses=problems, dependencies=[listing])
    async def users(request: Request) -> Response:
        found = await shop.people.all()
        shop.doors.done(request)
        return JSONResponse(found)

    @app.post("/users", status_code=201, response_model=MadeUser, responses=problems, dependencies=[making])
    async def make(request: Request, new: NewUser) -> Response:
        made = await shop.people.make(new.user, new.password)
        shop.doors.done(request)
        return JSONResponse(made, 201)

    @app.get("/me", response_model=Me, responses=problems)
    async def me(user: User = showing) -> Response:
        return Response(await shop.people.shown(user.name), media_type="application/json")

    @app.get("/me/export", response_model=MyData, responses=problems)
    async def export(request: Request, after: uuid.UUID = NO_ID, user: User = exporting) -> Response:
        found = await shop.people.export(user.name, after)
        shop.doors.done(request)
        return JSONResponse(found)

    @app.delete("/me", status_code=204, responses=problems)
    async def erase(request: Request, user: User = erasing) -> None:
        await shop.people.erase(user.name)
        shop.doors.done(request)

    @app.get("/audit", response_model=AuditRecords, responses=problems, dependencies=[auditing])
    async def audit(request: Request, since: datetime = EPOCH, after: RecordId = 0) -> Response:
        shop.doors.done(request)
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        return JSONResponse(await shop.audit.read(since, after))

    @app.get("/products", response_model=Products, responses=problems)
    async def products() -> Response:
        return Response(await shop.catalogue.products(), media_type="application/json")

    @app.get("/products/{product_id}", response_model=StockedProduct, responses=problems)
    async def product(product_id: ProductId) -> Response:
        return Response(await shop.catalogue.product(product_id), media_type="application/json")

    @app.get("/products/{product_id}/reviews", response_model=ReviewsOfProduct, responses=problems)
    async def reviews(product_id: ProductId) -> Response:
        return Response(await shop.reviews.of(product_id), media_type="application/json")

    @app.put("/products/{product_id}", response_model=StockedProduct, responses=problems)
    async def set_price(
        request: Request, product_id: ProductId, price: Price, user: User = pricing
    ) -> Response:
        body = await shop.catalogue.set_price(product_id, price.price_cents, user.name, source(request))
        return Response(body, media_type="application/json")

    @app.post("/orders", status_code=201, response_model=Order, responses={**problems, 200: {"model": Order}})
    async def place(request: Request, order: OrderRequest, user: User = ordering) -> Response:
        key = order.idempotency_key or uuid.uuid4().hex
        wish = Wish(user.name, source(request), order.product_id, order.quantity, key)
        body, new = await shop.orders.place(wish)
        return JSONResponse(body, 201 if new else 200)

    @app.get("/orders/{order_id}", response_model=Order, responses=problems)
    async def read(request: Request, order_id: uuid.UUID, user: User = reading) -> Response:
        found = await shop.orders.read(order_id, user.name)
        if logs_reads:
            shop.doors.done(request)
        return JSONResponse(found)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready")
    async def ready() -> Response:
        # Without its cache, payments or identity the shop still serves; without its database it does not.
        parts = await shop.parts()
        ok = parts["postgres"]["ok"]
        return JSONResponse({"status": "ok" if ok else "unavailable", "parts": parts}, 200 if ok else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Observed(Guard(app, settings), shop.log, registry, settings)
