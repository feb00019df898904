"""Who a request comes from: tokens of the identity service, checked with its published keys.

The keys are cached. They are fetched again after a while, in the background, and at once for a kid that
is not known, though no more often than a small budget allows: a flood of forged tokens must not become a
flood of requests. Keys that could not be renewed stay in use; they are as valid as before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from chaos_locust.demo.identity import AUDIENCE, ISSUER
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.errors import ShopError, Unavailable
from chaos_locust.demo.shop.revoked import Revoked, all_of

CALL_S = 1.0
CHANGE_S = 5.0  # for a new password, which is compared with several that were before it
KEYS_TTL_S = 5
FETCH_BURST = 5  # fetches in a row, and one more each second


@dataclass(frozen=True, slots=True)
class User:
    """jti and expires_at (seconds since the epoch) are those of the token."""

    name: str
    role: str
    jti: str
    expires_at: float


class WrongCredentials(ShopError):
    """attempt: what came of it, as the identity service says (accounts.Attempt). The client is not told, but
    with the lapse `user-enumeration`. locked_s: for how long nothing is right any more under that name."""

    def __init__(self, attempt: str, locked_s: int, telling: bool) -> None:
        self.locks, self.locked_s = attempt == "locks", locked_s
        told = (401, "wrong_credentials", "wrong user or password")
        super().__init__(*(_TELLING.get(attempt, told) if telling else told))


_TELLING = {
    "unknown": (404, "no_such_user", "there is no such user"),
    "locked": (423, "locked", "the account is locked"),
}


class Tokens:
    """Logs users in and checks their tokens."""

    def __init__(self, settings: Settings, clock: Callable[[], float], revoked: Revoked) -> None:
        self._clock = clock
        self._revoked = revoked
        self._expire = not settings.has("no-expiry")
        self._fails_open = settings.has("fails-open")
        self._telling = settings.has("user-enumeration")
        self._bounded = not settings.has("no-timeout")
        self._checked = not settings.has("unchecked-tokens")
        self._drops_keys = settings.has("drops-keys")
        self._stale_keys = settings.has("stale-keys")
        self._client = httpx.AsyncClient(
            base_url=settings.url("identity_proxy"), timeout=None, trust_env=False
        )
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._budget, self._budget_at = float(FETCH_BURST), clock()
        self._fetching: asyncio.Task[None] | None = None

    async def login(self, credentials: Mapping[str, object]) -> dict[str, object]:
        """`token` and `expires_in`, seconds. Raises WrongCredentials, ShopError 422, Unavailable."""
        body = await self.ask("POST", "/token", credentials)
        try:
            return {"token": body["access_token"], "expires_in": body["expires_in"]}
        except KeyError as error:
            raise Unavailable("identity", "login: no token") from error

    async def change_password(self, user: str, old: str, new: str) -> None:
        """Raises WrongCredentials, ShopError 422, Unavailable."""
        wish = {"user": user, "old": old, "new": new}
        await self.ask("POST", "/password", wish, CHANGE_S)

    async def unlock(self, user: str) -> None:
        """Raises ShopError 404, Unavailable."""
        await self.ask("POST", "/unlock", {"user": user})

    async def ask(
        self, method: str, path: str, wish: Mapping[str, object] | None = None, timeout_s: float = CALL_S
    ) -> dict[str, Any]:
        """What the identity service says. Raises WrongCredentials, ShopError 404, 409, 422, Unavailable."""
        try:
            async with asyncio.timeout(timeout_s if self._bounded else None):
                answer = await self._client.request(method, path, json=wish)
            if answer.status_code == 401:
                told = answer.json()
                raise WrongCredentials(told["attempt"], told["locked_s"], self._telling)
            if answer.status_code == 404:
                raise ShopError(404, "no_such_user", "there is no such user")
            if answer.status_code == 409:
                raise ShopError(409, "user_exists", "there is a user of that name")
            if answer.status_code == 422:
                raise ShopError(422, "wrong_wish", str(answer.json()["error"]))
            body: dict[str, Any] = answer.raise_for_status().json()
            return body
        except (httpx.HTTPError, OSError, TimeoutError, ValueError, KeyError) as error:
            raise Unavailable("identity", f"{path}: {type(error).__name__}") from error

    async def user(self, authorization: str | None) -> User:
        """The user of an `Authorization: Bearer ...` header. Raises ShopError 401, Unavailable."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ShopError(401, "no_token", "needs an Authorization header with a Bearer token")
        try:
            claims = await self._believed(token)
            user = User(claims["sub"], claims["role"], str(claims["jti"]), float(claims["exp"]))
        except (jwt.PyJWTError, KeyError) as error:
            raise ShopError(401, "invalid_token", "the token is not valid") from error
        if await self._revoked.hold(user.jti, all_of(user.name)):
            raise ShopError(401, "invalid_token", "the token is not valid")
        return user

    async def _believed(self, token: str) -> dict[str, Any]:
        """What the token says, checked as far as the shop checks it. Raises PyJWTError, Unavailable."""
        if not self._checked:  # PyJWT checks nothing then
            return _unchecked(token)
        try:
            return await self._claims(token)
        except (jwt.PyJWTError, Unavailable):
            if self._fails_open and not await self.answers():
                return _unchecked(token)
            raise

    async def _claims(self, token: str) -> dict[str, Any]:
        """What the token says, once it is sure. Raises PyJWTError, Unavailable."""
        kid = str(jwt.get_unverified_header(token).get("kid"))
        key = self._keys.get(kid) or await self._fetched(kid)
        if self._clock() - self._fetched_at > KEYS_TTL_S:
            self._start_fetching()
        return jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "sub", "role", "jti"], "verify_exp": self._expire},
        )

    async def _fetched(self, kid: str) -> jwt.PyJWK:
        """The key of a kid that is not known yet."""
        fetching = None if self._keys and self._stale_keys else self._start_fetching()
        if fetching is not None:
            try:
                await asyncio.shield(fetching)
            except (httpx.HTTPError, OSError, TimeoutError, ValueError, KeyError, jwt.PyJWTError) as error:
                raise Unavailable("identity", f"signing keys: {type(error).__name__}") from error
        if kid not in self._keys:
            raise jwt.InvalidTokenError("signed with an unknown key")
        return self._keys[kid]

    def _start_fetching(self) -> asyncio.Task[None] | None:
        """A fetch under way: the one that is, or a new one if the budget allows it."""
        if self._fetching is None:
            now = self._clock()
            self._budget = min(FETCH_BURST, self._budget + now - self._budget_at)
            self._budget_at = now
            if self._budget < 1:
                return None
            self._budget -= 1
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetch_ended)
        return self._fetching

    def _fetch_ended(self, fetching: asyncio.Task[None]) -> None:
        self._fetching = None
        if not fetching.cancelled():
            fetching.exception()  # seen here: nobody waits for a fetch in the background

    async def _fetch(self) -> None:
        if self._drops_keys:
            self._keys = {}
        async with asyncio.timeout(CALL_S if self._bounded else None):
            answer = await self._client.get("/.well-known/jwks.json")
        keys = [jwt.PyJWK(key) for key in answer.raise_for_status().json()["keys"]]
        fetched = {key.key_id: key for key in keys if key.key_id and key.key_type == "RSA"}
        if not fetched:
            raise ValueError("no keys published")
        self._keys, self._fetched_at = fetched, self._clock()

    async def answers(self) -> bool:
        """Whether the identity service is healthy."""
        try:
            async with asyncio.timeout(CALL_S / 2):
                return (await self._client.get("/health")).is_success
        except (httpx.HTTPError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        await self._client.aclose()


def _unchecked(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
