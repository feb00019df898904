"""How long a log-in lasts, and what ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from http.cookies import CookieError, SimpleCookie
from typing import Any, ClassVar

import requests

from chaos_locust.errors import ChaosError
from compliance.measures.access.guarded import guarded, token_of
from compliance.measures.access.jwt_forms import jwt_parts, lifetime_s
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import careless
from compliance.site import Site, at, filled, json_of
from compliance.target import Target

ASKED_S = 3
SHORT_S = 10  # a token that is over by then can be waited for
LEEWAY_S = 65  # services forgive clocks that are off by up to a minute
FLAGS = ("secure", "httponly", "samesite")


class TokenLifetime(Measure):
    name = "token_lifetime"
    says = "how long a token is good for"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "lasts_s": "seconds; a JWT that names no end counts as one of a hundred years; none: not told",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.login is not None
        account = site.target.accounts[0]
        token = site.token(account)
        claims = jwt_parts(token)
        if claims is not None:
            return {"lasts_s": lifetime_s(claims[1], site.now().timestamp())}
        folder, _, _ = site.target.login.token.rpartition(".")
        answer = site.log_in(account)
        token_of(site, answer)
        told = at(json_of(answer), f"{folder}.expires_in" if folder else "expires_in")
        return {"lasts_s": told if isinstance(told, int | float) and not isinstance(told, bool) else None}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class ExpiredToken(Measure):
    name = "expired_token"
    says = "whether a token is refused once its time is over"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "taken": "whether it is still taken; none: it cannot be told",
        "waited_s": "seconds past its end for which it was taken",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.login is not None
        thing = guarded(site)
        short = site.target.login.model_copy(
            update={"body": {**(site.target.login.body or {}), "expires_in": ASKED_S}}
        )
        answer = site.send(short, user=thing.account.user, password=thing.account.password)
        token = token_of(site, answer)
        claims = jwt_parts(token) if token is not None else None
        if token is None or claims is None or lifetime_s(claims[1], site.now().timestamp()) > SHORT_S:
            raise Unsupported(
                "no token was given that is over within seconds, though expires_in asked for it"
            )
        if not thing.answers(site, token):
            raise ChaosError(f"a token that was asked to last {ASKED_S} s was not taken at all")
        ends = float(claims[1]["exp"])
        while (left := ends - site.now().timestamp()) > 0:
            site.sleep(left)
        while (taken := thing.answers(site, token)) is not False and _past(site, ends) < LEEWAY_S:
            site.sleep(1)
        return {"taken": taken, "waited_s": round(_past(site, ends), 1)}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class TokensDiffer(Measure):
    name = "tokens_differ"
    says = "whether every log-in gets a token of its own"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "repeated": "of 6 log-ins in a row, how many got one that was given"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        tokens = [site.token(site.target.accounts[0]) for _ in range(6)]
        return {"repeated": len(tokens) - len(set(tokens))}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class Logout(Measure):
    name = "logout"
    says = "whether a token is refused after it was logged out"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "taken_afterwards": "whether the token is still taken; none: it cannot be told",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.login is not None
        if site.target.login.logout is None:
            raise Unsupported("the target names no logout (login.logout)")
        thing = guarded(site)
        answer = site.send(site.target.login.logout, thing.token)
        if not answer.ok:
            raise ChaosError(f"{thing.account.user} cannot log out: {answer.status_code}")
        return {"taken_afterwards": thing.answers(site, thing.token)}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class SessionCookies(Measure):
    name = "session_cookies"
    says = "how the cookies that a log-in sets are kept from others, and whether they are new"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "cookies": "names of the cookies that the log-in sets; those against forged requests do not count",
        "without_flags": "cookie and what it lacks of Secure, HttpOnly and SameSite",
        "kept_from_before": "cookies that have the value after the log-in that they had before it",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.login is not None
        account = site.target.accounts[0]
        before = cookies(_set(site.request("GET", "/")))
        filled_in = {"user": account.user, "password": account.password}
        body = filled(site.target.login.body, filled_in)
        sent = {"Cookie": "; ".join(f"{name}={flags['value']}" for name, flags in before.items())}
        answer = site.request(
            site.target.login.method, site.target.login.path, json=body, headers=sent if before else None
        )
        if token_of(site, answer) is None:
            raise ChaosError(f"{account.user} cannot log in: {answer.status_code}")
        for flags in (*before.values(), *cookies(_set(answer)).values()):
            site.secrets.add(flags["value"])
        after = {
            name: flags
            for name, flags in cookies(_set(answer)).items()
            if "csrf" not in name.lower() and "xsrf" not in name.lower()
        }
        lacking = {name: [each for each in FLAGS if not flags[each]] for name, flags in after.items()}
        return {
            "cookies": list(after),
            "without_flags": [f"{name}: {', '.join(flags)}" for name, flags in lacking.items() if flags],
            "kept_from_before": [
                name for name in after if name in before and before[name]["value"] == after[name]["value"]
            ],
        }

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


def cookies(headers: Sequence[str]) -> dict[str, dict[str, str]]:
    """By name: `value`, and the flags `secure`, `httponly` and `samesite`, empty where there is none.

    headers: Set-Cookie, one each."""
    found = {}
    for header in headers:
        try:
            for name, morsel in SimpleCookie(header).items():
                found[name] = {"value": morsel.value, **{flag: str(morsel[flag] or "") for flag in FLAGS}}
        except CookieError:
            continue
    return found


def _set(answer: requests.Response) -> list[str]:
    """Joined by commas they could not be told apart: dates have commas."""
    return list(answer.raw.headers.getlist("Set-Cookie"))


def _past(site: Site, ends_s: float) -> float:
    return site.now().timestamp() - ends_s


MEASURES = (TokenLifetime, ExpiredToken, TokensDiffer, Logout, SessionCookies)
