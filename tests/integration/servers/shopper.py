"""A locustfile whose requests can be told apart: the n-th arrival's request carries n as X-Request-Id.

At the end it writes to the file named by TRUTH_LOG, by its own clock, when each was sent and had ended.
"""

import itertools
import json
import os
import time
from pathlib import Path
from typing import ClassVar

from gevent.lock import Semaphore
from locust import FastHttpUser, events, task

import chaos_locust

chaos_locust.register()


class Shopper(FastHttpUser):
    _token = ""
    _logging_in = Semaphore()
    arrivals = itertools.count()
    log: ClassVar[list[tuple[int, float, float]]] = []

    def on_start(self) -> None:
        with self._logging_in:
            if not Shopper._token:
                alice = {"user": "alice", "password": "wonderland"}
                reply = self.client.post("/login", json=alice, headers={"X-Request-Id": "login"})
                Shopper._token = reply.json()["token"]

    @task
    def shop(self) -> None:
        index = next(Shopper.arrivals)
        headers = {"X-Request-Id": str(index), "Authorization": f"Bearer {self._token}"}
        sent_s = time.time()
        if index % 4 == 0:
            basket = {"product_id": index % 50 + 1, "quantity": 1}
            self.client.post("/orders", json=basket, headers=headers)
        elif index % 4 == 1:
            self.client.get(f"/products/{index % 50 + 1}", name="/products/[id]", headers=headers)
        else:
            self.client.get("/products", headers=headers)
        Shopper.log.append((index, sent_s, time.time()))


@events.quitting.add_listener
def write(**_: object) -> None:
    Path(os.environ["TRUTH_LOG"]).write_text(json.dumps(Shopper.log))
