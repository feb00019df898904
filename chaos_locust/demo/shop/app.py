"""The routes of the shop."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from pydantic import BaseModel, Field
from starlette.types import ASGIApp

from chaos_locust.demo.breaker import Breaker
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.catalogue import Cache, Catalogue
from chaos_locust.demo.shop.database import POOL_SIZE, Database
from chaos_locust.demo.shop.errors import ShopError, Unavailable
from chaos_locust.demo.shop.observe import AccessLog, Observed
from chaos_locust.demo.shop.orders import Orders, Wish
from chaos_locust.demo.shop.payments import Payments
from chaos_locust.demo.shop.reviews import Reviews
from chaos_locust.demo.shop.tokens import Tokens

READY_S = 1.0
MAX_ID = 2**31 - 1  # PostgreSQL's integer

Authorization = Annotated[str | None, Header()]
ProductId = Annotated[int, Field(ge=1, le=MAX_ID)]


class Problem(BaseModel):
    error: str
    detail: str


class Credentials(BaseModel):
    """expires_in (seconds) and audience: for a token that lasts less long, or is for another service."""

    user: str
    password: str
    expires_in: int | None = None
    audience: str | None = None


class Token(BaseModel):
    token: str
    expires_in: int


class Product(BaseModel):
    id: int
    name: str
    price_cents: int


class StockedProduct(Product):
    stock: int


class Products(BaseModel):
    products: list[Product]


class ReviewsOfProduct(BaseModel):
    product: int
    reviews: int
    stars: float | None
    reviews_by_author: float | None


class Price(BaseModel):
    price_cents: int = Field(ge=1, le=10_000_000)


class OrderRequest(BaseModel):
    product_id: ProductId
    quantity: int = Field(ge=1, le=1000)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=100)


class Order(BaseModel):
    id: uuid.UUID
    product_id: int
    quantity: int
    amount_cents: int
    payment_reference: str
    status: str


class Shop:
    """All the parts of one shop."""

    def __init__(self, settings: Settings) -> None:
        self.log = AccessLog(settings.state / "access.log")
        self.database = Database(settings)
        self.cache = Cache(settings, time.monotonic)
        self.catalogue = Catalogue(self.database, self.cache, settings)
        self.payments = Payments(settings, time.monotonic)
        self.reviews = Reviews(self.database, settings, time.monotonic)
        self.orders = Orders(self.database, self.catalogue, self.payments, settings)
        self.tokens = Tokens(settings, time.monotonic)

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """From start to shutdown; nothing need answer yet at the start."""
        for_ever = (self.log.keep_flushing, self.database.keep_warm, self.orders.ship)
        tasks = [asyncio.create_task(work()) for work in for_ever]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.database.close()
            await asyncio.gather(self.cache.close(), self.payments.close(), self.tokens.close())
            self.log.close()

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
        status: {"model": Problem} for status in (401, 402, 403, 404, 409, 503)
    }
    app = FastAPI(title="The shop", version="1", lifespan=shop.running, docs_url=None, redoc_url=None)

    @app.exception_handler(ShopError)
    async def problem(_: Request, error: ShopError) -> JSONResponse:
        headers = {"Retry-After": "1"} if isinstance(error, Unavailable) else None
        if error.status == 401:
            headers = {"WWW-Authenticate": "Bearer"}
        return JSONResponse({"error": error.code, "detail": error.detail}, error.status, headers)

    @app.post("/login", response_model=Token, responses=problems)
    async def login(credentials: Credentials) -> Response:
        return JSONResponse(await shop.tokens.login(credentials.model_dump(exclude_none=True)))

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
    async def set_price(product_id: ProductId, price: Price, authorization: Authorization = None) -> Response:
        user = await shop.tokens.user(authorization)
        if user.role != "manager":
            raise ShopError(403, "not_allowed", "only a manager may change prices")
        body = await shop.catalogue.set_price(product_id, price.price_cents)
        return Response(body, media_type="application/json")

    @app.post("/orders", status_code=201, response_model=Order, responses={**problems, 200: {"model": Order}})
    async def place(order: OrderRequest, authorization: Authorization = None) -> Response:
        user = await shop.tokens.user(authorization)
        key = order.idempotency_key or uuid.uuid4().hex
        body, new = await shop.orders.place(Wish(user.name, order.product_id, order.quantity, key))
        return JSONResponse(body, 201 if new else 200)

    @app.get("/orders/{order_id}", response_model=Order, responses=problems)
    async def read(order_id: uuid.UUID, authorization: Authorization = None) -> Response:
        user = await shop.tokens.user(authorization)
        return JSONResponse(await shop.orders.read(order_id, user.name))

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

    return Observed(app, shop.log, registry)
