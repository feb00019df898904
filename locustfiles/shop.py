"""Shoppers of the demo shop: they browse, look at a product, and order with a token.

locust -f locustfiles/shop.py --headless --chaos-plan locustfiles/plans/spike.yaml
"""

import random

from gevent.lock import Semaphore
from locust import FastHttpUser, between, task

import chaos_locust

chaos_locust.register()


class Shopper(FastHttpUser):
    wait_time = between(0.5, 1.5)  # only in closed workloads: with a rate, the schedule decides

    _token = ""
    _logging_in = Semaphore()

    def on_start(self) -> None:
        with self._logging_in:  # one login serves all shoppers of a worker
            if not Shopper._token:
                reply = self.client.post("/login", json={"user": "alice", "password": "wonderland"})
                Shopper._token = reply.json()["token"] if reply.ok else ""

    @task(60)
    def browse(self) -> None:
        self.client.get("/products")

    @task(25)
    def look(self) -> None:
        self.client.get(f"/products/{random.randint(1, 50)}", name="/products/[id]")

    @task(15)
    def order(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        basket = {"product_id": random.randint(1, 50), "quantity": 1}
        self.client.post("/orders", json=basket, headers=headers)
