"""Tokens that are made up from nothing: they can be tried also while nobody can log in, which is when a
service that cannot ask the identity service may let everybody in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import requests

from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import careless
from compliance.measures.guarded import let_in, some_or_unknown
from compliance.measures.jwt_forms import forgeries
from compliance.measures.routes import guarded_routes
from compliance.site import Site
from compliance.target import Target

FIVE_MINUTES_S = 300


class MadeUpTokens(Measure):
    name = "made_up_tokens"
    says = "which made-up tokens are taken, whether or not anybody can log in at the moment"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "taken": "kinds of tokens that were taken; none: none was, but of some it cannot be told",
        "route": "the route that was asked for: one that needs a log-in, and can be read",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        route = self._route(site)
        tokens = forgeries(self._signed_by_nobody(site))
        answers = {kind: _let_in(site.request("GET", route, token=token)) for kind, token in tokens.items()}
        unclear = [kind for kind, answer in answers.items() if answer is None]
        taken = [kind for kind, answer in answers.items() if answer]
        return {"taken": some_or_unknown(taken, unclear), "route": route}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with careless() as target:
            yield target

    def _route(self, site: Site) -> str:
        """One that is read; it may be found by nobody, for a service may look for what is asked first."""
        for route in guarded_routes(site):
            if route.method == "GET" and site.request("GET", route.path).status_code in (401, 403):
                return route.path
        raise Unsupported("no route is known that is read, and refused without a log-in")

    def _signed_by_nobody(self, site: Site) -> str:
        """A token that says what a good one may say, of an account that there is."""
        accounts = site.target.accounts
        now_s = int(site.now().timestamp())
        claims = {
            "sub": accounts[-1].user if accounts else "admin",
            "role": accounts[-1].role if accounts else "admin",
            "iat": now_s,
            "exp": now_s + FIVE_MINUTES_S,
        }
        return f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}.eA"


def _let_in(answer: requests.Response) -> bool | None:
    """That it cannot tell at the moment (503) is a refusal here: who may not be let in is not."""
    return False if answer.status_code == 503 else let_in(answer)


def _part(content: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


MEASURES = (MadeUpTokens,)
