"""What is blotted out of evidence, and what is left to be read."""

from __future__ import annotations

import pytest

from compliance.guesses import DEFAULTS, ORDINARY_WORDS
from compliance.measurement import Secrets
from compliance.site import Site
from compliance.target import Account, Target


@pytest.mark.parametrize("word", ["admin", "guest", "root", "test", "redis", "abc"])
def test_words_that_anybody_would_try_are_left_in_texts(word: str) -> None:
    secrets = Secrets()
    assert secrets.add(word) == word
    assert secrets.redacted(f"GET /{word}/list") == f"GET /{word}/list"


@pytest.mark.parametrize("secret", ["wonderland-1865", "builder", "administrator", "admin123"])
def test_other_passwords_are_not(secret: str) -> None:
    secrets = Secrets()
    secrets.add(secret)
    assert secrets.redacted(f"password={secret}") == "password=***"


def test_no_long_guess_is_an_ordinary_word() -> None:
    assert max(map(len, ORDINARY_WORDS)) < 8
    assert {word for words in DEFAULTS.values() for word in words if len(word) < 8} <= ORDINARY_WORDS


def test_an_account_with_a_default_password_leaves_the_evidence_readable() -> None:
    account = Account(user="root", password="admin")
    site = Site(Target(name="test", accounts=(account,)), Secrets())
    site.note("GET /admin/users: 200, administrators only")
    assert site.evidence == ("GET /admin/users: 200, administrators only",)
