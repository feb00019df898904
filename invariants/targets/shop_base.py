"""The demo shop as every one of its targets knows it: where it is, who logs in, and how it becomes as new.

A defect may stay in the shop's memory after it showed. So before each sequence the shop has to be as new, and
is started anew where it does not become so by itself: what a sequence shows, it shows on its own.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from chaos_locust.injection import inject
from invariants.machine import NoAnswer, Refused, TargetDown
from invariants.targets.base import Target
from invariants.targets.http import Answer, HttpClient

WHERE = {
    "SHOP_URL": "http://127.0.0.1:8000",
    "PROXY_API": "http://127.0.0.1:8474",
    "SHOP_STATE": "/tmp/chaos-locust-shop-8000",
    "SHOP_POSTGRES": "postgresql://postgres@127.0.0.1:8003/shop?passfile=/tmp/chaos-locust-shop-8000/pgpass",
    "SHOP_CACHE": "redis://127.0.0.1:8004",
}
"""The variables of `chaos-locust demo serve`, with what holds for its default ports."""

PASSWORDS = {"alice": "wonderland", "mia": "prices-in-pence"}
PROBED = 1
"""The product that is ordered to see whether the shop works."""

BY_ITSELF_S = 4.0
"""So long a healthy shop may take to be as new; it needs one to two seconds."""

ANEW_S = 120.0
POLL_S = 0.1
IN_A_ROW = 12
"""More than it has database connections, so that each of them has been used."""

_IN_USE = re.compile(rb"^shop_database_slots_in_use ([0-9.]+)", re.MULTILINE)

Headers = Mapping[str, str]


def where(name: str) -> str:
    return os.environ.get(name, WHERE[name])


def fault_targets() -> dict[str, Any]:
    """The parts of the shop that faults are done to, as in a plan, read when the plan is."""
    state, database, cache = (f"${{{n}:-{WHERE[n]}}}" for n in ("SHOP_STATE", "SHOP_POSTGRES", "SHOP_CACHE"))
    return {
        "shop": {"pidfile": f"{state}/shop.pid"},
        "payments": {"proxy": "payments", "pidfile": f"{state}/payments.pid"},
        "identity": {"proxy": "identity"},
        "cache-link": {"proxy": "cache"},
        "cache": {"redis": cache},
        "database": {"postgres": database},
    }


def proxy_api() -> str:
    return f"${{PROXY_API:-{WHERE['PROXY_API']}}}"


@dataclass
class Shop(Target):
    """What is done to one sequence's data carries its scope, and stays: the shop forgets nothing."""

    used_before: ClassVar[bool] = True
    """Whether an order is placed before each sequence."""

    _tokens: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    def check(self) -> None:
        url, why = where("SHOP_URL"), ""

        def works() -> bool:
            nonlocal why
            try:
                HttpClient(url).ask("GET", "/health/ready")
            except (Refused, NoAnswer) as error:
                why = str(error)
                return False
            return True

        if not until(works, BY_ITSELF_S):
            raise TargetDown(
                f"the shop at {url} does not work ({why}); start it with `chaos-locust demo serve`, and "
                "give its SHOP_URL if it is not on the default ports"
            )

    def begin(self, scope: str) -> None:
        """Raises TargetDown."""
        if until(lambda: self._is_ready(scope), BY_ITSELF_S):
            return
        with inject("kill", target="shop", targets={"shop": fault_targets()["shop"]}):
            pass
        if not until(lambda: self._is_ready(scope), ANEW_S):
            raise TargetDown(f"the shop was started anew, and does not work after {ANEW_S:g} s")

    def prepare(self, scope: str) -> None:
        """What a sequence takes for given; done again until it succeeds. Raises Refused, NoAnswer."""

    def headers(self, user: str, anew: bool = False) -> Headers:
        """Of somebody who is logged in. Raises Refused, NoAnswer."""
        with self._lock:
            if anew or user not in self._tokens:
                self._tokens[user] = log_in(HttpClient(where("SHOP_URL")), user)
            return {"Authorization": f"Bearer {self._tokens[user]}"}

    def send_as(self, user: str, http: HttpClient, method: str, path: str, body: Any = None) -> Answer:
        """A token that is not valid any more is replaced once. Raises Refused, NoAnswer."""
        answer = http.send(method, path, body, self.headers(user))
        if answer.status == 401:
            answer = http.send(method, path, body, self.headers(user, anew=True))
        return answer

    def order(self, http: HttpClient, product: int, key: str, quantity: int = 1) -> Answer:
        """Raises Refused, NoAnswer."""
        wish = {"product_id": product, "quantity": quantity, "idempotency_key": key}
        return self.send_as("alice", http, "POST", "/orders", wish)

    def _is_ready(self, scope: str) -> bool:
        try:
            if self._is_as_new():
                self.prepare(scope)
                return True
        except (Refused, NoAnswer):
            pass
        return False

    def _is_as_new(self) -> bool:
        http = HttpClient(where("SHOP_URL"), timeout_s=2.0)
        try:
            if not http.send("GET", "/products").good or not http.send("GET", "/products/1").good:
                return False
            placed = self.order(http, PROBED, f"probe-{uuid4().hex}") if self.used_before else None
            if placed is not None:
                if not placed.good:
                    return False
                path = f"/orders/{placed.json()['id']}"
                if not all(self.send_as("alice", http, "GET", path).good for _ in range(IN_A_ROW)):
                    return False
            parts = http.send("GET", "/health/ready").json()["parts"]
            calm = all(part["ok"] and part.get("breaker", "closed") == "closed" for part in parts.values())
            return calm and until(lambda: slots_in_use(http) == 0, 1.0)
        except (Refused, NoAnswer, TypeError, KeyError):
            return False
        finally:
            http.close()


