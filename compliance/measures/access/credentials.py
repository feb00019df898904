"""What gets a log-in that should not: known default passwords, tricks of form, and asking who is there."""

from __future__ import annotations

import itertools
import re
import secrets
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import requests

from chaos_locust.errors import ChaosError
from compliance.guesses import DEFAULTS
from compliance.measures.access.guarded import let_in, some_or_unknown, token_of
from compliance.measures.base import Beside, Measure, SideEffect
from compliance.measures.careless import TellsByTime, careless
from compliance.site import Site
from compliance.target import Account, Target

SAMPLES = 8
FEWEST_SAMPLES = 6  # that all of six are slower than all of six others comes by chance in 1 of 462
TELLING_GAP_S = 0.005
_CHANGING = re.compile(r"\b[0-9a-fA-F-]{8,}\b|\d+")


class DefaultCredentials(Measure):
    name = "default_credentials"
    says = "which users and passwords that products are shipped with get a log-in"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login")
    fields: ClassVar[Mapping[str, str]] = {
        "accepted": "users who got one; none: nobody did, but of some it cannot be told",
        "unclear": "users of whom it cannot be told, because the target was busy or broke",
        "tried": "number of users and passwords",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        accepted, unclear = [], []
        pairs = [(user, password) for user, passwords in DEFAULTS.items() for password in passwords]
        for user, password in pairs:
            got = _gets_in(site, _log_in(site, user, password))
            if got:
                accepted.append(user)
            elif got is None:
                unclear.append(user)
        return {
            "accepted": some_or_unknown(accepted, unclear),
            "unclear": unclear,
            "tried": len(pairs),
        }

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class LoginBypass(Measure):
    name = "login_bypass"
    says = "which passwords that are none get a log-in"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "canary")
    fields: ClassVar[Mapping[str, str]] = {
        "let_in": "what was given; none: nothing got in, but of some it cannot be told",
        "unclear": "what broke the target, or found it busy",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        canary = site.target.canary
        assert canary is not None
        site.token(canary)
        # On the canary, for each counts as a failed log-in; and a good one in between, so that none locks it.
        tricks: dict[str, tuple[Any, Any]] = {
            "SQL in the password": (canary.user, "' OR '1'='1"),
            "SQL in the user": (f"{canary.user}' --", "x"),
            "an operator for a password": (canary.user, {"$ne": ""}),
            "true for a password": (canary.user, True),
            "no password": (canary.user, ""),
            "null for a password": (canary.user, None),
            "a list for a password": (canary.user, ["", canary.user]),
        }
        let_in_by, unclear = [], []
        for name, (user, password) in tricks.items():
            got = _gets_in(site, _log_in(site, user, password))
            if got:
                let_in_by.append(name)
            elif got is None:
                unclear.append(name)
            site.token(canary)
        return {"let_in": some_or_unknown(let_in_by, unclear), "unclear": unclear}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class UserEnumeration(Measure):
    name = "user_enumeration"
    says = "whether a failed log-in tells that there is such a user"
    side_effect: ClassVar[SideEffect] = "active"
    beside: ClassVar[Beside] = "nothing"  # noise would hide what time tells
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "same_answer": "whether status and body are the same for a user there is and one there is not; none: "
        "they are not even the same for one of them",
        "told_by_time": "whether all answers for one came sooner than any for the other, and the medians are "
        "5 ms apart; none: there are too few accounts to tell it from chance",
        "gap_ms": "the difference of the medians, milliseconds",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        accounts = site.target.accounts
        known: list[tuple[str, float]] = []
        unknown: list[tuple[str, float]] = []
        for account in itertools.islice(itertools.cycle(accounts), min(SAMPLES, 2 * len(accounts))):
            nobody = Account(user=f"{account.user}{secrets.token_hex(2)}", password="x")
            known.append(_failed(site, account))
            unknown.append(_failed(site, nobody))
            site.token(account)  # so that its failed log-ins are not in a row
        gap_s = abs(statistics.median(took for _, took in known) - statistics.median(t for _, t in unknown))
        apart = separate([took for _, took in known], [took for _, took in unknown])
        enough = len(known) >= FEWEST_SAMPLES
        return {
            "same_answer": same([text for text, _ in known], [text for text, _ in unknown]),
            "told_by_time": apart and gap_s >= TELLING_GAP_S if enough else None,
            "gap_ms": round(gap_s * 1000, 1),
        }

    def bad(self) -> AbstractContextManager[Target]:
        return careless(TellsByTime)


def same(some: Sequence[str], others: Sequence[str]) -> bool | None:
    """Of answers that begin with their status. None: they vary by themselves, and only in their texts."""
    if set(some) == set(others):
        return True
    one_each = len(set(some)) == len(set(others)) == 1
    statuses = [{text.split(" ")[0] for text in texts} for texts in (some, others)]
    return False if one_each or statuses[0] != statuses[1] else None


def plain(text: str, *given: str) -> str:
    """Without what was given, and without numbers and ids, which differ from answer to answer."""
    for word in given:
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "...", text)
    return _CHANGING.sub("#", text)


def separate(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether each of the one is less than all of the other."""
    return max(some) < min(others) or max(others) < min(some)


def _failed(site: Site, account: Account) -> tuple[str, float]:
    """A log-in with a wrong password: what the answer is, apart from the user's name; seconds."""
    password = secrets.token_urlsafe(18)
    began_s = site.clock()
    answer = _log_in(site, account.user, password)
    took_s = site.clock() - began_s
    if token_of(site, answer) is not None or let_in(answer) is not False:
        raise ChaosError(f"a log-in with a wrong password was answered with {answer.status_code}")
    return f"{answer.status_code} {plain(answer.text, account.user, password)}", took_s


def _log_in(site: Site, user: Any, password: Any) -> requests.Response:
    """As `Site.log_in`, with values of any kind."""
    login = site.target.login
    assert login is not None
    return site.request(login.method, login.path, json=_filled(login.body, user, password))


def _filled(document: Any, user: Any, password: Any) -> Any:
    if isinstance(document, Mapping):
        return {key: _filled(each, user, password) for key, each in document.items()}
    return {"{user}": user, "{password}": password}.get(document, document)


def _gets_in(site: Site, answer: requests.Response) -> bool | None:
    """Whether it is a log-in: an answer that it was well, with a token in it."""
    entered = let_in(answer)
    return entered and token_of(site, answer) is not None


MEASURES = (DefaultCredentials, LoginBypass, UserEnumeration)
