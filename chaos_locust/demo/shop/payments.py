"""The shop's way to the payment service: time-outs, one safe retry, a breaker, few calls at once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import httpx

from chaos_locust.demo.breaker import Breaker
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.errors import ShopError, Unavailable

CALL_S = 0.3
CONCURRENT_CALLS = 10
ATTEMPTS = 2


class Payments:
    """Authorises amounts."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._bounded = not settings.has("no-timeout")
        self._fresh_keys = settings.has("double-charge")
        self._client = httpx.AsyncClient(
            base_url=settings.url("payments_proxy"),
            timeout=None,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=60),
        )
        self._under_way = 0
        stuck = settings.has("breaker-stuck-open")
        self.breaker = Breaker(failures_to_open=5, open_s=1, clock=clock, stuck_open=stuck)

    async def authorise(self, reference: str, amount_cents: int) -> int:
        """Authorise an amount under that reference, at most once; returns what is authorised, in cents.

        Raises Unavailable.
        """
        if self._bounded and self._under_way >= CONCURRENT_CALLS:
            raise Unavailable("payments", "too many payments are under way")
        self._under_way += 1
        try:
            return await self._attempts(reference, amount_cents)
        finally:
            self._under_way -= 1

    async def _attempts(self, reference: str, amount_cents: int) -> int:
        key, why = reference, "the breaker before the payment service is open"
        for _ in range(ATTEMPTS):
            if not self.breaker.allows():
                break
            try:
                async with asyncio.timeout(CALL_S if self._bounded else None):
                    authorised = await self._call(key, reference, amount_cents)
            except (httpx.HTTPError, OSError, TimeoutError, ValueError, KeyError) as error:
                self.breaker.failed()
                why = f"the payment service does not answer ({type(error).__name__})"
                if self._fresh_keys:
                    key = uuid.uuid4().hex
                continue
            except ShopError:  # it answers, so there is nothing wrong with it
                self.breaker.succeeded()
                raise
            self.breaker.succeeded()
            return authorised
        raise Unavailable("payments", why)

    async def _call(self, key: str, reference: str, amount_cents: int) -> int:
        body = {"reference": reference, "amount_cents": amount_cents}
        answer = await self._client.post("/charges", json=body, headers={"Idempotency-Key": key})
        if 400 <= answer.status_code < 500:
            raise ShopError(402, "payment_refused", "the payment service refuses the charge")
        charge = answer.raise_for_status().json()
        return int(charge["amount_cents"])

    async def answers(self) -> bool:
        """Whether the service is healthy, asked whatever the breaker says."""
        try:
            async with asyncio.timeout(CALL_S):
                return (await self._client.get("/health")).is_success
        except (httpx.HTTPError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        await self._client.aclose()
