"""A small service that does right what audits look at, and each thing wrong on its own (`lapses`): HTTP on
loopback, in threads of this process."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from compliance.measures.bad import bad_service
from compliance.target import Account, AuditLog, Exchange, Http, Login, Owned, Target

ROLES = {"alice": "customer", "mia": "manager", "audrey": "auditor", "canary": "customer"}
PASSWORD = "wonderland-1865"
MOST_BYTES = 10_000
MOST_RECORDS = 500
HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass
class State:
    """lapses: what is done wrong. late_s: after which records are shown."""

    lapses: frozenset[str] = frozenset()
    late_s: float = 0.0
    password: str = PASSWORD
    tokens: dict[str, str] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, user: str | None, action: str, what: str, outcome: str) -> None:
        if f"forgets-{action}-{outcome}" in self.lapses:
            return
        wrong_s = 60 if "wrong-clock" in self.lapses else 0
        with self.lock:
            record = {"id": len(self.records) + 1, "user": user, "action": action, "object": what}
            record["at"] = (datetime.now(UTC) - timedelta(seconds=wrong_s)).isoformat()
            record["due"] = time.monotonic() + self.late_s
            record["outcome"] = "" if "no-outcome" in self.lapses else outcome
            self.records.append(record)

    def shown(self, since: str) -> list[dict[str, Any]]:
        with self.lock:
            return [
                {name: value for name, value in each.items() if name != "due"}
                for each in self.records
                if each["due"] <= time.monotonic() and (not since or each["at"] >= since[:19])
            ]


class SmallShop(BaseHTTPRequestHandler):
    """`state` belongs to one server."""

    state: State
    protocol_version = "HTTP/1.1"
    user: str | None = None

    def parse_request(self) -> bool:
        known = super().parse_request()
        if known:
            self.state.requests.append(f"{self.command} {self.path[:200]}")
        return known

    def version_string(self) -> str:
        return "Apache/2.4.1 (Unix)" if "banner" in self.state.lapses else "shop"

    def do_GET(self) -> None:
        self.handled("GET")

    def do_POST(self) -> None:
        self.handled("POST")

    def do_PUT(self) -> None:
        self.handled("PUT")

    def do_PATCH(self) -> None:
        self.handled("PATCH")

    def do_DELETE(self) -> None:
        self.handled("DELETE")

    def do_OPTIONS(self) -> None:
        self.handled("OPTIONS")

    def do_TRACE(self) -> None:
        if "trace-method" in self.state.lapses:
            self.answer(200, f"{self.requestline}\r\n{self.headers}")
        else:
            self.answer(405, {"error": "method_not_allowed"})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.answer(code, {"error": "not_supported"})
        self.close_connection = True

    def handled(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BYTES and "unbounded-input" not in self.state.lapses:
            self.close_connection = True
            return self.answer(413, {"error": "too_large"})
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            if "takes-chunked" not in self.state.lapses:
                self.close_connection = True
                return self.answer(411, {"error": "length_required"})
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        body = self.rfile.read(length)
        self.user = self.state.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        try:
            self.route(method, urlsplit(self.path).path, body)
        except Refused as refused:
            if refused.action:
                self.state.note(self.user, refused.action, self.path.split("?")[0], "refused")
            self.answer(refused.status, refused.shape(self.state, body))

    def route(self, method: str, path: str, body: bytes) -> None:
        match method, path.strip("/").split("/"):
            case "GET", _ if "gives-files" in self.state.lapses and "passwd" in path:
                self.answer(200, "root:x:0:0:root:/root:/bin/sh\n")
            case "GET", [""]:
                self.answer(200, {"name": "shop"})
            case "POST", ["login"]:
                self.log_in(self.parsed(body, {"user": str, "password": str}))
            case "GET", ["audit"]:
                self.audit()
            case (("PUT" | "PATCH" | "DELETE"), ["audit", number]):
                self.change_record(method, number)
            case "POST", ["orders"]:
                self.order(self.parsed(body, {"product": int, "note": str}, optional={"note"}))
            case "GET", ["orders", number] if number in self.state.orders:
                self.state.note(self.need("order_read"), "order_read", path, "ok")
                self.answer(200, self.state.orders[number])
            case _:
                raise Refused(404)

    def parsed(self, body: bytes, wanted: dict[str, type], optional: Container[str] = ()) -> dict[str, Any]:
        try:
            given = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(500 if "crashes" in self.state.lapses else 422, error=error) from None
        if not isinstance(given, dict):
            raise Refused(422)
        for name, kind in wanted.items():
            value = given.get(name)
            if value is None and name in optional:
                continue
            if type(value) is not kind or (kind is str and not 0 < len(value) <= 200):
                raise Refused(500 if "crashes" in self.state.lapses else 422)
        asleep = re.search(r"sleep\((\d)\)", json.dumps(given))
        if asleep and "slow" in self.state.lapses:
            time.sleep(1.5)
        elif asleep and "obeys-sql" in self.state.lapses:
            time.sleep(int(asleep[1]))
        if "'" in json.dumps(given) and "sql-errors" in self.state.lapses:
            raise Refused(400, shape={"error": 'syntax error at or near "\'"'})
        if "'1'='1" in str(given.get("user")) and "sql-log-in" in self.state.lapses:
            given |= {"user": "alice", "password": self.state.password}
        return given

    def need(self, action: str, role: str = "") -> str:
        if self.user is None:
            raise Refused(401, action)
        if role and ROLES[self.user] != role and "open-audit" not in self.state.lapses:
            raise Refused(403, action)
        return self.user

    def log_in(self, given: dict[str, Any]) -> None:
        self.user = given["user"]
        if given["user"] not in ROLES or given["password"] != self.state.password:
            raise Refused(401, "login")
        token = secrets.token_urlsafe(16)
        self.state.tokens[token] = given["user"]
        self.state.note(given["user"], "login", "/login", "ok")
        self.answer(200, {"access_token": token})

    def audit(self) -> None:
        user = self.need("audit_read", "auditor")
        self.state.note(user, "audit_read", "/audit", "ok")
        since = parse_qs(urlsplit(self.path).query).get("since", [""])[0]
        after = int(parse_qs(urlsplit(self.path).query).get("after", ["0"])[0])
        found = [each for each in self.state.shown(since) if each["id"] > after]
        more = found[MOST_RECORDS - 1]["id"] if len(found) > MOST_RECORDS else None
        self.answer(200, {"retention_days": 400, "records": found[:MOST_RECORDS], "next": more})

    def change_record(self, method: str, number: str) -> None:
        if "erasable" not in self.state.lapses:
            raise Refused(200 if "says-yes" in self.state.lapses else 405)
        with self.state.lock:
            found = next((each for each in self.state.records if str(each["id"]) == number), None)
            if found is None:
                raise Refused(404)
            if method == "DELETE":
                self.state.records.remove(found)
            else:
                found["outcome"] = "changed"
        self.answer(204, "")

    def order(self, given: dict[str, Any]) -> None:
        user = self.need("order")
        number = secrets.token_hex(4)
        self.state.orders[number] = {"id": number, "product": given["product"], "note": given.get("note", "")}
        if "leaks-card" in self.state.lapses:
            self.state.orders[number]["card"] = "4242 4242 4242 4242"
        self.state.note(user, "order", f"/orders/{number}", "ok")
        self.answer(201, self.state.orders[number])

    def answer(self, status: int, body: Any) -> None:
        is_text = isinstance(body, str)
        data = (body if is_text else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if is_text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in HEADERS.items():
            if f"no-{name}" not in self.state.lapses:
                self.send_header(name, value)
        origin = self.headers.get("Origin")
        if origin and "reflects-origin" in self.state.lapses:
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Credentials", "true")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


class Refused(Exception):
    """action: what its audit record calls it; empty: it has none."""

    def __init__(
        self, status: int, action: str = "", error: Exception | None = None, shape: Any = None
    ) -> None:
        self.status, self.action, self.error, self.given = status, action, error, shape

    def shape(self, state: State, body: bytes) -> Any:
        if "traces" in state.lapses:
            return (
                f'Traceback (most recent call last):\n  File "/srv/shop/api.py", line 3, in x\n{self.error!r}'
            )
        if "echoes" in state.lapses:
            return f"<p>not understood: {body.decode(errors='replace')}</p>"
        if "repeats" in state.lapses:
            return {"error": "refused", "input": body.decode(errors="replace")}
        return self.given or {"error": "refused"}


@contextmanager
def small_shop(
    *lapses: str,
    late_s: float = 0.0,
    patience_s: float = 1.0,
    password: str = PASSWORD,
    handler: type[SmallShop] = SmallShop,
) -> Iterator[tuple[Target, State]]:
    """A description of it, and what it keeps. password: everybody's."""
    state = State(frozenset(lapses), late_s, password)
    with bad_service(type("OneShop", (handler,), {"state": state})) as url:
        accounts = tuple(Account(user=user, password=password, role=role) for user, role in ROLES.items())
        order = Exchange(method="POST", path="/orders", body={"product": 1, "note": "thanks"})
        yield (
            Target(
                name="small shop",
                http=Http(url=url, timeout_s=5.0, public=("/", "/login")),
                login=Login(path="/login", body={"user": "{user}", "password": "{password}"}),
                accounts=accounts[:3],
                canary=accounts[3],
                owned=Owned(create=order, read="/orders/{id}"),
                audit_log=AuditLog(
                    read="/audit?since={since}&after={after}",
                    role="auditor",
                    fields={"object": "object"},
                    patience_s=patience_s,
                    table="audit_log",
                ),
            ),
            state,
        )
