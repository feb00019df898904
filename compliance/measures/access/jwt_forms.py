"""Tokens as JWTs: what they say, and forgeries of them. Pure, but for the random keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

NEVER_S = 100 * 365 * 86400


def jwt_parts(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Head and claims, unverified; None where it is no JWT."""
    try:
        head, claims, _ = (
            base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)) for each in token.split(".")
        )
        read = json.loads(head), json.loads(claims)
    except ValueError:
        return None
    return read if isinstance(read[0], dict) and isinstance(read[1], dict) else None


def lifetime_s(claims: Mapping[str, Any], now_s: float) -> float:
    """Seconds from when it was given until it ends; NEVER_S if it does not. now_s: for a token that does not
    say when it was given."""
    if "exp" not in claims:
        return NEVER_S
    return float(claims["exp"]) - float(claims.get("iat", now_s))


def forgeries(token: str) -> dict[str, str]:
    """By kind. Those of a JWT have its head and claims, signed by nobody or with keys of ours."""
    made = {"garbage": secrets.token_urlsafe(24), "cut": token[: len(token) // 2]}
    parts = jwt_parts(token)
    if parts is None:
        return made
    head, claims = parts
    as_sent, payload, signature = token.split(".")
    admin = _part({**claims, "sub": "admin", "role": "admin", "roles": ["admin"], "scope": "admin"})
    symmetric = {**head, "alg": "HS256"}
    return {
        **made,
        "no signature": f"{as_sent}.{payload}.",
        "other claims": f"{as_sent}.{admin}.{signature or secrets.token_urlsafe(32)}",
        "algorithm none": f"{_part({**head, 'alg': 'none'})}.{payload}.",
        "algorithm nOnE": f"{_part({**head, 'alg': 'nOnE'})}.{payload}.",
        "our key": _signed(symmetric, payload, secrets.token_bytes(32)),
        "no key": _signed(symmetric, payload, b""),
        "the key `secret`": _signed(symmetric, payload, b"secret"),
        "our RSA key": _signed_rsa({**head, "alg": "RS256"}, payload),
    }


def _part(content: Mapping[str, Any]) -> str:
    return _text(json.dumps(content, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _signed(head: Mapping[str, Any], payload: str, key: bytes) -> str:
    signed = f"{_part(head)}.{payload}"
    return f"{signed}.{_text(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def _signed_rsa(head: Mapping[str, Any], payload: str) -> str:
    """By a key of ours that has the name of theirs (`kid`, if there is one)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signed = f"{_part(head)}.{payload}"
    return f"{signed}.{_text(_rsa_key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@cache
def _rsa_key() -> RSAPrivateKey:
    """One for all: to make one takes a tenth of a second."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
