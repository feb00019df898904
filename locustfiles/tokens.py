"""Shoppers of the demo shop, and among them somebody who comes with tokens that are not valid.

locust -f locustfiles/tokens.py --headless --chaos-plan locustfiles/plans/identity-attacks.yaml
"""

import random
import time

from gevent.lock import Semaphore
from locust import FastHttpUser, between, task

import chaos_locust
from chaos_locust.tokens import ATTACKS, spoil

chaos_locust.register()

ALICE = {"user": "alice", "password": "wonderland"}
RENEW_S, AGAIN_S = 600, 5  # a token lasts a quarter of an hour; after a login that failed
BASKET = {"product_id": 1, "quantity": 1}


class Shopper(FastHttpUser):
    wait_time = between(0.5, 1.5)

    _bad: dict[str, str] = {}  # noqa: RUF012 - one login serves all shoppers of a worker
    _token, _renew_at_s = "", 0.0
    _logging_in = Semaphore()

    def on_start(self) -> None:
        with self._logging_in:
            if not Shopper._token:
                good, expired, other = (
                    self.client.post("/login", json=ALICE | wish).json()["token"]
                    for wish in ({}, {"expires_in": 1}, {"audience": "warehouse"})
                )
                # Without the keys nobody can tell what an unknown one is worth: that is a 503, not a refusal.
                attacks = set(ATTACKS) - {"unknown_key"}
                Shopper._bad = {attack: spoil(good, attack) for attack in sorted(attacks)}
                Shopper._bad |= {"expired": expired, "wrong_audience": other}
                time.sleep(1.5)  # until the one has expired
                Shopper._token = good
                Shopper._renew_at_s = time.monotonic() + RENEW_S

    @task(25)
    def browse(self) -> None:
        self.client.get("/products")

    @task(20)
    def order(self) -> None:
        if time.monotonic() > Shopper._renew_at_s:  # the others use the old one meanwhile
            Shopper._renew_at_s = time.monotonic() + AGAIN_S
            reply = self.client.post("/login", json=ALICE)
            if reply.ok:
                Shopper._token, Shopper._renew_at_s = reply.json()["token"], time.monotonic() + RENEW_S
        self.client.post("/orders", json=BASKET, headers={"Authorization": f"Bearer {self._token}"})

    @task(55)
    def attack(self) -> None:
        why = random.choice(list(self._bad))
        chaos_locust.must_refuse(self.client, "POST", "/orders", self._bad[why], why, json=BASKET)
