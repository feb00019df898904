"""Who gets into the shop, as an audit sees it: as it is every check holds, each lapse turns its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from compliance.auditor import Auditor
from compliance.catalogue import FRAMEWORKS, load
from compliance.checks import checks, judge
from compliance.measurement import Measurement
from compliance.measures.registry import measures
from compliance.target import Target, load_target

TOPICS = ("roles", "tokens", "credentials", "passwords", "sessions", "lockout")
PROFILES = [profile for name in FRAMEWORKS for profile in load(name).profiles.values()]


@pytest.fixture(scope="module")
def target(shop: Any) -> Target:
    return load_target(Path(shop.ready["env"]["SHOP_TARGET"]), {**os.environ, **shop.ready["env"]})


def answers(measure: str, found: Measurement) -> dict[str, set[str]]:
    """By check: what every profile of every framework says."""
    about = (each for each in checks().values() if each.measure == measure)
    return {
        each.id: {judge(each, found, profile.parameters).answer for profile in PROFILES} for each in about
    }


def ours() -> list[str]:
    """In the order that an audit takes them: what locks the canary comes last."""
    here = {name for name, each in measures().items() if each.__module__.rpartition(".")[2] in TOPICS}
    return list(
        dict.fromkeys(check.measure for _, check in sorted(checks().items()) if check.measure in here)
    )


def test_the_healthy_shop_holds_all_of_it(target: Target) -> None:
    auditor = Auditor(target, allow_disruptive=True)
    found = {name: auditor.measure(name) for name in ours()}
    assert len(found) == 20
    assert {each.reason for each in found.values() if each.status != "ok"} == set()
    said = {check: answer for name, each in found.items() for check, answer in answers(name, each).items()}
    assert said == {check: {"held"} for check in said}


@pytest.mark.parametrize(
    ("lapse", "measure", "failed"),
    [
        ("idor", "cross_user", {"cross-user-refused"}),
        ("open-admin", "cross_role", {"cross-role-refused"}),
        ("open-admin", "separation_of_duties", {"duties-separated"}),
        ("unchecked-tokens", "forged_tokens", {"forged-tokens-refused"}),
        ("unchecked-tokens", "other_audience", {"other-audiences-refused"}),
        ("default-admin", "default_credentials", {"default-credentials-refused"}),
        ("user-enumeration", "user_enumeration", {"users-not-told"}),
        (
            "weak-passwords",
            "password_policy",
            {
                "password-length",
                "password-letters-and-digits",
                "password-not-common",
                "password-not-the-name",
                "password-history",
            },
        ),
        ("no-logout", "logout", {"logout-ends-the-session"}),
        ("no-expiry", "token_lifetime", {"token-lifetime"}),
        ("no-lockout", "lockout", {"wrong-passwords-lock"}),
    ],
)
def test_a_lapse_turns_its_checks(
    shop: Any, target: Target, lapse: str, measure: str, failed: set[str]
) -> None:
    shop.plant(lapse)
    found = Auditor(target, allow_disruptive=True).measure(measure)
    assert (found.status, found.reason) == ("ok", "")
    said = answers(measure, found)
    assert {check for check, answer in said.items() if answer == {"failed"}} == failed
    assert all(answer == {"held"} for check, answer in said.items() if check not in failed)


@pytest.mark.parametrize(("lapse", "answer"), [(None, "held"), ("fails-open", "failed")])
def test_without_its_identity_service_the_shop_fails_closed(
    shop: Any, target: Target, lapse: str | None, answer: str
) -> None:
    shop.plant(lapse)
    with shop.down("identity"):
        found = Auditor(target).measure("made_up_tokens")
    assert answers("made_up_tokens", found) == {"made-up-tokens-refused": {answer}}, found.value
