"""The identity service: checks passwords, signs RS256 tokens, publishes the keys (JWKS).

The keys are kept in a file, so that tokens stay valid when the service is killed and started again.
"""

from __future__ import annotations

import json
import math
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

from chaos_locust.demo.accounts import Accounts, Attempt, write_private
from chaos_locust.demo.service import run
from chaos_locust.demo.settings import Settings

ISSUER = "shop-identity"
AUDIENCE = "shop"
TOKEN_S = 15 * 60  # at most
NO_EXPIRY_S = 10 * 365 * 86400  # with the lapse `no-expiry`
AUDIENCES = (AUDIENCE, "warehouse")  # the same users and keys serve another service too
WRONG = "wrong user or password"
PUBLISHED_KEYS = 3  # the newest signs; the ones before it stay valid for tokens that are still out


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
        write_private(self._path, json.dumps([(kid, _pem(key)) for kid, key in self._keys]))
        return kid

    def sign(self, user: str, role: str, now: float, lasts_s: int, audience: str) -> str:
        kid, key = self._keys[-1]
        times = {"iat": int(now), "exp": int(now) + lasts_s}
        names = {"iss": ISSUER, "aud": audience, "jti": uuid.uuid4().hex}
        claims = {**names, "sub": user, "role": role, **times}
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


def application(keys: Keys, accounts: Accounts, settings: Settings) -> Starlette:
    """POST /token, POST /password, POST /unlock, GET and POST /accounts, GET and DELETE /accounts/USER,
    GET /.well-known/jwks.json, POST /rotate, GET /health.

    A token is asked for by user and password; by expires_in (at most TOKEN_S counts) and audience too where
    others are wanted. What is refused says in `attempt` why; only the shop is to know.
    """
    endless = settings.has("no-expiry")

    def refused(user: str, attempt: Attempt) -> JSONResponse:
        locked_s = math.ceil(accounts.locked_for_s(user))
        return JSONResponse({"error": WRONG, "attempt": attempt, "locked_s": locked_s}, 401)

    async def token(request: Request) -> JSONResponse:
        try:
            body = await request.json()
            user, password = str(body["user"]), str(body["password"])
            lasts_s, audience = int(body.get("expires_in", TOKEN_S)), body.get("audience", AUDIENCE)
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse({"error": "needs user and password"}, 422)
        if lasts_s <= 0 or audience not in AUDIENCES:
            return JSONResponse({"error": f"expires_in: at least 1; audience: {AUDIENCES}"}, 422)
        attempt = accounts.attempt(user, password)
        if attempt != "right":
            return refused(user, attempt)
        lasts_s = NO_EXPIRY_S if endless else min(lasts_s, TOKEN_S)
        signed = keys.sign(user, accounts.role(user), time.time(), lasts_s, audience)
        return JSONResponse({"access_token": signed, "token_type": "Bearer", "expires_in": lasts_s})

    async def password(request: Request) -> JSONResponse:
        try:
            body = await request.json()
            user, old, new = str(body["user"]), str(body["old"]), str(body["new"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "needs user, old and new"}, 422)
        attempt = accounts.attempt(user, old)
        if attempt != "right":
            return refused(user, attempt)
        refusal = accounts.refusal(user, new)
        if refusal:
            return JSONResponse({"error": refusal}, 422)
        accounts.change(user, new)
        return JSONResponse({"changed": True})

    async def unlock(request: Request) -> JSONResponse:
        try:
            user = str((await request.json())["user"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "needs user"}, 422)
        return JSONResponse({}, 200 if accounts.unlock(user) else 404)

    async def all_accounts(request: Request) -> JSONResponse:
        return JSONResponse({"accounts": accounts.all()})

    async def make(request: Request) -> JSONResponse:
        try:
            body = await request.json()
            user, password, role = str(body["user"]), str(body["password"]), str(body["role"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "needs user, password and role"}, 422)
        if accounts.one(user) is not None:
            return JSONResponse({"error": "there is a user of that name"}, 409)
        refusal = accounts.make(user, password, role)
        return JSONResponse({"error": refusal}, 422) if refusal else JSONResponse({}, 201)

    async def one(request: Request) -> JSONResponse:
        found = accounts.one(request.path_params["user"])
        return JSONResponse({"error": "no such user"}, 404) if found is None else JSONResponse(found)

    async def remove(request: Request) -> JSONResponse:
        accounts.remove(request.path_params["user"])
        return JSONResponse({})

    async def jwks(request: Request) -> JSONResponse:
        return JSONResponse({"keys": keys.published()})

    async def rotate(request: Request) -> JSONResponse:
        return JSONResponse({"kid": keys.rotate()})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/token", token, methods=["POST"]),
            Route("/password", password, methods=["POST"]),
            Route("/unlock", unlock, methods=["POST"]),
            Route("/accounts", all_accounts),
            Route("/accounts", make, methods=["POST"]),
            Route("/accounts/{user}", one),
            Route("/accounts/{user}", remove, methods=["DELETE"]),
            Route("/.well-known/jwks.json", jwks),
            Route("/rotate", rotate, methods=["POST"]),
            Route("/health", health),
        ]
    )


def service(settings: Settings) -> Starlette:
    keys, accounts = Keys(settings.state / "identity-keys.json"), Accounts(settings, time.time)
    return application(keys, accounts, settings)


if __name__ == "__main__":
    told = Settings.read(Path(sys.argv[1]))
    run(service(told), told.ports.identity)
