"""Something that needs a log-in, and shows it: answered with a token, refused without. Only where both were
seen does an answer to a third request say anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import requests

from chaos_locust.errors import ChaosError
from compliance.measures.base import Unsupported
from compliance.measures.web.routes import guarded_routes
from compliance.site import Site, at, filled, json_of
from compliance.target import Account


@dataclass(frozen=True, slots=True)
class Guarded:
    """path: of a GET. token: one that it is answered with, the account's."""

    path: str
    account: Account
    token: str

    def answers(self, site: Site, token: str | None) -> bool | None:
        """Whether that token is let in; None: cannot be told. Raises Unreachable."""
        return let_in(site.request("GET", self.path, token=token))


def let_in(answer: requests.Response) -> bool | None:
    """None: the target was too busy or broke, and might have let in on another day."""
    if answer.status_code == 429 or answer.status_code >= 500:
        return None
    return answer.status_code // 100 == 2


def token_of(site: Site, answer: requests.Response) -> str | None:
    """The token of a log-in; None: it got none."""
    return site.token_in(answer) if answer.ok else None


def logs_in(site: Site, account: Account) -> bool | None:
    """Whether it does; None: it cannot be told. Raises Unreachable."""
    answer = site.log_in(account)
    got = let_in(answer)
    return got and token_of(site, answer) is not None


def guarded(site: Site, account: Account | None = None) -> Guarded:
    """account: the first of the description without. Raises Unsupported, ChaosError, Unreachable."""
    account = account or site.target.accounts[0]
    token = site.token(account)
    for path in _candidates(site, token):
        found = Guarded(path, account, token)
        if found.answers(site, token) and found.answers(site, None) is False:
            return found
    raise Unsupported(f"nothing was found that {account.user} can read, and nobody without a log-in")


def own(site: Site, token: str) -> str:
    """Makes what `owned` describes; the path to read it. Raises ChaosError, Unreachable."""
    owned = site.target.owned
    assert owned is not None
    answer = site.send(owned.create, token)
    id_ = at(json_of(answer), owned.id)
    if answer.status_code // 100 != 2 or not isinstance(id_, str | int):
        raise ChaosError(f"{owned.create.method} {owned.create.path}: {answer.status_code} without an id")
    return str(filled(owned.read, {"id": str(id_)}))


def some_or_unknown(found: Sequence[str], unclear: Sequence[str]) -> list[str] | None:
    """What was found; None when nothing was, but not everything could be told."""
    return None if unclear and not found else list(found)


def _candidates(site: Site, token: str) -> Iterator[str]:
    if site.target.owned is not None:
        yield own(site, token)
    for route in guarded_routes(site):
        if route.method == "GET":
            yield route.path
