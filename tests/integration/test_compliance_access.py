"""What is said of who gets in, against a service that is right about it, and with each thing wrong alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from compliance.catalogue import load
from compliance.checks import checks, judge
from compliance.measurement import Measurement
from compliance.measures.access.credentials import DefaultCredentials, LoginBypass, UserEnumeration
from compliance.measures.access.lockout import Lockout, LockoutIsolation
from compliance.measures.access.passwords import PasswordChange, PasswordPolicy
from compliance.measures.access.roles import CrossRole, CrossUser, SeparationOfDuties, Unauthenticated
from compliance.measures.access.sessions import (
    ExpiredToken,
    Logout,
    SessionCookies,
    TokenLifetime,
    TokensDiffer,
)
from compliance.measures.access.tokens import ForgedTokens, HeaderTrust, TokenInUrl
from compliance.measures.base import Measure, Unsupported
from compliance.target import Http, Target
from tests.integration.compliance_judged import site_of, taken
from tests.servers.small_identity import small_identity

ALL: tuple[type[Measure], ...] = (
    *(Unauthenticated, CrossUser, CrossRole, SeparationOfDuties, ForgedTokens, HeaderTrust, TokenInUrl),
    *(DefaultCredentials, LoginBypass, UserEnumeration, PasswordPolicy, PasswordChange),
    *(ExpiredToken, Logout, SessionCookies, TokenLifetime, TokensDiffer, Lockout, LockoutIsolation),
)


def answers(measure: type[Measure], value: Mapping[str, Any]) -> dict[str, str]:
    """Of every check over the measure, as strict as PCI DSS is."""
    parameters = load("pcidss").profiles["all"].parameters
    found = Measurement(measure.name, "ok", value, (), "", "", 0.0)
    about = (each for each in checks().values() if each.measure == measure.name)
    return {each.id: judge(each, found, parameters).answer for each in about}


def failed(measure: type[Measure], target: Target) -> set[str]:
    """The checks that fail; those that do not know are no answer, and fail the test."""
    said = answers(measure, taken(measure, target))
    assert "not_known" not in said.values(), said
    return {check for check, answer in said.items() if answer == "failed"}


def test_a_service_that_is_right_holds_all_of_it() -> None:
    with small_identity() as (target, _):
        assert {each.name: failed(each, target) for each in ALL} == {each.name: set() for each in ALL}


@pytest.mark.parametrize(
    ("measure", "lapse", "expected"),
    [
        (Unauthenticated, "open-report", {"unauthenticated-refused"}),
        (CrossUser, "idor", {"cross-user-refused"}),
        (CrossUser, "open-orders", {"cross-user-refused", "owned-needs-log-in"}),
        (CrossRole, "open-admin", {"cross-role-refused"}),
        (SeparationOfDuties, "superuser", {"duties-separated"}),
        (ForgedTokens, "unsigned", {"forged-tokens-refused"}),
        (ForgedTokens, "takes-none", {"forged-tokens-refused"}),
        (ForgedTokens, "weak-key", {"forged-tokens-refused"}),
        (HeaderTrust, "trusts-headers", {"names-are-no-log-in"}),
        (TokenInUrl, "query-token", {"tokens-not-in-addresses"}),
        (TokenInUrl, "described", {"no-secrets-in-described-addresses"}),
        (DefaultCredentials, "defaults", {"default-credentials-refused"}),
        (LoginBypass, "sql", {"log-in-tricks-refused"}),
        (LoginBypass, "operators", {"log-in-tricks-refused"}),
        (UserEnumeration, "tells-users", {"users-not-told"}),
        (UserEnumeration, "slow-for-known", {"users-not-told-by-time"}),
        (PasswordPolicy, "short", {"password-length"}),
        (PasswordPolicy, "letters", {"password-letters-and-digits"}),
        (PasswordPolicy, "digits", {"password-letters-and-digits"}),
        (PasswordPolicy, "common", {"password-not-common"}),
        (PasswordPolicy, "names", {"password-not-the-name"}),
        (PasswordPolicy, "no-history", {"password-history"}),
        (PasswordChange, "change-without-old", {"password-change-needs-the-old"}),
        (PasswordChange, "change-by-nobody", set()),  # whoever knows the old one need not log in
        (PasswordChange, "old-stays", {"old-password-is-over"}),
        (ExpiredToken, "no-expiry", {"expired-token-refused"}),
        (TokenLifetime, "long", {"token-lifetime"}),
        (TokenLifetime, "endless", {"token-lifetime"}),
        (TokenLifetime, "opaque", set()),
        (TokensDiffer, "same-token", {"tokens-differ"}),
        (Logout, "no-logout", {"logout-ends-the-session"}),
        (SessionCookies, "cookie", set()),
        (SessionCookies, "open-cookie", {"session-cookies-kept"}),
        (SessionCookies, "fixed-session", {"session-renewed-at-log-in"}),
        (Lockout, "no-lockout", {"wrong-passwords-lock"}),
        (Lockout, "locks-late", {"wrong-passwords-lock"}),
        (Lockout, "shows-lock", set()),
        (LockoutIsolation, "locks-everybody", {"wrong-passwords-lock-only-their-account"}),
    ],
)
def test_each_thing_wrong_alone(measure: type[Measure], lapse: str, expected: set[str]) -> None:
    with small_identity(lapse) as (target, _):
        assert failed(measure, target) == expected


@pytest.mark.parametrize(
    ("measure", "lapse", "expected"),
    [
        (Unauthenticated, "hides-report", {"unauthenticated-refused"}),
        (CrossUser, "says-well", {"cross-user-refused"}),
        (CrossRole, "refuses-all", {"cross-role-refused"}),
        (ForgedTokens, "breaks", {"forged-tokens-refused"}),
        (LoginBypass, "crashes", {"log-in-tricks-refused"}),
    ],
)
def test_what_cannot_be_told_is_not_known(measure: type[Measure], lapse: str, expected: set[str]) -> None:
    with small_identity(lapse) as (target, _):
        said = answers(measure, taken(measure, target))
    assert {check for check, answer in said.items() if answer == "not_known"} == expected
    assert "failed" not in said.values()


@pytest.mark.parametrize(
    ("measure", "lapse", "error", "says"),
    [
        (ExpiredToken, "opaque", Unsupported, "no token was given that is over within seconds"),
        (PasswordPolicy, "never-changes", ChaosError, "not even a random password of 64"),
        (PasswordChange, "never-changes", ChaosError, "nothing can be compared"),
        (Lockout, "throttles", Unsupported, "whoever's"),
        (LockoutIsolation, "no-lockout", Unsupported, "do not lock"),
        (UserEnumeration, "throttles", ChaosError, "429"),
    ],
)
def test_what_cannot_be_measured_says_why(
    measure: type[Measure], lapse: str, error: type[Exception], says: str
) -> None:
    with small_identity(lapse) as (target, _), pytest.raises(error, match=says):
        taken(measure, target)


def test_lockout_is_counted_where_it_shows_and_bounded_where_it_does_not() -> None:
    with small_identity("shows-lock") as (target, _):
        assert taken(Lockout, target)["attempts_until_locked"] == 7  # the first that is told so
    with small_identity() as (target, state):
        assert taken(Lockout, target) == {"locks": True, "attempts_until_locked": 10, "stated_s": None}
        with pytest.raises(ChaosError, match="locked from before"):
            taken(Lockout, target)
    with small_identity("no-lockout") as (target, state):
        taken(Lockout, target)
        assert state.failed["canary"] == 0  # the right password came last, and was taken
        assert state.requests.count("POST /login") == 1 + 25 + 2  # no more than 25 wrong ones


def test_a_changed_password_is_set_back() -> None:
    for measure in (PasswordPolicy, PasswordChange):
        with small_identity() as (target, state):
            taken(measure, target)
            assert target.canary is not None
            assert state.passwords["canary"][-1] == target.canary.password
            assert len(state.passwords["canary"]) > 5  # through others, for the last four are refused


def test_a_change_without_a_log_in_is_told_apart() -> None:
    with small_identity("change-by-nobody", "change-without-old") as (target, _):
        assert taken(PasswordChange, target)["without_log_in"] is True
    with small_identity("change-without-old") as (target, _):
        assert taken(PasswordChange, target)["without_log_in"] is False


def test_real_accounts_are_not_locked_by_any_of_it() -> None:
    with small_identity() as (target, state):
        for measure in ALL:
            taken(measure, target)
        locked = {user for user, failed in state.failed.items() if failed >= 3}
    assert locked == {"canary"}


def test_nothing_of_a_log_in_is_in_the_evidence() -> None:
    with small_identity("opaque") as (target, state):
        for measure in (PasswordPolicy, ForgedTokens, TokenInUrl, UserEnumeration, Logout, Lockout):
            site = site_of(target)
            measure().take(site)
            shown = "\n".join(site.evidence)
            assert shown
            assert not [each for each in (*state.opaque, *state.passwords["canary"]) if each in shown]


def test_without_anything_that_needs_a_log_in_nothing_is_said() -> None:
    with small_identity() as (target, _):
        open_target = target.model_copy(
            update={"owned": None, "privileged": (), "http": _without_openapi(target)}
        )
        for measure in (Unauthenticated, ForgedTokens, Logout):
            with pytest.raises(Unsupported):
                taken(measure, open_target)


def _without_openapi(target: Target) -> Http:
    assert target.http is not None
    return target.http.model_copy(update={"openapi": None})
