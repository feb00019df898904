"""Where the target takes JSON from users: the log-in, and what makes something that one owns."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from chaos_locust.errors import ChaosError
from compliance.measures.base import Unsupported
from compliance.site import Site, Unreachable, filled

MOST_FIELDS = 2
BUSY = (429, 502, 503, 504)
"""Answers that tell of a dependency, or of too many requests, and nothing of what was sent."""


@dataclass(frozen=True, slots=True)
class Door:
    """body: one that has the right form. That of the log-in names a user who does not exist: nobody is locked
    out by what is tried."""

    method: str
    path: str
    body: Mapping[str, Any]
    token: str | None

    @property
    def fields(self) -> tuple[str, ...]:
        """Those that are tried."""
        return tuple(name for name, value in self.body.items() if isinstance(value, str | int))[:MOST_FIELDS]

    def with_field(self, name: str, value: Any) -> dict[str, Any]:
        return {**self.body, name: value}

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def doors(site: Site) -> tuple[Door, ...]:
    """Raises Unsupported, Unreachable, ChaosError."""
    target, found = site.target, []
    if (login := target.login) is not None and login.body:
        nobody = {"user": f"nobody-{secrets.token_hex(4)}", "password": secrets.token_hex(8)}
        found.append(Door(login.method, login.path, filled(login.body, nobody), None))
    if target.owned is not None and target.login is not None and target.accounts:
        create = target.owned.create
        token = site.token(target.accounts[0])
        found.append(Door(create.method, create.path, filled(create.body or {}, {}), token))
    if not found:
        raise Unsupported("the target names nothing that takes JSON: neither login.json nor owned.create")
    return tuple(found)


def pushed(site: Site, method: str, path: str, **sent: Any) -> requests.Response | None:
    """The answer; None: the connection was dropped though the target is there. Raises Unreachable."""
    try:
        return site.request(method, path, **sent)
    except Unreachable:
        site.request("GET", "/")
        site.note(f"{method} {path[:200]}: no answer")
        return None


class Crashes:
    """Answers that show that the target could not cope with what it was sent."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._busy = 0

    def see(self, what: str, answer: requests.Response | None) -> None:
        if answer is None:
            self.found.append(f"{what}: no answer")
        elif answer.status_code in BUSY:
            self._busy += 1
        elif answer.status_code >= 500 and answer.status_code != 501:
            self.found.append(f"{what}: {answer.status_code}")

    def told(self) -> list[str]:
        """Raises ChaosError where nothing was found, but not everything was answered."""
        if not self.found and self._busy:
            raise ChaosError(f"{self._busy} requests were answered that the target is busy: nothing is known")
        return sorted(self.found)
