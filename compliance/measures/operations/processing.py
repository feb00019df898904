"""Whether what was taken on is done: orders are placed, and held against what the database has of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.records import pauses
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.base import Measure, SideEffect
from compliance.measures.stores.postgres_rows import Ask, ask
from compliance.site import Site, Unreachable, at, json_of
from compliance.target import Account, Exchange, Http, Login, Postgres, Processing, Target

QUANTITIES = (1, 2, 3, 4, 5)  # so that an amount which is rounded can be told


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was acknowledged. amount: as answered; price: of one; None: it was not told."""

    id: str
    quantity: int
    amount: Decimal
    price: Decimal | None


class OrdersProcessed(Measure):
    name = "orders_processed"
    says = "whether orders that were acknowledged are stored once, with the right amount, and passed on"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "processing", "postgres")
    fields: ClassVar[Mapping[str, str]] = {
        "acknowledged": "number of orders that were",
        "missing": "ids of those that are not stored",
        "twice": "ids of those that are stored more than once",
        "wrong_amounts": "orders whose amount, answered or stored, is not quantity times price; none: the "
        "price could not be read, and what is stored is as answered",
        "not_passed_on": "ids of those that are stored and not queued; none: the target has no "
        "processing.queued",
    }

    def __init__(self, asked: Ask = ask) -> None:
        self._asked = asked

    def take(self, site: Site) -> Mapping[str, Any]:
        part = site.target.processing
        assert part is not None
        token = site.token(site.target.accounts[0])
        orders = [order for each in QUANTITIES if (order := _placed(site, part, token, each))]
        if not orders:
            raise ChaosError(f"{part.create.method} {part.create.path}: no order was acknowledged")
        ids = [order.id for order in orders]
        stored = self._waited_for(site, part.stored, ids)
        times = Counter(str(row[0]) for row in stored)
        amounts = {str(row[0]): number_of(row[1]) for row in stored}
        queued = None
        if part.queued is not None:
            queued = {str(row[0]) for row in self._waited_for(site, part.queued, sorted(times))}
        site.note(
            f"{len(orders)} orders were acknowledged, {sum(each.amount for each in orders)} in all; "
            f"{len(times)} of them are stored, {sum(each or 0 for each in amounts.values())} in all"
        )
        return {
            "acknowledged": len(orders),
            "missing": [each for each in ids if each not in times],
            "twice": [each for each in times if times[each] > 1],
            "wrong_amounts": wrong_amounts(orders, amounts),
            "not_passed_on": None if queued is None else [each for each in times if each not in queued],
        }

    def _waited_for(self, site: Site, query: str, ids: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """Rows of these ids: when all are there, or patience is at its end."""
        assert site.target.processing is not None
        rows: Sequence[tuple[Any, ...]] = ()
        for _ in pauses(site, site.target.processing.patience_s):
            rows = self._asked(site, query, (list(ids),))
            if set(ids) <= {str(row[0]) for row in rows}:
                break
        return rows

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """What PostgreSQL said of another order than all that were placed, as no server can be bundled."""
        self._asked = lambda site, query, values: [("1", 1), ("1", 1)] if query == STORED else []
        with bad_service(_Careless) as url:
            yield Target(
                name="bad",
                http=Http(url=url),
                login=Login(path="/login", body={"user": "{user}", "password": "{password}"}),
                accounts=(Account(user=BadHandler.USER, password=BadHandler.PASSWORD),),
                processing=Processing(
                    create=Exchange(method="POST", path="/orders", body={}),
                    price=Exchange(path="/products/1"),
                    stored=STORED,
                    queued="SELECT id FROM queue WHERE id = ANY(%s)",
                    patience_s=0.05,
                ),
                postgres=Postgres(url="postgresql://"),
            )


STORED = "SELECT id, amount FROM orders WHERE id = ANY(%s)"


class _Careless(BadHandler):
    """Every order is acknowledged, for the price of one, as if it were the order `1` or one of a hundred."""

    def do_GET(self) -> None:
        self._answer(200, {"price": 100})

    def _answer(self, status: int, body: Any) -> None:
        if isinstance(body, dict) and "quantity" in body:
            body = {"id": str(body["quantity"]), "amount": 100}
        super()._answer(status, body)


def wrong_amounts(orders: Sequence[Placed], stored: Mapping[str, Decimal | None]) -> list[str] | None:
    """In words. None: prices were not told, and nothing else is wrong."""
    wrong, unclear = [], False
    for order in orders:
        wanted = None if order.price is None else order.quantity * order.price
        kept = stored.get(order.id, order.amount)
        unclear |= wanted is None
        if kept != order.amount or wanted not in (None, order.amount):
            told = "unknown" if wanted is None else f"{order.quantity} x {order.price} = {wanted}"
            wrong.append(f"{order.id}: {told}, answered {order.amount}, stored {kept}")
    return None if unclear and not wrong else wrong


def _placed(site: Site, part: Processing, token: str, quantity: int) -> Placed | None:
    """None: it was not acknowledged, which is no promise that could be broken. Raises ChaosError."""
    create = part.create.model_copy(update={"body": {**(part.create.body or {}), part.quantity: quantity}})
    before = _price(site, part, token)
    try:
        answer = site.send(create, token)
    except Unreachable as error:
        site.note(str(error))
        return None
    if not answer.ok:
        return None
    found = json_of(answer)
    number, amount = at(found, part.id), number_of(at(found, part.amount))
    if not isinstance(number, str | int) or amount is None:
        raise ChaosError(
            f"{create.method} {create.path}: its answer has no {part.id}, or no number as {part.amount}"
        )
    same = before is not None and before == _price(site, part, token)  # else it was changed in between
    return Placed(str(number), quantity, amount, before if same else None)


def _price(site: Site, part: Processing, token: str) -> Decimal | None:
    try:
        answer = site.send(part.price, token)
    except Unreachable:
        return None
    return number_of(at(json_of(answer), part.price_at)) if answer.ok else None


def number_of(value: Any) -> Decimal | None:
    """As it is written, also as text: 19.99 is not what is closest to it in binary. None: no number."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


MEASURES = (OrdersProcessed,)