def slots_in_use(http: HttpClient) -> int:
    """Of the shop's database. Raises Refused, NoAnswer."""
    answer = http.send("GET", "/metrics")
    found = _IN_USE.search(answer.body)
    if not answer.good or found is None:
        raise Refused(f"the shop does not tell how many database slots are in use: {answer.status}")
    return int(float(found[1]))


def log_in(http: HttpClient, user: str, **wish: Any) -> str:
    """A token. wish: `expires_in`, `audience`. Raises Refused, NoAnswer."""
    try:
        answer = http.send("POST", "/login", {"user": user, "password": PASSWORDS[user], **wish})
        if not answer.good:
            raise Refused(f"{user} could not log in: {answer}")
        return str(answer.json()["token"])
    finally:
        http.close()


def upstream(name: str) -> str:
    """The address of what is behind one of the shop's proxies. Raises Refused, NoAnswer."""
    http = HttpClient(where("PROXY_API"))
    try:
        return f"http://{http.ask('GET', f'/proxies/{name}')['upstream']}"
    finally:
        http.close()


def until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Whether it came true in time; it is asked once at least."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(POLL_S)
    return True


class Database:
    """The shop's database, only read. Does one thing at a time."""

    def __init__(self) -> None:
        self._session: psycopg.Connection[Any] | None = None
        self._where = ""
        self._lock = threading.Lock()

    def rows(self, query: str, *given: Any) -> list[tuple[Any, ...]]:
        """Raises Refused."""
        with self._lock:
            try:
                return self._read(query, given)
            except psycopg.OperationalError:
                pass  # the session was ended; to read again does no harm
            try:
                return self._read(query, given)
            except psycopg.Error as error:
                place = urlsplit(where("SHOP_POSTGRES"))
                raise Refused(
                    f"the database at {place.hostname}:{place.port} cannot be read: {type(error).__name__}"
                ) from error

    def _read(self, query: str, given: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        where_now = where("SHOP_POSTGRES")  # of another shop than before, perhaps
        if self._session is None or self._session.closed or self._where != where_now:
            options = "-c default_transaction_read_only=on"
            self._session = psycopg.connect(where_now, autocommit=True, connect_timeout=5, options=options)
            self._where = where_now
        try:
            return self._session.execute(query.encode(), given).fetchall()
        except psycopg.Error:
            self._session.close()
            raise
