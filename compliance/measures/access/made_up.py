"""Tokens that are made up from nothing: they can be tried also while nobody can log in, which is when a
service that cannot ask the identity service may let everybody in."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from secrets import token_urlsafe
from typing import Any, ClassVar

import requests

from compliance.measures.access.guarded import let_in, some_or_unknown
from compliance.measures.access.jwt_forms import forgeries
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import careless
from compliance.measures.web.routes import guarded_routes
from compliance.site import Site
from compliance.target import Account, Target

FIVE_MINUTES_S = 300
MOST_ROUTES = 3
SOMEBODY = Account(user="admin", password="unknown", role="admin")


class MadeUpTokens(Measure):
    name = "made_up_tokens"
    says = "which made-up tokens are taken, whether or not anybody can log in at the moment"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "taken": "kinds of tokens that were taken; none: none was, but of some it cannot be told",
        "routes": "the routes that were asked for: some that need a log-in, and are read",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        routes = _routes(site)
        taken, unclear = set[str](), set[str]()
        for account in {each.role: each for each in site.target.accounts or (SOMEBODY,)}.values():
            for kind, token in forgeries(_signed_by_nobody(site, account)).items():
                for route in routes:
                    answer = _let_in(site.request("GET", route, token=token))
                    if answer is not False:
                        (taken if answer else unclear).add(kind)
        return {"taken": some_or_unknown(sorted(taken), sorted(unclear)), "routes": routes}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


def _routes(site: Site) -> list[str]:
    """Some that are read, by whatever role."""
    reads = (route.path for route in guarded_routes(site) if route.method == "GET")
    found = [path for path in reads if site.request("GET", path).status_code in (401, 403)]
    if not found:
        raise Unsupported("no route is known that is read, and refused without a log-in")
    return found[:MOST_ROUTES]


def _signed_by_nobody(site: Site, account: Account) -> str:
    """A token that says what a good one of that account may say. Its key is one that nobody has seen, so that
    it has to be asked for."""
    now_s = int(site.now().timestamp())
    claims = {
        "sub": account.user,
        "role": account.role,
        "roles": [account.role],
        "jti": token_urlsafe(16),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + FIVE_MINUTES_S,
    }
    return f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': token_urlsafe(8)})}.{_part(claims)}.eA"


def _let_in(answer: requests.Response) -> bool | None:
    """That it cannot tell at the moment (503) is a refusal here: who may not be let in is not."""
    return False if answer.status_code == 503 else let_in(answer)


def _part(content: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


MEASURES = (MadeUpTokens,)
