"""A small service that is right about who gets in, and each thing wrong on its own (`lapses`): HTTP on
loopback, in threads of this process."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

from compliance.measures.bad import bad_service
from compliance.target import Account, Exchange, Http, Login, Owned, Privileged, Target

ACCOUNTS = (
    Account(user="alice", password="wonderland-1865", role="customer"),
    Account(user="bob", password="the-builder-1999", role="customer"),
    Account(user="mia", password="sets-prices-2001", role="manager"),
    Account(user="audrey", password="reads-lines-1889", role="auditor"),
    Account(user="canary", password="sings-in-the-mine-1911", role="customer"),
)
LASTS_S = 900
LOCKS_AFTER = 6
COMMON = ("password", "password123", "1q2w3e4r5t6y", "1qaz2wsx3edc4rfv", "1q2w3e4r5t6y7u8i9o0p")
DEFAULT = {"guest": "guest"}


@dataclass
class State:
    lapses: frozenset[str]
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    passwords: dict[str, list[str]] = field(default_factory=lambda: {a.user: [a.password] for a in ACCOUNTS})
    failed: dict[str, int] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    opaque: dict[str, str] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def has(self, lapse: str) -> bool:
        return lapse in self.lapses


class Refused(Exception):
    def __init__(self, status: int, text: str = "refused") -> None:
        self.status, self.text = status, text


class SmallIdentity(BaseHTTPRequestHandler):
    """`state` belongs to one server."""

    state: State
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.state.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.cookie = ""
        try:
            self.answer(*self.route(urlsplit(self.path).path, json.loads(body) if body else {}))
        except Refused as refused:
            hides = self.state.has("hides-report") and self.path == "/report"
            self.answer(404 if hides else refused.status, {"error": refused.text})

    do_POST = do_PUT = do_DELETE = do_GET

    def route(self, path: str, given: Any) -> tuple[int, Any]:
        match self.command, path.strip("/").split("/"):
            case "GET", [""]:
                self.cookie = "id=before" if self.state.has("fixed-session") else ""
                return 200, {"name": "small"}
            case "GET", ["openapi.json"]:
                return 200, self.openapi()
            case "POST", ["login"]:
                return self.log_in(given)
            case "POST", ["logout"]:
                self.user()
                if not self.state.has("no-logout"):
                    self.state.revoked.add(self.token())
                return 204, None
            case "POST", ["password"]:
                return self.change(given)
            case "GET", ["report"] if self.state.has("open-report"):
                return 200, {}
            case "GET", ["report"]:
                return 200, {"for": self.user()}
            case "POST", ["orders"]:
                number = secrets.token_hex(4)
                self.state.orders[number] = self.user()
                return 201, {"id": number}
            case "GET", ["orders", number]:
                return self.order(number)
            case "PUT", ["prices"]:
                return self.privileged("manager")
            case "GET", ["audit"]:
                return self.privileged("auditor")
        raise Refused(404)

    def openapi(self) -> dict[str, Any]:
        secret = {"parameters": [{"name": "api_key", "in": "query"}]} if self.state.has("described") else {}
        return {"paths": {"/login": {"post": {}}, "/report": {"get": secret}, "/orders": {"post": {}}}}

    def order(self, number: str) -> tuple[int, Any]:
        user = "" if self.state.has("open-orders") else self.user()
        owner = self.state.orders.get(number)
        if self.state.has("says-well") and owner != user:
            return 200, {"error": "not found"}
        if owner is None or (owner != user and not self.state.has("idor") and user):
            raise Refused(404)
        return 200, {"id": number}

    def privileged(self, role: str) -> tuple[int, Any]:
        own = role_of(self.user())
        superuser = self.state.has("superuser") and own == "manager"
        if self.state.has("refuses-all") or not (own == role or superuser or self.state.has("open-admin")):
            raise Refused(403)
        return 200, {}

    def log_in(self, given: Any) -> tuple[int, Any]:
        state, user, password = self.state, given.get("user"), given.get("password")
        if state.has("sql") and "' OR '" in str(password):
            return 200, {"access_token": self.signed("alice", LASTS_S)}
        if state.has("operators") and isinstance(password, dict):
            return 200, {"access_token": self.signed(user, LASTS_S)}
        if not isinstance(user, str) or not isinstance(password, str):
            raise Refused(500 if state.has("crashes") else 422)
        if state.has("throttles") and sum(state.failed.values()) >= 5:
            raise Refused(429)
        self.attempt(user, password)
        lasts_s = min(given.get("expires_in", LASTS_S), LASTS_S)
        self.cookie = {
            "cookie": "id=new; Secure; HttpOnly; SameSite=Strict",
            "open-cookie": "id=new; SameSite=Strict",
            "fixed-session": "id=before; Secure; HttpOnly; SameSite=Strict",
        }.get(next(iter(state.lapses), ""), "")
        if state.has("opaque"):
            token = secrets.token_urlsafe(16)
            state.opaque[token] = user
            return 200, {"access_token": token, "expires_in": LASTS_S}
        return 200, {"access_token": self.signed(user, lasts_s)}

    def attempt(self, user: str, password: str) -> None:
        state = self.state
        known = state.passwords.get(user) or (
            [DEFAULT[user]] if state.has("defaults") and user in DEFAULT else []
        )
        limit = {"no-lockout": 10**6, "locks-late": 15}.get(next(iter(state.lapses), ""), LOCKS_AFTER)
        counted = "everybody" if state.has("locks-everybody") else user
        if state.failed.get(counted, 0) >= limit:
            raise Refused(423 if state.has("shows-lock") else 401)
        if state.has("slow-for-known") and known:
            hashlib.scrypt(password.encode(), salt=b"salt", n=2**14, r=8, p=1)
        right = password in known if state.has("old-stays") else password in known[-1:]
        if not right:
            state.failed[counted] = state.failed.get(counted, 0) + 1
            raise Refused(401, "no such user" if state.has("tells-users") and not known else "refused")
        state.failed[counted] = 0

    def change(self, given: Any) -> tuple[int, Any]:
        state, new = self.state, given["new"]
        user = "canary" if state.has("change-by-nobody") and not self.token() else self.user()
        if not state.has("change-without-old"):
            self.attempt(user, given["old"])
        last = state.passwords[user][-4:]
        shortest = 8 if state.has("short") else 15
        fine = (
            len(new) >= shortest
            and (state.has("letters") or not new.isalpha())
            and (state.has("digits") or not new.isdigit())
            and (state.has("common") or new not in COMMON)
            and (state.has("names") or user not in new)
            and (state.has("no-history") or new not in last)
        )
        if state.has("never-changes") or not fine:
            raise Refused(422)
        state.passwords[user].append(new)
        return 200, {}

    def token(self) -> str:
        query = parse_qs(urlsplit(self.path).query)
        if self.state.has("query-token") and "access_token" in query:
            return query["access_token"][0]
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def signed(self, user: str, lasts_s: int) -> str:
        state, now = self.state, int(time.time())
        claims: dict[str, Any] = {"sub": user, "iat": now, "jti": secrets.token_hex(8), "exp": now + lasts_s}
        if state.has("long"):
            claims["exp"] = now + 10 * 86400
        if state.has("endless"):
            del claims["exp"]
        if state.has("same-token"):
            claims = {"sub": user}
        return jwt.encode(claims, b"secret" if state.has("weak-key") else state.key, algorithm="HS256")

    def user(self) -> str:
        state, token = self.state, self.token()
        if state.has("trusts-headers") and (user := self.headers.get("X-Remote-User")):
            return user
        if token in state.opaque:
            return state.opaque[token]
        if token in state.revoked:
            raise Refused(401)
        options: Any = {
            "verify_signature": not state.has("unsigned"),
            "verify_exp": not state.has("no-expiry"),
        }
        try:
            if state.has("takes-none") and jwt.get_unverified_header(token)["alg"] == "none":
                options["verify_signature"] = False
            key = b"secret" if state.has("weak-key") else state.key
            return str(jwt.decode(token, key, algorithms=["HS256"], options=options)["sub"])
        except jwt.PyJWTError:
            raise Refused(500 if state.has("breaks") and token else 401) from None

    def answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.cookie:
            self.send_header("Set-Cookie", self.cookie)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


def role_of(user: str) -> str:
    return next((each.role for each in ACCOUNTS if each.user == user), "")


@contextmanager
def small_identity(*lapses: str) -> Iterator[tuple[Target, State]]:
    """A description of it, and what it keeps."""
    state = State(frozenset(lapses))
    with bad_service(type("OneIdentity", (SmallIdentity,), {"state": state})) as url:
        change = Exchange(method="POST", path="/password", body={"old": "{old}", "new": "{new}"})
        yield (
            Target(
                name="small identity",
                http=Http(url=url, openapi="/openapi.json", public=("/", "/openapi.json")),
                login=Login(
                    path="/login",
                    body={"user": "{user}", "password": "{password}"},
                    logout=Exchange(method="POST", path="/logout"),
                    change_password=change,
                ),
                accounts=ACCOUNTS[:-1],
                canary=ACCOUNTS[-1],
                owned=Owned(create=Exchange(method="POST", path="/orders", body={}), read="/orders/{id}"),
                privileged=(
                    Privileged(method="PUT", path="/prices", body={}, roles=("manager",)),
                    Privileged(path="/audit", roles=("auditor",)),
                ),
            ),
            state,
        )
