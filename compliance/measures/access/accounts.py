"""Accounts that nobody uses, and that can be used all the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.records import listed, moment
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.site import Site, at, json_of
from compliance.target import Account, AccountsList, Http, Login, Target

DAY_S = 86400
MOST_SHOWN = 20


class UnusedAccounts(Measure):
    name = "unused_accounts"
    says = "for how long accounts that can be used were not"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http", "login", "accounts", "accounts_list")
    fields: ClassVar[Mapping[str, str]] = {
        "unused_s": "seconds since the last log-in, or else since it was made, of the account that was not "
        "used for longest; none: of some accounts neither is told",
        "account": "whose account that is",
        "untold": "users of whose accounts neither is told",
        "enabled": "number of accounts that can be used",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        unused_s: dict[str, float] = {}
        untold = []
        for account in _enabled(site):
            user = str(_part(site, account, "user"))
            used = moment(_part(site, account, "last_login")) or moment(_part(site, account, "made_at"))
            if used is None:
                untold.append(user)
            else:
                unused_s[user] = max(0.0, (site.now() - used).total_seconds())
        by_time = sorted(unused_s, key=lambda user: -unused_s[user])
        for user in by_time[:MOST_SHOWN]:
            site.note(f"{user}: enabled, and not used for {unused_s[user] / DAY_S:.1f} days")
        return {
            "unused_s": round(unused_s[by_time[0]]) if by_time and not untold else None,
            "account": by_time[0] if by_time else None,
            "untold": untold,
            "enabled": len(unused_s) + len(untold),
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with bad_service(_Neglected) as url:
            yield Target(
                name="bad",
                http=Http(url=url),
                login=Login(path="/login", body={"user": "{user}", "password": "{password}"}),
                accounts=(Account(user=BadHandler.USER, password=BadHandler.PASSWORD, role="admin"),),
                accounts_list=AccountsList(path="/users", role="admin"),
            )


class _Neglected(BadHandler):
    """Lists somebody who left years ago, and may come back at any time."""

    def do_GET(self) -> None:
        self._answer(200, [{"user": "olga", "last_login": "2001-01-01T00:00:00Z", "enabled": True}])


def _enabled(site: Site) -> list[Mapping[str, Any]]:
    """Raises Unreachable, Unsupported, ChaosError."""
    part = site.target.accounts_list
    assert part is not None
    reader = site.target.account(part.role)
    if reader is None:
        raise Unsupported(f"the target names no account of the role {part.role}, who may list the accounts")
    answer = site.send(part, site.token(reader))
    accounts = listed(json_of(answer))
    if not answer.ok or not accounts:
        raise ChaosError(f"{part.path}: {answer.status_code}, and no list of accounts")
    if at(json_of(answer), "next"):
        raise ChaosError(f"{part.path} shows a part of the accounts only")
    found = []
    for account in accounts:
        enabled = _part(site, account, "enabled")
        if _part(site, account, "user") is None or not (enabled is None or isinstance(enabled, bool)):
            raise ChaosError(f"an account of {part.path} has no user, or `enabled` is neither true nor false")
        if enabled is not False:
            found.append(account)
    return found


def _part(site: Site, account: Mapping[str, Any], name: str) -> Any:
    assert site.target.accounts_list is not None
    names = {str(each): called for each, called in site.target.accounts_list.fields.items()}
    return at(account, names.get(name, name))


MEASURES = (UnusedAccounts,)
