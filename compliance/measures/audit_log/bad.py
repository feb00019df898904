"""Services whose audit log is bad, for positive controls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from compliance.measures.bad import BadHandler, bad_service
from compliance.target import Account, AuditLog, Exchange, Http, Login, Owned, Target


class Forgets(BadHandler):
    """Refuses, and lets in, and makes what it is asked for; and its log has nothing of it."""

    AUDITOR, PASSWORD = "auditor", "admin"
    kept: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        is_auditor = self.headers.get("Authorization") == f"Bearer token-of-{self.AUDITOR}"
        self._answer(*((200, self.log()) if is_auditor else (403, {"error": "no"})))

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if self.path != "/login":
            self._answer(201, {"id": "1"})
        elif given["password"] != self.PASSWORD:
            self._answer(401, {"error": "no"})
        else:
            self.happened()
            self._answer(200, {"access_token": f"token-of-{given['user']}"})

    def happened(self) -> None:
        """Nothing is kept."""

    def log(self) -> list[dict[str, Any]]:
        return [{"at": "2001-01-01T00:00:00Z", "user": "eve", "action": "login", "outcome": "ok"}]


class Garbles(Forgets):
    """Keeps that something happened, an hour ago, and nothing else of it."""

    def happened(self) -> None:
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        self.kept.append({"id": len(self.kept), "at": an_hour_ago.isoformat()})

    def log(self) -> list[dict[str, Any]]:
        return list(self.kept)


class Open(Forgets):
    """Shows its log to everybody."""

    def do_GET(self) -> None:
        self._answer(200, self.log())


class Erasable(Forgets):
    """Keeps log-ins, until somebody deletes one."""

    def happened(self) -> None:
        record = {"id": len(self.kept), "user": self.USER, "action": "login", "outcome": "ok"}
        self.kept.append({**record, "at": datetime.now(UTC).isoformat()})

    def do_DELETE(self) -> None:
        self.kept[:] = [each for each in self.kept if self.path != f"/audit/{each['id']}"]
        self._answer(200, {})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(405, {})

    do_PATCH = do_PUT

    def log(self) -> list[dict[str, Any]]:
        return list(self.kept)


@contextmanager
def forgetful(handler: type[Forgets]) -> Iterator[Target]:
    """kept: new for every service."""
    with bad_service(type("Kept", (handler,), {"kept": []})) as url:
        yield bad_target(url, handler)


def bad_target(url: str, handler: type[Forgets]) -> Target:
    """patience: the little that a server in the same process needs."""
    order = Exchange(method="POST", path="/orders", body={"product": 1})
    return Target(
        name="bad",
        http=Http(url=url),
        login=Login(path="/login", body={"user": "{user}", "password": "{password}"}),
        accounts=(
            Account(user=handler.USER, password=handler.PASSWORD, role="customer"),
            Account(user=handler.AUDITOR, password=handler.PASSWORD, role="auditor"),
        ),
        owned=Owned(create=order, read="/orders/{id}"),
        audit_log=AuditLog(read="/audit", role="auditor", patience_s=0.2),
    )
