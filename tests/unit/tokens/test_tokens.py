"""Every attack on a token is one that a checker of RS256 tokens refuses, and for its own reason."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from chaos_locust.tokens import ATTACKS, spoil

KEY = generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"sub": "alice", "aud": "shop", "exp": 4_000_000_000}
GOOD = jwt.encode(CLAIMS, KEY, algorithm="RS256", headers={"kid": "k1"})


def check(token: str) -> dict[str, object]:
    return jwt.decode(token, KEY.public_key(), algorithms=["RS256"], audience="shop")


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_good_checker_refuses_it(attack: str) -> None:
    assert check(GOOD)["sub"] == "alice"
    with pytest.raises(jwt.PyJWTError):
        check(spoil(GOOD, attack))


@pytest.mark.parametrize("attack", ["forged", "unknown_key", "tampered", "alg_none", "unsigned"])
def test_one_that_checks_no_signature_believes_it(attack: str) -> None:
    believed = jwt.decode(spoil(GOOD, attack), options={"verify_signature": False})
    assert believed["aud"] == "shop"
    assert (believed["sub"] == "alice") == (attack != "tampered")


def test_what_each_says_of_its_key() -> None:
    heads = {attack: jwt.get_unverified_header(spoil(GOOD, attack)) for attack in list(ATTACKS)[:5]}
    assert heads["forged"]["kid"] == heads["tampered"]["kid"] == "k1"
    assert heads["unknown_key"]["kid"] != "k1"
    assert heads["alg_none"]["alg"] == "none"


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match="no JWT"):
        spoil("hello", "forged")
    with pytest.raises(ValueError, match="'gentle' is no attack; allowed: forged"):
        spoil(GOOD, "gentle")
