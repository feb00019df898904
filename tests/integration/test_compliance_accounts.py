"""What is said of accounts that nobody uses, against a service that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from compliance.auditor import Auditor
from compliance.checks import checks, judge
from compliance.measures.access.accounts import UnusedAccounts
from compliance.measures.base import Unsupported
from compliance.site import Unreachable
from compliance.target import AccountsList, Target
from tests.integration.compliance_judged import PARAMETERS, answers_of, failed, site_of, taken
from tests.servers.small_shop import SmallShop, small_shop

CHECK = "unused-accounts-disabled"


class Listing(SmallShop):
    """Lists `accounts` to managers."""

    listed: Any

    def route(self, method: str, path: str, body: bytes) -> None:
        if (method, path) != ("GET", "/users"):
            super().route(method, path, body)
            return
        self.need("users_read", "manager")
        self.answer(200, self.listed)


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@contextmanager
def listing(listed: Any, role: str = "manager", **fields: str) -> Iterator[Target]:
    with small_shop(handler=type("L", (Listing,), {"listed": listed})) as (target, _):
        part = AccountsList(path="/users", role=role, fields=fields)
        yield target.model_copy(update={"accounts_list": part})


IN_USE = {"user": "alice", "last_login": days_ago(1), "enabled": True}


@pytest.mark.parametrize(
    ("account", "answer"),
    [
        ({"last_login": days_ago(36), "enabled": True}, "failed"),
        ({"last_login": days_ago(34), "enabled": True}, "held"),
        ({"last_login": days_ago(36), "enabled": False}, "held"),
        ({"last_login": days_ago(36)}, "failed"),
        ({"last_login": None, "made_at": days_ago(36), "enabled": True}, "failed"),
        ({"last_login": None, "made_at": days_ago(1), "enabled": True}, "held"),
        ({"last_login": days_ago(1), "made_at": days_ago(400), "enabled": True}, "held"),
        ({"last_login": None, "enabled": True}, "not_known"),
        ({"last_login": None, "enabled": False}, "held"),
    ],
)
def test_accounts_that_are_not_used(account: dict[str, Any], answer: str) -> None:
    with listing({"accounts": [IN_USE, {"user": "olga", **account}]}) as target:
        assert answers_of(UnusedAccounts, taken(UnusedAccounts, target)) == {CHECK: answer}


def test_the_account_is_named_by_the_violation_and_in_the_evidence() -> None:
    stale = {"user": "olga", "last_login": days_ago(200), "enabled": True}
    with listing([IN_USE, stale]) as target:
        found = Auditor(target).measure("unused_accounts")
    assert any("olga: enabled, and not used for 200.0 days" in text for text in found.evidence)
    told = judge(checks()[CHECK], found, PARAMETERS)
    assert (told.answer, told.evidence) == ("failed", found.sha256)
    assert told.text.startswith("The account of olga can be used")


def test_fields_may_have_other_names() -> None:
    stale = {"name": "olga", "seen": {"at": 1_000_000_000}, "active": True}
    names = {"user": "name", "last_login": "seen.at", "enabled": "active"}
    with listing([stale], **names) as target:
        assert failed(UnusedAccounts, target) == {CHECK}


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"accounts": [IN_USE], "next": 7}, "a part of the accounts only"),
        ({"accounts": []}, "no list of accounts"),
        ("<p>welcome</p>", "no list of accounts"),
        ([{**IN_USE, "enabled": "yes"}], "neither true nor false"),
        ([{"last_login": days_ago(1)}], "has no user"),
    ],
)
def test_a_list_that_does_not_tell_all_is_not_judged(listed: Any, message: str) -> None:
    with listing(listed) as target, pytest.raises(ChaosError, match=message):
        UnusedAccounts().take(site_of(target))


def test_who_may_not_list_them_proves_nothing() -> None:
    with listing([IN_USE], role="customer") as target, pytest.raises(ChaosError, match="403"):
        UnusedAccounts().take(site_of(target))
    with listing([IN_USE], role="admin") as target, pytest.raises(Unsupported, match="admin"):
        UnusedAccounts().take(site_of(target))
    with pytest.raises(Unreachable):
        UnusedAccounts().take(
            site_of(target.model_copy(update={"accounts_list": AccountsList(path="/users", role="manager")}))
        )
