"""Who gets at what: without a log-in, at what is another's, at what is another role's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import combinations
from typing import Any, ClassVar

import requests

from compliance.measures.access.guarded import let_in, own, some_or_unknown
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import careless
from compliance.measures.web.routes import REFUSED, guarded_routes
from compliance.site import Site, json_of
from compliance.target import Account, Privileged, Target

LOGIN_WORDS = ("login", "log-in", "signin", "sign-in", "authorize", "oauth", "saml", "sso")
NOBODY = "nobody"

Matrix = Mapping[str, Mapping[str, bool | None]]
"""By role, and by privileged request as text: whether it is let in; None: it cannot be told."""


class Unauthenticated(Measure):
    name = "unauthenticated"
    says = "which routes that are not public are answered without a log-in"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "answered": "routes that were answered; none: nothing was, but of some it cannot be told",
        "unclear": "routes that neither answered nor said that a log-in is needed (their status)",
        "asked": "number of routes",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        routes = guarded_routes(site)
        if not routes:
            raise Unsupported("no route is known that needs a log-in (http.openapi, http.routes, privileged)")
        answered, unclear = [], []
        for route in routes:
            answer = site.request(route.method, route.path, json=route.body)
            if answer.status_code // 100 == 2:
                answered.append(str(route))
            elif answer.status_code not in REFUSED and not _sends_to_login(answer):
                unclear.append(f"{route} ({answer.status_code})")
        return {
            "answered": some_or_unknown(answered, unclear),
            "unclear": unclear,
            "asked": len(routes),
        }

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class CrossUser(Measure):
    name = "cross_user"
    says = "whether what belongs to one user is shown to another of the same role, or to nobody in particular"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "owned")
    fields: ClassVar[Mapping[str, str]] = {
        "read_by_other": "whether another user could read it; none: was shown something else",
        "read_by_nobody": "whether it could be read without a log-in",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        owner, other = _peers(site.target)
        token = site.token(owner)
        path = own(site, token)
        mine = site.request("GET", path, token=token)
        if not let_in(mine):
            raise Unsupported(f"{owner.user} cannot read {path}, which is {owner.user}'s own")
        return {
            "read_by_other": _shows(site.request("GET", path, token=site.token(other)), mine),
            "read_by_nobody": _shows(site.request("GET", path), mine),
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with careless() as target:
            assert target.owned is not None
            owned = target.owned.model_copy(update={"read": "/orders/{id}"})
            yield target.model_copy(update={"owned": owned})


class CrossRole(Measure):
    name = "cross_role"
    says = "which requests of one role are granted to another, or to nobody in particular"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "privileged")
    fields: ClassVar[Mapping[str, str]] = {
        "granted": "role and request that it should not have been granted; none: nothing was, but of some it "
        "cannot be told",
        "unclear": "role and request of which it cannot be told, for example because the right role is "
        "refused too",
        "matrix": "by role: the privileged requests that it was granted",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        matrix = _matrix(site)
        granted, unclear, wrong_roles = [], [], 0
        for request in site.target.privileged:
            name = _named(request)
            shown = any(matrix[role][name] for role in matrix if role in request.roles)
            for role in (each for each in matrix if each not in request.roles):
                wrong_roles += role != NOBODY
                if matrix[role][name]:
                    granted.append(f"{role}: {name}")
                elif matrix[role][name] is None or not shown:
                    unclear.append(f"{role}: {name}")
        if not wrong_roles:
            raise Unsupported("there is no account of a role that a privileged request is not for")
        return {
            "granted": some_or_unknown(granted, unclear),
            "unclear": unclear,
            "matrix": {role: [name for name in seen if seen[name]] for role, seen in matrix.items()},
        }

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class SeparationOfDuties(Measure):
    name = "separation_of_duties"
    says = "which roles may make every privileged request there is"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "privileged")
    fields: ClassVar[Mapping[str, str]] = {
        "all_powerful": "roles that may do everything; none: no role may, but of some it cannot be told",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        if len({each.roles for each in site.target.privileged}) < 2:
            raise Unsupported(
                "all privileged requests are for the same roles: there are no duties to tell apart"
            )
        powerful, unclear = [], []
        for role, seen in _matrix(site).items():
            if all(seen.values()):
                powerful.append(role)
            elif False not in seen.values():
                unclear.append(role)
        return {"all_powerful": some_or_unknown(powerful, unclear)}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


def _matrix(site: Site) -> Matrix:
    """Every privileged request, by one account of each role and without a log-in."""
    accounts: dict[str, Account] = {}
    for account in site.target.accounts:
        accounts.setdefault(account.role, account)
    tokens: dict[str, str | None] = {NOBODY: None}
    tokens |= {role: site.token(account) for role, account in accounts.items() if role}
    return {
        role: {_named(each): let_in(site.send(each, token)) for each in site.target.privileged}
        for role, token in tokens.items()
    }


def _shows(answer: requests.Response, mine: requests.Response) -> bool | None:
    """Whether it is what its owner was shown, and not something else that is called well too."""
    if not let_in(answer):
        return let_in(answer)
    here, there = json_of(answer), json_of(mine)
    alike = isinstance(here, dict) and isinstance(there, dict) and set(here) == set(there)
    return True if alike or answer.content == mine.content else None


def _sends_to_login(answer: requests.Response) -> bool:
    """Other redirects may lead to what was asked for, such as the same path with a slash at its end."""
    to = answer.headers.get("Location", "").lower()
    return answer.is_redirect and any(word in to for word in LOGIN_WORDS)


def _peers(target: Target) -> tuple[Account, Account]:
    """The first two users of one role. Raises Unsupported."""
    for one, other in combinations(target.accounts, 2):
        if one.role == other.role and one.user != other.user:
            return one, other
    raise Unsupported("there are no two accounts of one role")


def _named(request: Privileged) -> str:
    return f"{request.method} {request.path}"


MEASURES = (Unauthenticated, CrossUser, CrossRole, SeparationOfDuties)
