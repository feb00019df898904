"""Shoppers of the demo shop: they browse, look at a product, and order with a token.

locust -f locustfiles/shop.py --headless --chaos-plan locustfiles/plans/spike.yaml
"""

import random
import time

from gevent.lock import Semaphore
from locust import FastHttpUser, between, task

import chaos_locust

chaos_locust.register()

RENEW_S = 600  # a token lasts a quarter of an hour
AGAIN_S = 5  # after a login that failed


class Shopper(FastHttpUser):
    wait_time = between(0.5, 1.5)  # only in closed workloads: with a rate, the schedule decides

    _token, _renew_at_s = "", 0.0
    _logging_in = Semaphore()

    def on_start(self) -> None:
        with self._logging_in:  # one login serves all shoppers of a worker
            if not Shopper._token:
                self.log_in()

    def log_in(self) -> None:
        Shopper._renew_at_s = time.monotonic() + AGAIN_S
        reply = self.client.post("/login", json={"user": "alice", "password": "wonderland"})
        if reply.ok:
            Shopper._token = reply.json()["token"]
            Shopper._renew_at_s = time.monotonic() + RENEW_S

    def headers(self) -> dict[str, str]:
        """The first who finds the token old renews it; the others use it meanwhile."""
        if time.monotonic() > Shopper._renew_at_s:
            self.log_in()
        return {"Authorization": f"Bearer {self._token}"}

    @task(60)
    def browse(self) -> None:
        self.client.get("/products")

    @task(25)
    def look(self) -> None:
        self.client.get(f"/products/{random.randint(1, 50)}", name="/products/[id]")

    @task(15)
    def order(self) -> None:
        basket = {"product_id": random.randint(1, 50), "quantity": 1}
        self.client.post("/orders", json=basket, headers=self.headers())
