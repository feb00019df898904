"""What is taken for a secret in text, and what is not."""

from __future__ import annotations

import pytest

from compliance.measures.operations.leaked import is_card, is_telling, leaked, told

PRIVATE = "PRIVATE KEY"  # apart, as no file of ours may look as if it held one


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("user=ada password=countess", "password"),
        ('{"user": "ada", "password": "countess"}', "password"),
        (r'body="{\"password\": \"countess\"}"', "password"),
        (f"-----BEGIN RSA {PRIVATE}-----", "private key"),
        (f"-----BEGIN {PRIVATE}-----", "private key"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln", "signed token"),
        ("Authorization: Bearer abcdefghijklmnop", "bearer token"),
        ("postgresql://app:s3cret@db/shop", "password in a URL"),
        ("AKIA" + "IOSFODNN7EXAMPLE", "cloud key"),
        ("$2b$12$KIXQ4vQ1m0e3h9yqvW1OeuQ9", "hash of a password"),
        ("paid with 4242 4242 4242 4242.", "card number"),
        ("card=378282246310005,", "card number"),
    ],
)
def test_found(text: str, kind: str) -> None:
    assert leaked(text, {}) == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "password: must be longer than it was",
        'PUT /password 204 "password changed"',
        '{"password": "***"}',
        "password=*** token=***",
        "Authorization: Bearer ***",
        "postgresql://app:***@db/shop",
        "postgresql://db/shop",
        "order 4242424242424241",
        "at 1700000000000000 ns",
        "id 9f4242424242424242",
        "trace=4242424242424242-01",
        "amount 3.4242424242424242",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert not leaked(text, {})


def test_known_secrets_are_counted_by_what_they_are() -> None:
    found = leaked(
        "a wonder-1865 b wonder-1865", {"wonder-1865": "password of an account", "x-2222": "token"}
    )
    assert told({"log": found}) == ["log: password of an account, 2 times"]


@pytest.mark.parametrize(
    "text", ["4111111111111111", "5555-5555-5555-4444", "2223003122003222", "6011111111111117"]
)
def test_cards(text: str) -> None:
    assert is_card(text)
    digits = text.replace("-", "")
    changed = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    assert not is_card(changed)


def test_words_are_no_passwords_to_search_for() -> None:
    assert [
        each for each in ("manager", "christmas", "12345678", "k-1", "keeps-1843") if is_telling(each)
    ] == ["keeps-1843"]
