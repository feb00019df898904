"""What a service makes of a wall clock that is wrong, and that limits of time do not follow it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

import chaos_locust
from chaos_locust import ChaosExperiment
from chaos_locust.injection import Injection
from tests.crash.cell import NotHere
from tests.crash.cells_clock import Clocked, clocked

from .conftest import ROOT, until

LATE_S = 0.5
"""A machine that is busy may wake a waiting client so much late."""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def server() -> Iterator[Clocked]:
    try:
        with clocked() as found:
            yield found
    except NotHere as reason:
        pytest.skip(str(reason))


def targets(server: Clocked) -> dict[str, Any]:
    return {"web": {"clock": str(server.clock), "pidfile": str(server.pidfile)}}


@pytest.mark.parametrize("minutes", [5, -5])
def test_an_offset_is_told_to_the_second(server: Clocked, minutes: int) -> None:
    """By what the server's own Date header says; without the fault nothing is told."""
    offset = f"{minutes * 60}s"
    with chaos_locust.inject("clock_skew", target="web", targets=targets(server), offset=offset) as injected:
        until(lambda: injected.effect is not None and injected.effect.mechanism is True, "it is told")
        assert injected.effect is not None
        figures = [float(each) for each in re.findall(r"(\d+(?:\.\d+)?) ?s", injected.effect.detail)]
        assert any(abs(each - 300) <= 1 for each in figures), injected.effect
        assert ("behind" in injected.effect.detail) == (minutes < 0), injected.effect
    assert server.is_ahead(0)


def test_the_experiment_moves_the_clock_of_its_service_alone(server: Clocked) -> None:
    cluster = {
        "name": "a small service",
        "host": f"http://127.0.0.1:{server.port}",
        "targets": targets(server),
        "load": {"soak": {"rate": "20/s", "for": "60s"}},
        "warm_up": "2s",
        "baseline": "8s",
        "objectives": ["error_rate < 50% during run"],
    }
    (fault,) = ChaosExperiment.clock_skew(cluster, "web", offset="120s").plan.faults
    ours_s = time.time() - time.monotonic()
    assert server.is_ahead(0)
    with chaos_locust.inject(fault, targets=targets(server)):
        assert server.is_ahead(120)
        assert time.time() - time.monotonic() == pytest.approx(ours_s, abs=0.5)
    assert server.is_ahead(0)


