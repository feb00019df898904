"""A service with every mistake about who gets in, for positive controls: HTTP on loopback.

Under `/guarded/` it wants to be shown a token, or the name of a user, but looks at neither. Everything else
is open to everybody, as in `bad.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

from compliance.measures.bad import BadHandler, bad_service, unsigned_token
from compliance.target import Account, Exchange, Http, Login, Owned, Privileged, Target

CREDENTIALS = ("Authorization", "X-Forwarded-User", "X-Remote-User", "X-User", "X-Original-URL", "Cookie")
OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "careless", "version": "1"},
    "paths": {
        "/reports": {"get": {}},
        "/guarded/orders": {"get": {"parameters": [{"name": "access_token", "in": "query"}]}},
    },
}
ACCOUNTS = (
    Account(user="admin", password="careless-admin", role="admin"),
    Account(user="bob", password="careless-bob", role="customer"),
    Account(user="eve", password="careless-eve", role="customer"),
    Account(user="canary", password="careless-canary", role="customer"),
)


class CarelessHandler(BadHandler):
    """passwords: of each user, the ones before too, for they stay good. wrong: those that were."""

    passwords: ClassVar[dict[str, set[str]]]
    wrong: ClassVar[list[str]]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        shown = any(self.headers.get(name) for name in CREDENTIALS) or "token" in parts.query
        if parts.path == "/openapi.json":
            self._answer(200, OPENAPI)
        elif parts.path.startswith("/guarded/") and not shown:
            self._answer(401, {"error": "log in"})
        else:
            super().do_GET()

    do_PUT = do_PATCH = do_DELETE = do_GET

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        match urlsplit(self.path).path:
            case "/login":
                self._log_in(given)
            case "/password":
                self.passwords[self._user()].add(given["new"])
                self._answer(200, {"changed": True})
            case _:
                self._answer(201, {"id": "1"})

    def _log_in(self, given: dict[str, Any]) -> None:
        user, password = given.get("user"), given.get("password")
        if "'" in f"{user}{password}" or not isinstance(password, str) or not password:
            self._answer(200, {"access_token": unsigned_token("admin")})
        elif user not in self.passwords:
            self._answer(404, {"error": f"no user {user}"})
        elif password not in self.passwords[user]:
            self.wrong.append(password)
            self._answer(401, {"error": "wrong password"})
        else:
            # One that is asked to be short is over already, and will be taken all the same.
            token = _over() if "expires_in" in given else unsigned_token(user)
            self._answer(200, {"access_token": token})

    def _user(self) -> str:
        """Whoever the token says; anybody without one, and then that is the canary."""
        token = (self.headers.get("Authorization") or "").partition(" ")[2]
        if token.count(".") != 2:
            return "canary"
        claims = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])


class TellsByTime(CarelessHandler):
    """Looks for long at a wrong password of a user whom it has, and says at once that there is no other."""

    def _log_in(self, given: dict[str, Any]) -> None:
        password = given["password"]
        if password not in self.passwords.get(given["user"], (password,)):
            hashlib.scrypt(password.encode(), salt=b"salt", n=2**14, r=8, p=1)  # work that tells
        super()._log_in(given)


@contextmanager
def careless(handler: type[CarelessHandler] = CarelessHandler) -> Iterator[Target]:
    """Described as a whole, for whichever measure. Its passwords are its own, and end with it."""
    # A user whom the description does not name: `guest` is no secret that would have to be blotted out.
    passwords = {"guest": {"guest"}, **{each.user: {each.password} for each in ACCOUNTS}}
    with bad_service(type("Handler", (handler,), {"passwords": passwords, "wrong": []})) as url:
        yield Target(
            name="bad",
            http=Http(url=url, openapi="/openapi.json", public=("/login",)),
            login=Login(
                path="/login",
                body={"user": "{user}", "password": "{password}"},
                logout=Exchange(method="POST", path="/logout"),
                change_password=Exchange(
                    method="POST", path="/password", body={"old": "{old}", "new": "{new}"}
                ),
            ),
            accounts=ACCOUNTS[:-1],
            canary=ACCOUNTS[-1],
            owned=Owned(create=Exchange(method="POST", path="/orders", body={}), read="/guarded/orders/{id}"),
            privileged=(
                Privileged(method="PUT", path="/guarded/prices", body={}, roles=("admin",)),
                Privileged(path="/guarded/audit", roles=("auditor",)),
            ),
        )


def _over() -> str:
    """A token whose time ended an hour ago, after one second."""
    began = int(time.time()) - 3600
    claims = json.dumps({"sub": "admin", "iat": began, "exp": began + 1}).encode()
    head, _, _ = unsigned_token("admin").split(".")
    return f"{head}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}."
