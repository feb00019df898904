"""The locustfile of a plan without one: it sends the plan's `requests`, by default `GET /`."""

from locust import FastHttpUser, task

import chaos_locust

chaos_locust.register()


class PlanUser(FastHttpUser):
    @task
    def get(self) -> None:
        self.client.get("/")
