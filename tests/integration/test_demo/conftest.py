"""A real shop, started as users start it, and a hand for its proxies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import redis

import chaos_locust

PASSWORDS = {
    "alice": "wonderland",
    "bob": "builder",
    "mia": "prices-in-pence",
    "audrey": "reads-every-line-1889",
    "ada": "keeps-the-engine-1843",
    "canary": "sings-in-the-mine-1911",
}
RENEW_S = 600  # tokens last a quarter of an hour
START_S = 60


def until(condition: Callable[[], bool], timeout_s: float = 10, every_s: float = 0.1) -> bool:
    """Whether the condition came true within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


class RunningShop:
    """One `demo serve` process and clients for what it runs."""

    def __init__(self, defect: str | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="demo-test-")
        self.ready_file = Path(self.folder.name) / "ready.json"
        self.output = Path(self.folder.name) / "output"
        command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free"]
        command += ["--ready-file", str(self.ready_file), *(["--defect", defect] if defect else [])]
        with self.output.open("wb") as output:
            self.supervisor = subprocess.Popen(command, stdout=output, stderr=output)
        started = until(lambda: self.ready_file.exists() or self.supervisor.poll() is not None, START_S)
        if not started or not self.ready_file.exists():
            self.supervisor.kill()
            raise RuntimeError(self.output.read_text())
        self.ready: dict[str, Any] = json.loads(self.ready_file.read_text())
        self.state = Path(self.ready["env"]["SHOP_STATE"])
        self.addresses = {p["name"]: p["address"] for p in self.ready["processes"]}
        self.http = httpx.Client(base_url=self.ready["shop"], timeout=10, trust_env=False)
        self.api = httpx.Client(base_url=self.ready["proxy_api"], timeout=10, trust_env=False)
        self._tokens: dict[str, tuple[str, float]] = {}

    def pid(self, name: str) -> int:
        return int((self.state / f"{name}.pid").read_text())

    def processes(self) -> list[psutil.Process]:
        """Everything that the shop consists of, the reaper and PostgreSQL's back-ends too."""
        return psutil.Process(self.supervisor.pid).children(recursive=True)

    def login(self, user: str) -> dict[str, str]:
        """Headers of a user."""
        token, until_s = self._tokens.get(user, ("", 0.0))
        if time.monotonic() > until_s:
            reply = self.http.post("/login", json={"user": user, "password": PASSWORDS[user]})
            token = reply.raise_for_status().json()["token"]
            self._tokens[user] = (token, time.monotonic() + RENEW_S)
        return {"Authorization": f"Bearer {token}"}

    def order(self, user: str = "alice", product_id: int = 1, **more: Any) -> httpx.Response:
        body = {"product_id": product_id, "quantity": 1, **more}
        return self.http.post("/orders", json=body, headers=self.login(user))

    def read_order(self, order_id: str, user: str = "alice") -> httpx.Response:
        return self.http.get(f"/orders/{order_id}", headers=self.login(user))

    def orders_work(self) -> bool:
        return self.order().status_code == 201

    def charges(self, reference: str) -> list[dict[str, Any]]:
        """The payment service's ledger for a reference, asked directly."""
        reply = httpx.get(f"http://{self.addresses['payments']}/charges", trust_env=False)
        return [c for c in reply.json()["charges"] if c["reference"] == reference]

    def part(self, name: str) -> dict[str, Any]:
        part: dict[str, Any] = self.http.get("/health/ready").json()["parts"][name]
        return part

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """A proxy disabled."""
        self.api.post(f"/proxies/{name}", json={"enabled": False}).raise_for_status()
        try:
            yield
        finally:
            self.api.post(f"/proxies/{name}", json={"enabled": True}).raise_for_status()

    @contextmanager
    def toxic(self, name: str, kind: str, stream: str = "downstream", **attributes: int) -> Iterator[None]:
        body = {"name": "test", "type": kind, "stream": stream, "attributes": attributes}
        self.api.post(f"/proxies/{name}/toxics", json=body).raise_for_status()
        try:
            yield
        finally:
            self.api.delete(f"/proxies/{name}/toxics/test").raise_for_status()

    def role(self, user: str = "shop") -> dict[str, Any]:
        """A role's way to the database, not through the proxy, for any driver."""
        host, port = self.addresses["postgres"].split(":")
        lines = (self.state / "pgpass").read_text().splitlines()
        passwords = dict(line.split(":")[-2:] for line in lines)
        return {"host": host, "port": port, "user": user, "password": passwords[user]}

    def cache(self) -> redis.Redis:
        """The administrator's, not through the proxy."""
        return redis.Redis.from_url(self.ready["env"]["SHOP_CACHE"], protocol=2, socket_timeout=2, retry=None)

    def sql(self, query: str) -> Any:
        """The first value of a query, asked of PostgreSQL directly."""
        with psycopg.connect(**self.role(), dbname="shop", connect_timeout=5) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def restart(self, *names: str) -> None:
        """Kill processes of it, and wait until they are there again and all answers."""
        before = {name: self.pid(name) for name in names}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

        def there() -> bool:
            pids = [self.state / f"{name}.pid" for name in names]
            return all(file.exists() for file in pids) and all(
                self.pid(name) != pid for name, pid in before.items()
            )

        assert until(there)
        assert until(self.is_ready, 20)

    def is_ready(self) -> bool:
        try:
            reply = self.http.get("/health/ready")
        except httpx.HTTPError:
            return False
        return reply.is_success and all(part["ok"] for part in reply.json()["parts"].values())

    def plant(self, lapse: str | None) -> None:
        """As if it had been started with that lapse, where the shop or the identity service has it."""
        settings = json.loads((self.state / "settings.json").read_text())
        (self.state / "settings.json").write_text(json.dumps({**settings, "defect": lapse}))
        (self.state / "identity-accounts.json").unlink()
        self._tokens.clear()
        self.restart("identity", "shop")

    def stop(self) -> int:
        """SIGTERM, as a user would; the exit code."""
        self.http.close()
        self.api.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.supervisor.pid, signal.SIGTERM)
        try:
            return self.supervisor.wait(30)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            raise
        finally:
            self.folder.cleanup()


@pytest.fixture(scope="module")
def shop() -> Iterator[RunningShop]:
    """A healthy shop for all tests of a file."""
    running = RunningShop()
    yield running
    assert running.stop() == 0


@pytest.fixture
def start_shop() -> Iterator[Callable[..., RunningShop]]:
    """Starts shops that are ended after the test, whatever became of them."""
    started: list[RunningShop] = []

    def start(defect: str | None = None) -> RunningShop:
        started.append(RunningShop(defect))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture(name="until", scope="session")
def until_fixture() -> Callable[..., bool]:
    """Test files cannot import from here, so they get it as a fixture."""
    return until


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def fault(shop) -> Callable[..., Any]:
    """A fault on one of the shop's parts, by its kind."""

    def make(kind: str, target: str, **keys: Any) -> Any:
        part = {"pidfile": str(shop.state / f"{target}.pid")}
        if target != "shop":
            part["proxy"] = target
        if target == "cache":
            part["redis"] = shop.ready["env"]["SHOP_CACHE"]
        if target == "postgres":
            part["postgres"] = shop.ready["env"]["SHOP_POSTGRES"]
        return chaos_locust.inject(
            kind, target=target, targets={target: part}, proxy_api=shop.ready["proxy_api"], **keys
        )

    return make
