"""What is said of orders, against a service that stores them in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from chaos_locust.errors import ChaosError
from compliance.measures.operations.processing import OrdersProcessed
from compliance.site import Unreachable
from compliance.target import Exchange, Postgres, Processing, Target
from tests.integration.compliance_judged import answers_of, failed, site_of, taken
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.small_shop import Refused, SmallShop, small_shop

HELD = {"orders-stored": "held", "orders-add-up": "held", "orders-passed-on": "held"}
SCHEMA = """
DROP TABLE IF EXISTS orders, outbox;
CREATE TABLE orders (id text, amount numeric(12, 2));
CREATE TABLE outbox (order_id text)"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        yield found


class Selling(SmallShop):
    """Sells for 19.99; `wrong`: with what is done to an order of five."""

    url: str
    wrong: str
    shown = 0

    def route(self, method: str, path: str, body: bytes) -> None:
        if (method, path) == ("GET", "/products/1"):
            if self.wrong == "no-price":
                raise Refused(503)
            type(self).shown += 1
            self.answer(200, {"price": f"{19 + (self.shown if self.wrong == 'moving-price' else 0)}.99"})
        else:
            super().route(method, path, body)

    def order(self, given: dict[str, Any]) -> None:
        self.need("order")
        quantity, number = given["quantity"], f"o-{given['quantity']}"
        wrong = self.wrong if quantity == 5 else ""
        amount = f"{quantity * 1999 // 100}.{quantity * 1999 % 100:02}"
        if wrong == "refused" or self.wrong == "refuses":
            raise Refused(503)
        stored = {"lost": 0, "twice": 2}.get(wrong, 1)
        answered = "100" if wrong == "answers-rounded" else amount
        kept = "100" if wrong in ("stores-rounded", "answers-rounded") else amount
        with psycopg.connect(self.url) as connection:
            for _ in range(stored):
                connection.execute("INSERT INTO orders VALUES (%s, %s)", (number, kept))
            if wrong != "not-queued":
                connection.execute("INSERT INTO outbox VALUES (%s)", (number,))
        self.answer(201, {"id": number, "amount": answered if wrong != "no-amount" else None})


@contextmanager
def selling(server: PostgresServer, wrong: str = "", queued: bool = True) -> Iterator[Target]:
    server.ask(SCHEMA)
    handler = type("S", (Selling,), {"url": server.admin, "wrong": wrong})
    part = Processing(
        create=Exchange(method="POST", path="/orders", body={"product": 1}),
        price=Exchange(path="/products/1"),
        stored="SELECT id, amount FROM orders WHERE id = ANY(%s)",
        queued="SELECT order_id FROM outbox WHERE order_id = ANY(%s)" if queued else None,
        patience_s=0.2,
    )
    with small_shop(handler=handler) as (target, _):
        yield target.model_copy(update={"processing": part, "postgres": Postgres(url=server.admin)})


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("", set()),
        ("refused", set()),
        ("lost", {"orders-stored"}),
        ("twice", {"orders-stored"}),
        ("stores-rounded", {"orders-add-up"}),
        ("answers-rounded", {"orders-add-up"}),
        ("not-queued", {"orders-passed-on"}),
    ],
)
def test_each_thing_wrong_alone(server: PostgresServer, wrong: str, expected: set[str]) -> None:
    with selling(server, wrong) as target:
        assert failed(OrdersProcessed, target) == expected


def test_what_is_wrong_is_named(server: PostgresServer) -> None:
    with selling(server, "stores-rounded") as target:
        site = site_of(target)
        value = OrdersProcessed().take(site)
    assert value["wrong_amounts"] == ["o-5: 5 x 19.99 = 99.95, answered 99.95, stored 100.00"]
    assert "5 orders were acknowledged, 299.85 in all; 5 of them are stored, 299.90 in all" in site.evidence
    with selling(server, "lost") as target:
        assert taken(OrdersProcessed, target)["missing"] == ["o-5"]


@pytest.mark.parametrize("wrong", ["no-price", "moving-price"])
def test_without_a_price_amounts_are_not_known_to_be_right(server: PostgresServer, wrong: str) -> None:
    with selling(server, wrong) as target:
        found = answers_of(OrdersProcessed, taken(OrdersProcessed, target))
    assert found == {**HELD, "orders-add-up": "not_known"}


def test_without_a_queue_nothing_is_said_of_it(server: PostgresServer) -> None:
    with selling(server, queued=False) as target:
        found = answers_of(OrdersProcessed, taken(OrdersProcessed, target))
    assert found == {**HELD, "orders-passed-on": "not_known"}


@pytest.mark.parametrize(
    ("wrong", "message"), [("refuses", "no order was acknowledged"), ("no-amount", "no number as amount")]
)
def test_what_does_not_go_well_proves_nothing(server: PostgresServer, wrong: str, message: str) -> None:
    with selling(server, wrong) as target, pytest.raises(ChaosError, match=message):
        OrdersProcessed().take(site_of(target))


def test_a_target_or_a_database_that_is_down_proves_nothing(server: PostgresServer) -> None:
    with selling(server) as target:
        gone = Postgres(url="postgresql://postgres@127.0.0.1:1/shop")
        with pytest.raises(Unreachable, match="PostgreSQL"):
            OrdersProcessed().take(site_of(target.model_copy(update={"postgres": gone})))
    with pytest.raises(Unreachable):
        OrdersProcessed().take(site_of(target))
