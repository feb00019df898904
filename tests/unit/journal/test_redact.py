"""Secrets are told by the key or by the form of the text; what is no secret stays readable."""

from __future__ import annotations

import pytest

from chaos_locust.redact import is_secret_key, redact, redact_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://app:s3cret@db:5432/shop", "postgres://app:***@db:5432/shop"),
        ("Authorization: Bearer s3cret.abc", "Authorization: ***"),
        ("sent Bearer s3cret-abc-def", "sent Bearer ***"),
        ("GET /me?access_token=s3cret&page=2", "GET /me?access_token=***&page=2"),
        ("run --password=s3cret --rate 5", "run --password=*** --rate 5"),
        ("run --api-key s3cret --rate 5", "run --api-key *** --rate 5"),
        ("PGPASSWORD=s3cret psql", "PGPASSWORD=*** psql"),
        ('{"client_secret": "s3cret"}', '{"client_secret": "***"}'),
        ("Set-Cookie: id=s3cret; Path=/", "Set-Cookie: ***"),
    ],
)
def test_secrets_in_text_are_hidden(text: str, shown: str) -> None:
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["POST /tokens", "the token was refused", "max_tokens=5", "http://shop.test:8000/a@b"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("key", ["password", "X-Api-Key", "accessToken", "db_password", "AUTHORIZATION"])
def test_secret_keys(key: str) -> None:
    assert is_secret_key(key)
    assert redact({key: "s3cret"}) == {key: "***"}


@pytest.mark.parametrize("key", ["author", "max_tokens", "keyboard", "target", "secretary"])
def test_ordinary_keys(key: str) -> None:
    assert not is_secret_key(key)


def test_a_header_pair_is_hidden_and_a_mapping_under_a_secret_name_is_gone_into() -> None:
    data = {"headers": [["Cookie", "a"], ["Accept", "b"]], "secret": {"proxy": "p", "password": ["a", 1]}}
    assert redact(data) == {
        "headers": [["Cookie", "***"], ["Accept", "b"]],
        "secret": {"proxy": "p", "password": ["***", "***"]},
    }
