"""The target as measures reach it: requests over HTTP, log-ins, notes of what was sent and seen.

Nothing that is noted holds a secret: passwords and tokens are blotted out as they become known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import requests

from chaos_locust.errors import ChaosError
from compliance.measurement import Secrets
from compliance.target import Account, Exchange, Target

MOST_BODY_CHARACTERS = 2000


class Unreachable(ChaosError):
    """The target did not answer; the text says what was tried."""


class Site:
    """One target during one measure. Nothing is kept between two requests but what is passed on.

    clock: seconds, for waiting and for how long something took; now: the time of day. over: set when the
    audit is given up, which ends what other threads are at.
    """

    def __init__(
        self,
        target: Target,
        secrets: Secrets,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        over: threading.Event | None = None,
    ) -> None:
        self.target = target
        self.secrets = secrets
        self.clock, self.sleep, self.now = clock, sleep, now
        self._notes: list[str] = []
        self.over = over or threading.Event()
        for account in (*target.accounts, *([target.canary] if target.canary else [])):
            secrets.add(account.password)

    @property
    def evidence(self) -> tuple[str, ...]:
        """What was noted so far, without secrets."""
        return tuple(map(self.secrets.redacted, self._notes))

    def note(self, text: str) -> None:
        self._notes.append(text)

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
        noted: bool = True,
        session: requests.Session | None = None,
    ) -> requests.Response:
        """One request over a connection of its own, redirects not followed. url: instead of the target's own.
        noted: as evidence. session: whose connection is used instead. Raises Unreachable."""
        assert self.target.http is not None
        if self.over.is_set():
            raise Unreachable("the audit was given up")
        http = self.target.http
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {self.secrets.add(token)}"
        address = (url or http.url).rstrip("/") + path
        verify: bool | str = str(http.ca) if http.ca is not None else True
        try:
            with nullcontext(session) if session is not None else new_session() as used:
                answer = used.request(
                    method,
                    address,
                    json=json,
                    data=data,
                    headers=sent,
                    timeout=http.timeout_s,
                    allow_redirects=False,
                    verify=verify,
                )
        except requests.RequestException as error:
            raise Unreachable(f"{method} {address}: {type(error).__name__}: {error}") from None
        self._keep_secret(answer)
        if noted:
            self.note(_shown(method, address, answer))
        return answer

    def _keep_secret(self, answer: requests.Response) -> None:
        """What it gives out that lets somebody in: the token of a log-in, and every cookie."""
        if (token := self.token_in(answer)) is not None:
            self.secrets.add(token)
        for cookie in answer.cookies:
            if cookie.value:
                self.secrets.add(cookie.value)

    def send(self, exchange: Exchange, token: str | None = None, **values: str) -> requests.Response:
        """A request of the description; `values` for what stands in braces. Raises Unreachable."""
        return self.request(
            exchange.method, filled(exchange.path, values), token=token, json=filled(exchange.body, values)
        )

    def log_in(self, account: Account) -> requests.Response:
        """Raises Unreachable."""
        assert self.target.login is not None
        self.secrets.add(account.password)
        return self.send(self.target.login, user=account.user, password=account.password)

    def token(self, account: Account) -> str:
        """Raises Unreachable; ChaosError when it may not log in."""
        answer = self.log_in(account)
        found = self.token_in(answer)
        if not answer.ok or found is None:
            raise ChaosError(f"{account.user} cannot log in: {answer.status_code}")
        return found

    def token_in(self, answer: requests.Response) -> str | None:
        """What stands where the description says that a log-in's token does."""
        login = self.target.login
        found = at(json_of(answer), login.token) if login is not None else None
        return found if isinstance(found, str) else None


def new_session() -> requests.Session:
    """One that takes no proxy and no netrc from the surroundings."""
    session = requests.Session()
    session.trust_env = False
    return session


def json_of(answer: requests.Response) -> Any:
    """None where it is no JSON."""
    try:
        return answer.json()
    except ValueError:
        return None


def at(document: Any, path: str) -> Any:
    """`data.token` -> document["data"]["token"]; None where there is nothing."""
    for part in path.split("."):
        document = document.get(part) if isinstance(document, Mapping) else None
    return document


def filled(document: Any, values: Mapping[str, str]) -> Any:
    """Every `{name}` in every text replaced by what `values` has for it."""
    match document:
        case str():
            for name, value in values.items():
                document = document.replace(f"{{{name}}}", value)
            return document
        case Mapping():
            return {key: filled(each, values) for key, each in document.items()}
        case list() | tuple():
            return [filled(each, values) for each in document]
    return document


def _shown(method: str, address: str, answer: requests.Response) -> str:
    body = answer.text[:MOST_BODY_CHARACTERS]
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    return f"{method} {address}\n{answer.status_code} {answer.reason}\n{headers}\n\n{body}".strip()
