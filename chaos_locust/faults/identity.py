"""Faults on the keys that a service checks tokens with (JWKS), done on the link to its identity service.

RFC 7517 (JSON Web Key). What a load does with tokens that are not valid is in `chaos_locust.tokens`.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from pydantic import Field

from chaos_locust.faults.base import Fault
from chaos_locust.faults.http import HttpFault, Route
from chaos_locust.faults.network import PositiveMilliseconds

# Nobody has the private part of this key: it was thrown away when the key was made.
_NOBODYS_MODULUS = (
    "nb_NrwNkBEWqisrIEQCmiqMEF6nVaAjwHAwPv25p4JBrZuEfcZN8Bfq2bnDB0kZIPT-"
    "qGPh0YTS4UlfU9B_MCovsre0-rxe_jkgsXBIuXfB-8F8I6KwdqkOSC8ghbQuzFLJ1M6vomO7AjN5LQ-"
    "zdBw_sP8ZWP2FFl97sJ80zJJcs2RlFpZusa58CFENZIwJidZQ-B85L8UCejmSw-9qD5XKkfUdZc74VIF5g0Uhn-"
    "CAXIJYI0FhW-NczOKT8Om8ir7isCkC5Fkyc8ldg_r9H3sGqt-"
    "OZDcVQ2xk0nte6auiofYKsSuo4Cb_T_1b01k3I9WpYSz3P6rrjQh8xv5dXkw"
)
_NOBODYS_KEY = {
    "kty": "RSA",
    "use": "sig",
    "alg": "RS256",
    "kid": "chaos-locust-rotated",
    "n": _NOBODYS_MODULUS,
    "e": "AQAB",
}


class JwksFault(HttpFault):
    """Base of the faults on the answers of a key endpoint."""

    route: Route = Field(default="/.well-known/jwks.json", description="path of the keys")


class JwksUnavailable(JwksFault):
    """The keys cannot be had: the endpoint answers 503."""

    kind: ClassVar[str] = "jwks_unavailable"
    summary: ClassVar[str] = "answers requests for the keys with 503"
    replaces: ClassVar[bool] = True

    def action(self) -> dict[str, Any]:
        return {"status": 503, "ask_upstream": False, "body": ""}


class JwksSlow(JwksFault):
    """The keys come late."""

    kind: ClassVar[str] = "jwks_slow"
    summary: ClassVar[str] = "holds the keys back for delay"

    delay_s: PositiveMilliseconds = Field(alias="delay", description="until the keys come")

    def action(self) -> dict[str, Any]:
        return {"delay_ms": round(self.delay_s * 1000)}


class JwksCorrupted(JwksFault):
    """What comes in place of the keys is JSON that breaks off."""

    kind: ClassVar[str] = "jwks_corrupted"
    summary: ClassVar[str] = "sends broken JSON in place of the keys"
    replaces: ClassVar[bool] = True

    def action(self) -> dict[str, Any]:
        return {"body": json.dumps({"keys": [_NOBODYS_KEY]})[:100]}


class JwksRotated(JwksFault):
    """All keys are gone and there is a new one, which signs nothing: tokens that are out are not valid any
    more as soon as the service notices."""

    kind: ClassVar[str] = "jwks_rotated"
    summary: ClassVar[str] = "replaces all keys by one that signs nothing"
    replaces: ClassVar[bool] = True

    def action(self) -> dict[str, Any]:
        return {"body": json.dumps({"keys": [_NOBODYS_KEY]})}


class JwksWrongKeyId(JwksFault):
    """The keys are the right ones, under ids that no token names."""

    kind: ClassVar[str] = "jwks_wrong_key_id"
    summary: ClassVar[str] = "changes the ids of the keys"
    replaces: ClassVar[bool] = True
    reads_answer: ClassVar[bool] = True

    def action_from(self, answer: bytes) -> dict[str, Any]:
        document = json.loads(answer)
        if not isinstance(document, dict) or not document.get("keys"):
            raise ValueError("it is no JWKS with keys")
        keys = [key | {"kid": f"chaos-locust-{number}"} for number, key in enumerate(document["keys"])]
        return {"body": json.dumps(document | {"keys": keys})}


FAULTS: tuple[type[Fault], ...] = (JwksUnavailable, JwksSlow, JwksCorrupted, JwksRotated, JwksWrongKeyId)
