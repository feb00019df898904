"""What the shop is sent and what it answers."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

MAX_ID = 2**31 - 1  # PostgreSQL's integer
MAX_BIGINT = 2**63 - 1

ProductId = Annotated[int, Field(ge=1, le=MAX_ID)]
RecordId = Annotated[int, Field(ge=0, le=MAX_BIGINT)]


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


class NewPassword(BaseModel):
    old: str
    new: str


class NewUser(BaseModel):
    user: str = Field(pattern="^[a-z0-9][a-z0-9._-]{0,39}$")
    password: str


class MadeUser(BaseModel):
    user: str
    role: str


class Account(MadeUser):
    enabled: bool
    made_at: datetime
    last_login: datetime | None


class Accounts(BaseModel):
    accounts: list[Account]


class Me(BaseModel):
    user: str
    orders: int
    spent_cents: int


class MyData(BaseModel):
    """next: the `after` of the next page, if there is one."""

    account: Account
    orders: list[Order]
    next: uuid.UUID | None


class AuditRecord(BaseModel):
    id: int
    at: datetime
    user: str | None
    action: str
    object: str
    outcome: str
    source: str


class AuditRecords(BaseModel):
    """next: the `after` of the next page, if there is one."""

    retention_days: int
    records: list[AuditRecord]
    next: int | None
