"""Tokens that a service must refuse, made from a good one. Pure, but for the key of a forger.

Needs PyJWT with its crypto extra: pip install 'chaos-locust[tokens]'. The attacks are those of RFC 8725
(JSON Web Token Best Current Practices), sections 2.1 and 3, and of RFC 7519.

What only the identity service can make is not here: a token that has expired, or one for another audience,
with a genuine signature. Ask for such a one where you log in.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

ATTACKS: Mapping[str, str] = MappingProxyType(
    {
        "forged": "signed by a key of the forger's, under the key id of the real one",
        "unknown_key": "signed by a key of the forger's, under a key id that nobody published",
        "tampered": "its claims were changed, and its signature was kept",
        "alg_none": "it says that it needs no signature, and has none",
        "unsigned": "its signature was cut off",
        "malformed": "it is no token",
        "empty": "it is nothing",
    }
)


def spoil(token: str, attack: str) -> str:
    """The token as the attack makes it: one of ATTACKS, which says how.

    token: a valid JWT in its compact form. Raises ValueError for a token or an attack that is none.
    """
    try:
        header, claims, signature = token.split(".")
        head, told = _decoded(header), _decoded(claims)
    except ValueError:
        raise ValueError("the token is no JWT (three parts with dots between them)") from None
    match attack:
        case "forged":
            return jwt.encode(told, _forgers_key(), algorithm="RS256", headers={"kid": head.get("kid")})
        case "unknown_key":
            return jwt.encode(told, _forgers_key(), algorithm="RS256", headers={"kid": "nobody-knows-it"})
        case "tampered":
            other = {"sub": f"not {told.get('sub')}"}
            return f"{header}.{_encoded(told | other)}.{signature}"
        case "alg_none":
            return f"{_encoded(head | {'alg': 'none'})}.{claims}."
        case "unsigned":
            return f"{header}.{claims}."
        case "malformed":
            return "not-a-token"
        case "empty":
            return ""
    raise ValueError(f"'{attack}' is no attack; allowed: {', '.join(ATTACKS)}")


@cache
def _forgers_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def _decoded(part: str) -> dict[str, Any]:
    data = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data


def _encoded(data: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()
