"""What many wrong passwords lead to. Only for the canary account, which may be locked out by it for long.

These must be taken after all else that needs the canary: see `data/checks/credentials.yaml`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import requests

from chaos_locust.errors import ChaosError
from compliance.measures.access.guarded import logs_in, token_of
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import CarelessHandler, careless
from compliance.site import Site, at, json_of
from compliance.target import Account, Target

MOST_IN_A_ROW = 10  # what is asked for at the most: 8.3.4 of PCI DSS
MOST_ATTEMPTS = 25


class Lockout(Measure):
    name = "lockout"
    says = "after how many wrong passwords in a row the right one is refused"
    side_effect: ClassVar[SideEffect] = "disruptive"
    needs = ("http", "login", "canary")
    fields: ClassVar[Mapping[str, str]] = {
        "locks": "whether the right password was refused after wrong ones, of which there were 25 at most",
        "attempts_until_locked": "wrong passwords in a row until then. Where no answer shows the lock, 10 is "
        "10 or fewer; 11 and 26 are more than 10 and more than 25",
        "stated_s": "seconds that the answers say it lasts (Retry-After, retry_after); none: they do not",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        canary = _unlocked(site)
        # The right password is not tried in between: it would begin the count anew.
        answers = [_wrong(site, canary) for _ in range(MOST_IN_A_ROW)]
        attempts = attempts_until_changed([answer.status_code for answer in answers])
        locked = _refused(site, canary)
        if not locked:
            answers += [_wrong(site, canary) for _ in range(MOST_ATTEMPTS - len(answers))]
            locked = _refused(site, canary)
            attempts = MOST_IN_A_ROW + 1 if locked else MOST_ATTEMPTS + 1
        return {"locks": locked, "attempts_until_locked": attempts, "stated_s": stated_s(answers[-1])}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class LockoutIsolation(Measure):
    name = "lockout_isolation"
    says = "whether others still get in while one account is locked"
    side_effect: ClassVar[SideEffect] = "disruptive"
    needs = ("http", "login", "accounts", "canary")
    fields: ClassVar[Mapping[str, str]] = {
        "others_get_in": "whether another account does; none: it cannot be told",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        canary, other = site.target.canary, site.target.accounts[0]
        assert canary is not None
        site.token(other)
        for _ in range(MOST_IN_A_ROW):
            _wrong(site, canary)
        if not _refused(site, canary):
            raise Unsupported(f"{MOST_IN_A_ROW} wrong passwords do not lock an account")
        return {"others_get_in": logs_in(site, other)}

    def bad(self) -> AbstractContextManager[Target]:
        return careless(LocksEverybody)


class LocksEverybody(CarelessHandler):
    """After five wrong passwords of anybody's, for ever."""

    def _log_in(self, given: dict[str, Any]) -> None:
        if len(self.wrong) >= 5:
            self._answer(401, {"error": "locked"})
        else:
            super()._log_in(given)


def attempts_until_changed(statuses: Sequence[int]) -> int:
    """The number of the first that is answered as the last is, and all between: that is when a lock shows.
    All of them, where every answer is the same."""
    changed = len(statuses)
    while changed > 1 and statuses[changed - 2] == statuses[-1]:
        changed -= 1
    return changed if changed > 1 else len(statuses)


def stated_s(answer: requests.Response) -> float | None:
    """How long to wait, as the answer says."""
    body = json_of(answer)
    for told in (answer.headers.get("Retry-After"), at(body, "retry_after"), at(body, "retry_after_s")):
        if told is not None and str(told).replace(".", "", 1).isdigit():
            return float(told)
    return None


def _unlocked(site: Site) -> Account:
    canary = site.target.canary
    assert canary is not None
    if not logs_in(site, canary):
        raise ChaosError(f"{canary.user} cannot log in before any wrong password; is it locked from before?")
    return canary


def _wrong(site: Site, account: Account) -> requests.Response:
    """A log-in with a password that is as long as the right one, and is not it."""
    password = secrets.token_urlsafe(len(account.password))[: len(account.password)]
    answer = site.log_in(account.model_copy(update={"password": password}))
    if token_of(site, answer) is not None:
        raise ChaosError(f"{account.user} gets in with a wrong password")
    if answer.status_code >= 500:
        raise ChaosError(f"a log-in with a wrong password was answered with {answer.status_code}")
    return answer


def _refused(site: Site, account: Account) -> bool:
    """Whether the right password is. Raises ChaosError when the target breaks, or asks everybody who comes
    from here to be slower: neither locks the account."""
    answer = site.log_in(account)
    if answer.status_code >= 500:
        raise ChaosError(f"the right password was answered with {answer.status_code}")
    if answer.status_code == 429 and not any(logs_in(site, each) for each in site.target.accounts[:1]):
        raise Unsupported("too many requests from one address are refused, whoever's: no lock can be told")
    return token_of(site, answer) is None


MEASURES = (Lockout, LockoutIsolation)