# -- the shop -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    try:
        with clocked():
            pass
    except NotHere as reason:
        pytest.skip(str(reason))
    ready = tmp_path_factory.mktemp("shop") / "ready.json"
    command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free", "--clock"]
    process = subprocess.Popen([*command, "--ready-file", str(ready)], stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        until(lambda: ready.exists() or process.poll() is not None, "the shop is ready", 60)
        yield json.loads(ready.read_text())["env"]
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def skew(shop: dict[str, str]) -> Callable[[str], Injection]:
    target = {"clock": shop["SHOP_CLOCK"], "pidfile": f"{shop['SHOP_STATE']}/shop.pid"}

    def make(offset: str) -> Injection:
        return chaos_locust.inject("clock_skew", target="shop", targets={"shop": target}, offset=offset)

    return make


class Customer:
    """Orders, and everything that the shop has told of its time."""

    def __init__(self, shop: dict[str, str]) -> None:
        self._shop = shop
        self.http = httpx.Client(base_url=shop["SHOP_URL"], trust_env=False, timeout=10)
        login = {"user": "alice", "password": "wonderland", "expires_in": 3600}
        token = self.http.post("/login", json=login).raise_for_status().json()["token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def order(self) -> int:
        body = {"product_id": 1, "quantity": 1}
        return self.http.post("/orders", json=body, headers=self._headers).status_code

    def ahead_s(self) -> float:
        """By the shop's own Date header, which has whole seconds."""
        told = self.http.get("/health/live").headers["date"]
        return parsedate_to_datetime(told).timestamp() - time.time()

    def durations(self) -> tuple[float, float]:
        """Seconds of all orders together, and how many there were, by the shop's own metrics."""
        found = {}
        for line in self.http.get("/metrics").text.splitlines():
            for name in ("sum", "count"):
                if line.startswith(f'shop_request_seconds_{name}{{method="POST",route="/orders"}}'):
                    found[name] = float(line.split()[-1])
        return found["sum"], found["count"]

    def logged_s(self, started_after: int) -> list[float]:
        """What the access log makes of the orders after so many lines: end less start."""
        lines = (Path(self._shop["SHOP_STATE"]) / "access.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines[started_after:]]
        return [each["ended"] - each["started"] for each in entries if each["path"] == "/orders"]


@pytest.fixture
def customer(shop: dict[str, str]) -> Iterator[Customer]:
    found = Customer(shop)
    until(lambda: found.order() == 201, "orders are placed")
    yield found
    found.http.close()


def test_a_skewed_clock_makes_nobody_wait_and_all_is_as_before(
    customer: Customer, skew: Callable[[str], Injection]
) -> None:
    """Five minutes, within what the token allows: no order fails, none comes to a limit of time."""

    def slowest_s() -> float:
        before_s, count = customer.durations()
        assert [customer.order() for _ in range(20)] == [201] * 20
        after_s, new_count = customer.durations()
        assert new_count - count == 20
        assert after_s > before_s
        return (after_s - before_s) / 20

    usual_s = slowest_s()
    with skew("300s"):
        until(lambda: customer.ahead_s() == pytest.approx(300, abs=3), "its clock is ahead")
        ahead_s = slowest_s()
    until(lambda: customer.ahead_s() == pytest.approx(0, abs=3), "its clock is right again")
    assert ahead_s < usual_s + 0.3, "less than the shortest limit that the shop has"
    assert slowest_s() < usual_s + 0.3


def test_a_clock_that_jumps_back_in_mid_request_makes_no_duration_negative(
    customer: Customer, shop: dict[str, str], skew: Callable[[str], Injection]
) -> None:
    """Orders are under way all the time. The shop's durations and limits are those of a clock that only goes
    forward; its access log has two times of day, and there the jump is found."""
    lines = len((Path(shop["SHOP_STATE"]) / "access.log").read_text().splitlines())
    over, statuses = threading.Event(), list[int]()
    seen = [customer.durations()]

    def shopping() -> None:
        own = Customer(shop)
        while not over.is_set():
            statuses.append(own.order())
        own.http.close()

    api = httpx.Client(base_url=shop["PROXY_API"], trust_env=False)
    slow = {"name": "slow", "type": "latency", "stream": "downstream", "attributes": {"latency": 200}}
    api.post("/proxies/postgres/toxics", json=slow).raise_for_status()
    try:
        with ThreadPoolExecutor(3) as pool:
            shoppers = [pool.submit(shopping) for _ in range(3)]
            try:
                with skew("300s"):
                    until(lambda: customer.ahead_s() == pytest.approx(300, abs=3), "its clock is ahead")
                    until(lambda: len(statuses) > 3, "orders are placed")
                    seen.append(customer.durations())
                count = len(statuses)
                until(lambda: len(statuses) > count + 6, "orders are placed after the jump back")
            finally:
                over.set()
            for each in shoppers:
                each.result()
    finally:
        api.delete("/proxies/postgres/toxics/slow").raise_for_status()
        api.close()
    seen.append(customer.durations())
    assert set(statuses) <= {201, 503}
    assert statuses.count(201) > 0.8 * len(statuses)
    for (before_s, before), (after_s, after) in pairwise(seen):
        assert 0.2 < (after_s - before_s) / (after - before) < 10, "durations stay those of real time"
    until(lambda: min(customer.logged_s(lines)) < -290, "its times of day run backwards")


def test_limits_of_time_are_kept(customer: Customer, shop: dict[str, str]) -> None:
    """100 ms, 1 s and 5 s: of clients that wait for a black hole, and of the database for a statement."""

    def gives_up_after_s(limit_s: float) -> float:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            begun_s = time.monotonic()
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(address, timeout=limit_s, trust_env=False)
            return time.monotonic() - begun_s

    def cancelled_after_s(limit_s: float) -> float:
        options = f"-c statement_timeout={int(1000 * limit_s)}"
        with psycopg.connect(shop["SHOP_POSTGRES"], options=options) as connection:
            begun_s = time.monotonic()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("SELECT pg_sleep(30)")
            return time.monotonic() - begun_s

    limits_s = (0.1, 1.0, 5.0)
    with ThreadPoolExecutor(6) as pool:
        for act in (gives_up_after_s, cancelled_after_s):
            for limit_s, took_s in zip(limits_s, pool.map(act, limits_s), strict=True):
                assert limit_s <= took_s < 1.1 * limit_s + LATE_S
