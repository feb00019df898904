"""The identity service: checks passwords, signs RS256 tokens, publishes the keys (JWKS).

The keys are kept in a file, so that tokens stay valid when the service is killed and started again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
import time
import uuid
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chaos_locust.demo.service import run
from chaos_locust.demo.settings import Settings

ISSUER = "shop-identity"
AUDIENCE = "shop"
TOKEN_S = 3600
AUDIENCES = (AUDIENCE, "warehouse")  # the same users and keys serve another service too
PUBLISHED_KEYS = 3  # the newest signs; the ones before it stay valid for tokens that are still out
# The users of the demo: password and role. Only a manager may change prices.
USERS = {
    "alice": ("wonderland", "customer"),
    "bob": ("builder", "customer"),
    "carol": ("christmas", "customer"),
    "dave": ("diver", "customer"),
    "mia": ("manager", "manager"),
}


class Keys:
    """The signing keys, oldest first, each with its kid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: list[tuple[str, RSAPrivateKey]] = []
        if path.exists():
            self._keys = [(kid, _load(pem)) for kid, pem in json.loads(path.read_text())]
        else:
            self.rotate()

    def rotate(self) -> str:
        """Sign with a new key from now on; returns its kid."""
        kid = uuid.uuid4().hex
        new = (kid, generate_private_key(public_exponent=65537, key_size=2048))
        self._keys = [*self._keys, new][-PUBLISHED_KEYS:]
        written = self._path.with_suffix(".new")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump([(kid, _pem(key)) for kid, key in self._keys], file)
        written.replace(self._path)
        return kid

    def sign(self, user: str, now: float, lasts_s: int, audience: str) -> str:
        kid, key = self._keys[-1]
        times = {"iat": int(now), "exp": int(now) + lasts_s}
        claims = {"iss": ISSUER, "aud": audience, "sub": user, "role": USERS[user][1], **times}
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})

    def published(self) -> list[dict[str, str]]:
        return [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
            for kid, key in self._keys
        ]


def _pem(key: RSAPrivateKey) -> str:
    no_password = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, no_password).decode()


def _load(pem: str) -> RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1)


def application(keys: Keys) -> Starlette:
    """POST /token, GET /.well-known/jwks.json, POST /rotate, GET /health.

    A token is asked for by user and password; by expires_in and audience too where others are wanted.
    """
    salt = os.urandom(16)
    passwords = {user: _hash(password, salt) for user, (password, _) in USERS.items()}

    async def token(request: Request) -> JSONResponse:
        try:
            body = await request.json()
            user, password = str(body["user"]), str(body["password"])
            lasts_s, audience = int(body.get("expires_in", TOKEN_S)), body.get("audience", AUDIENCE)
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse({"error": "needs user and password"}, 422)
        if not 0 < lasts_s <= TOKEN_S or audience not in AUDIENCES:
            return JSONResponse({"error": f"expires_in: 1 to {TOKEN_S}; audience: {AUDIENCES}"}, 422)
        given = _hash(password, salt)  # for unknown users too, so that the time tells nothing
        if not hmac.compare_digest(given, passwords.get(user, b"")):
            return JSONResponse({"error": "wrong user or password"}, 401)
        signed = keys.sign(user, time.time(), lasts_s, audience)
        return JSONResponse({"access_token": signed, "token_type": "Bearer", "expires_in": lasts_s})

    async def jwks(request: Request) -> JSONResponse:
        return JSONResponse({"keys": keys.published()})

    async def rotate(request: Request) -> JSONResponse:
        return JSONResponse({"kid": keys.rotate()})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/token", token, methods=["POST"]),
            Route("/.well-known/jwks.json", jwks),
            Route("/rotate", rotate, methods=["POST"]),
            Route("/health", health),
        ]
    )


def main(settings: Settings) -> None:
    run(application(Keys(settings.state / "identity-keys.json")), settings.ports.identity)


if __name__ == "__main__":
    main(Settings.read(Path(sys.argv[1])))
