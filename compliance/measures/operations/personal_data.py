"""What becomes of a user's data when he asks for it, and when he wants it erased: an account is made for it,
something is ordered with it, and then the database and the cache are searched for its name."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import requests

from chaos_locust.errors import ChaosError
from compliance.measures.access.guarded import logs_in, own
from compliance.measures.audit_log.records import pauses
from compliance.measures.bad import bad_service
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import CarelessHandler
from compliance.measures.stores.postgres_rows import Ask, ask, holding
from compliance.measures.stores.redis_keys import keys_about
from compliance.site import Site
from compliance.target import Account, Exchange, Http, Login, Owned, PersonalData, Postgres, Redis, Target

FindKeys = Callable[[Site, str], Sequence[str]]


class ErasedData(Measure):
    name = "erased_data"
    says = "whether a user is given his data, and what of it is left when he has it erased"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "personal_data")
    fields: ClassVar[Mapping[str, str]] = {
        "exported": "whether the export has the user's name and the id of what he ordered; none: the target "
        "describes no export",
        "logs_in": "whether the erased account still gets a log-in; none: it cannot be told",
        "tables": "tables that have the name in them; none: the target has no `postgres`",
        "keys": "keys of the cache that have it in them, or in what they hold; none: the target has no "
        "`redis`",
    }

    def __init__(self, asked: Ask = ask, found_keys: FindKeys = keys_about) -> None:
        self._asked, self._found_keys = asked, found_keys

    def take(self, site: Site) -> Mapping[str, Any]:
        part = site.target.personal_data
        assert part is not None
        account = Account(user=f"erase-{secrets.token_hex(6)}", password=secrets.token_urlsafe(20) + "a1")
        site.secrets.add(account.password)
        _send(site, part.create, _maker(site, part), user=account.user, password=account.password)
        token = site.token(account)
        number = own(site, token).rpartition("/")[2] if site.target.owned is not None else ""
        exported = None
        if part.export is not None:
            text = _send(site, part.export, token).text
            exported = account.user in text and number in text
        for visit in part.visits:
            _send(site, visit, token)
        self._sees(site, account.user)
        _send(site, part.erase, token)
        tables, keys = self._left(site, part, account.user)
        return {"exported": exported, "logs_in": logs_in(site, account), "tables": tables, "keys": keys}

    def _sees(self, site: Site, user: str) -> None:
        """That what is searched is where the data are: else nothing would be left of what never was there.
        Raises Unsupported."""
        if site.target.postgres is not None and not holding(self._asked, site, [user]):
            raise Unsupported(f"no table has the name of {user} in it: it is no database of this service's")

    def _left(self, site: Site, part: PersonalData, user: str) -> tuple[list[str] | None, list[str] | None]:
        """When nothing is, or patience is at its end."""
        tables: list[str] | None = None
        keys: list[str] | None = None
        for _ in pauses(site, part.patience_s):
            if site.target.postgres is not None:
                found = holding(self._asked, site, [user])
                tables = [each for each in found if each not in part.kept]
            if site.target.redis is not None:
                keys = list(self._found_keys(site, user))
            if not tables and not keys:
                break
        return tables, keys

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """What PostgreSQL and Redis said, where everything stays, as no server can be bundled."""
        self._asked = lambda site, query, values: [("public.orders",)] if not values else [(True,)]
        self._found_keys = lambda site, name: [f"me:{name}"]
        passwords = {"admin": {"bad-admin-password"}}
        with bad_service(type("Keeps", (_Keeps,), {"passwords": passwords, "wrong": []})) as url:
            yield Target(
                name="bad",
                http=Http(url=url),
                login=Login(path="/login", body={"user": "{user}", "password": "{password}"}),
                owned=Owned(create=Exchange(method="POST", path="/orders", body={}), read="/orders/{id}"),
                personal_data=PersonalData(
                    create=Exchange(
                        method="POST", path="/users", body={"user": "{user}", "password": "{password}"}
                    ),
                    export=Exchange(path="/me/export"),
                    erase=Exchange(method="DELETE", path="/me"),
                    patience_s=0.05,
                ),
                postgres=Postgres(url="postgresql://"),
                redis=Redis(url="redis://"),
            )


class _Keeps(CarelessHandler):
    """Lets everybody sign up, gives nobody his own data, and erases nothing."""

    def do_POST(self) -> None:
        if self.path != "/users":
            super().do_POST()
            return
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.passwords[given["user"]] = {given["password"]}
        self._answer(201, {"id": "1"})


def _maker(site: Site, part: PersonalData) -> str | None:
    """The token of somebody who may make accounts. Raises Unreachable, Unsupported, ChaosError."""
    if part.role is None:
        return None
    account = site.target.account(part.role)
    if account is None:
        raise Unsupported(f"the target names no account of the role {part.role}, who may make accounts")
    return site.token(account)


def _send(site: Site, exchange: Exchange, token: str | None, **values: str) -> requests.Response:
    """Raises Unreachable; ChaosError where it does not go well."""
    answer = site.send(exchange, token, **values)
    if not answer.ok:
        raise ChaosError(f"{exchange.method} {exchange.path}: {answer.status_code}")
    return answer


MEASURES = (ErasedData,)
