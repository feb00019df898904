"""The identity service's accounts by a clock of one's own: how long a lock lasts, what survives a restart."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chaos_locust.demo.accounts import LOCK_AFTER, Accounts
from chaos_locust.demo.passwords import matches, sealed, weakness
from chaos_locust.demo.settings import Ports, Settings

HALF_AN_HOUR_S = 30 * 60
MONTH_S = 30 * 86400
CANARY = "sings-in-the-mine-1911"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(tmp_path, Ports(), None)


def guess(accounts: Accounts, times: int) -> list[str]:
    return [accounts.attempt("canary", "wrong") for _ in range(times)]


def test_ten_attempts_lock_for_half_an_hour_and_those_meanwhile_do_not_make_it_longer(settings, clock):
    accounts = Accounts(settings, clock)
    assert guess(accounts, 10) == ["wrong"] * (LOCK_AFTER - 1) + ["locks"] + ["locked"] * (10 - LOCK_AFTER)
    clock.now_s += HALF_AN_HOUR_S - 1
    assert accounts.attempt("canary", CANARY) == "locked"
    clock.now_s += 1
    assert accounts.attempt("canary", CANARY) == "right"
    assert guess(accounts, 1) == ["wrong"]


def test_a_lock_survives_a_restart_and_ends_at_its_time(settings, clock):
    guess(Accounts(settings, clock), LOCK_AFTER)
    clock.now_s += HALF_AN_HOUR_S - 1
    assert Accounts(settings, clock).attempt("canary", CANARY) == "locked"
    clock.now_s += 1
    assert Accounts(settings, clock).attempt("canary", CANARY) == "right"


def test_a_right_password_forgives_what_was_before_it_also_after_a_restart(settings, clock):
    for _ in range(3):
        accounts = Accounts(settings, clock)
        assert guess(accounts, LOCK_AFTER - 1) == ["wrong"] * (LOCK_AFTER - 1)
        assert accounts.attempt("canary", CANARY) == "right"


def test_attempts_that_are_far_apart_are_not_added_up(settings, clock):
    accounts = Accounts(settings, clock)
    for _ in range(2 * LOCK_AFTER):
        assert guess(accounts, 1) == ["wrong"]
        clock.now_s += HALF_AN_HOUR_S


def test_who_is_locked_out_locks_nobody_else_out(settings, clock):
    accounts = Accounts(settings, clock)
    guess(accounts, LOCK_AFTER)
    assert accounts.attempt("alice", "wonderland") == "right"
    assert accounts.attempt("nobody", "wonderland") == "unknown"


def test_a_name_that_nobody_has_is_locked_for_as_long_as_one_that_somebody_has(settings, clock):
    accounts = Accounts(settings, clock)
    for _ in range(LOCK_AFTER + 1):
        assert accounts.attempt("nobody", "wrong") == "unknown"
        accounts.attempt("canary", "wrong")
        clock.now_s += 1
        assert Accounts(settings, clock).locked_for_s("nobody") == accounts.locked_for_s("canary")
    assert accounts.locked_for_s("canary") == HALF_AN_HOUR_S - 2
    assert "nobody" not in (settings.state / "identity-accounts.json").read_text()


def test_names_that_nobody_has_do_not_fill_the_memory_and_unlock_nobody(settings, clock, monkeypatch):
    monkeypatch.setattr("chaos_locust.demo.accounts.MOST_STRANGERS", 5)
    accounts = Accounts(settings, clock)
    guess(accounts, LOCK_AFTER)
    for n in range(20):
        accounts.attempt(f"nobody {n}", "wrong")
    assert len(json.loads((settings.state / "identity-accounts.json").read_text())["failures"]) == 6
    assert accounts.attempt("canary", CANARY) == "locked"


def test_an_unlocked_account_has_all_its_attempts_again(settings, clock):
    accounts = Accounts(settings, clock)
    guess(accounts, LOCK_AFTER)
    assert accounts.unlock("canary")
    assert guess(accounts, LOCK_AFTER) == ["wrong"] * (LOCK_AFTER - 1) + ["locks"]
    assert not accounts.unlock("nobody")


def test_an_account_that_is_not_used_for_a_month_gets_no_log_in_until_it_is_unlocked(settings, clock):
    accounts = Accounts(settings, clock)
    clock.now_s += MONTH_S
    assert accounts.attempt("alice", "wonderland") == "right"
    clock.now_s += 1
    assert accounts.attempt("bob", "builder") == "wrong"
    accounts = Accounts(settings, clock)
    assert accounts.attempt("bob", "builder") == "wrong"
    assert accounts.attempt("alice", "wonderland") == "right"
    enabled = {each["user"]: each["enabled"] for each in accounts.all()}
    assert (enabled["alice"], enabled["bob"]) == (True, False)
    assert accounts.unlock("bob")
    assert accounts.attempt("bob", "builder") == "right"


@pytest.mark.parametrize(("lapse", "attempt"), [(None, "wrong"), ("stale-account", "right")])
def test_who_left_half_a_year_ago_gets_no_log_in(settings, clock, lapse, attempt):
    accounts = Accounts(replace(settings, defect=lapse), clock)
    assert accounts.one("olga")["enabled"] == (attempt == "right")
    assert accounts.attempt("olga", "left-in-the-spring-1998") == attempt


def test_accounts_tell_when_they_were_used_last_also_after_a_restart(settings, clock):
    accounts = Accounts(settings, clock)
    assert accounts.one("alice")["last_login"] is None
    clock.now_s += 60
    accounts.attempt("alice", "wonderland")
    for again in (accounts, Accounts(settings, clock)):
        assert again.one("alice")["made_at"] == "1970-01-12T13:46:40+00:00"
        assert again.one("alice")["last_login"] == "1970-01-12T13:47:40+00:00"
    assert accounts.one("nobody") is None


def test_an_account_is_made_with_a_good_password_and_removed_with_all_that_is_known_of_it(settings, clock):
    accounts = Accounts(settings, clock)
    assert "letters and digits" in str(accounts.make("eve", "no-digit-in-here", "customer"))
    assert accounts.one("eve") is None
    assert accounts.make("eve", "climbs-the-tree-1967", "customer") is None
    accounts.attempt("eve", "wrong")
    assert accounts.attempt("eve", "climbs-the-tree-1967") == "right"
    accounts.attempt("eve", "wrong")
    accounts.remove("eve")
    assert Accounts(settings, clock).attempt("eve", "climbs-the-tree-1967") == "unknown"
    assert '"eve"' not in (settings.state / "identity-accounts.json").read_text()
    accounts.remove("eve")


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("fourteen-chars", "15 to 200"),
        ("f1fteen-charact", None),
        ("no-digit-in-here", "letters and digits"),
        ("1234567890123456", "letters and digits"),
        ("that-is-ALICES-1", "name of its user"),
        ("Qwertyuiop12345", "tried first"),
        ("é" * 14 + "1", None),
        ("x1" * 101, "15 to 200"),
    ],
)
def test_the_rules_of_passwords(password, rule):
    found = weakness(password, "alice")
    assert found is None if rule is None else rule in str(found)


def test_the_same_password_is_never_kept_alike_and_only_it_matches():
    one, other = sealed("wonderland"), sealed("wonderland")
    assert one["hash"] != other["hash"]
    assert "wonderland" not in json.dumps(one)
    assert matches(one, "wonderland")
    assert not matches(one, "Wonderland")
