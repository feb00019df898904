"""Shoppers whose tokens live a minute: a shop whose clock is two minutes ahead takes them for expired.

chaos-locust demo serve --clock, then chaos-locust run locustfiles/plans/clock-skew.yaml with its variables.
"""

import time

from gevent.lock import Semaphore
from locust import FastHttpUser, between, task

import chaos_locust

chaos_locust.register()

LOGIN = {"user": "alice", "password": "wonderland", "expires_in": 60}
RENEW_S = 20


class Shopper(FastHttpUser):
    wait_time = between(0.5, 1.5)

    _token, _logged_in_s = "", float("-inf")
    _logging_in = Semaphore()

    def token(self) -> str:
        """One for all shoppers of a worker, never older than a third of its life."""
        with self._logging_in:
            if time.monotonic() - Shopper._logged_in_s > RENEW_S:
                Shopper._token = self.client.post("/login", json=LOGIN).json()["token"]
                Shopper._logged_in_s = time.monotonic()
        return Shopper._token

    @task(75)
    def browse(self) -> None:
        self.client.get("/products")

    @task(25)
    def order(self) -> None:
        headers = {"Authorization": f"Bearer {self.token()}"}
        self.client.post("/orders", json={"product_id": 1, "quantity": 1}, headers=headers)
