"""What the shop's users feel when a process of it is killed, stopped or starved; and that it comes back."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import psutil
import psycopg
import pytest

import chaos_locust

RESTARTED_S = 1.5  # the supervisor waits so long before it starts anew what has died


def identities(shop) -> dict[str, tuple[int, float]]:
    """(pid, start time) of each of the shop's processes; none for what is gone."""
    found = {}
    for name in shop.addresses:
        try:
            pid = shop.pid(name)
            found[name] = (pid, psutil.Process(pid).create_time())
        except (FileNotFoundError, psutil.NoSuchProcess):
            continue
    return found


def ended(process: psutil.Process) -> bool:
    """One that nobody has waited for yet has ended too."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def works(shop) -> bool:
    """Where the shop itself may be gone."""
    return status_of(shop, shop.order) == 201


def crashes(before: dict[str, tuple[int, float]], after: dict[str, tuple[int, float]]) -> list[str]:
    return [name for name in before if after.get(name) != before[name]]


def status_of(shop, order: Callable[[], Any]) -> int | None:
    """None: it got no answer."""
    try:
        return int(order().status_code)
    except httpx.HTTPError:
        return None


@contextmanager
def database(shop) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**shop.role(), dbname="shop", connect_timeout=5) as connection:
        connection.autocommit = True
        yield connection


def in_use(shop) -> float:
    """Of the shop's connections to its database."""
    lines = shop.http.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("shop_database_slots_in_use")).split()[1])


@pytest.mark.parametrize("name", ["payments", "identity", "postgres"])
def test_a_killed_service_is_noticed_and_its_downtime_is_measured(shop, until, fault, name) -> None:
    """Its own address is asked all the time; of the shop's six processes this one alone was replaced."""
    host, port = shop.addresses[name].split(":")

    def answers() -> bool:
        if name == "postgres":
            try:
                with database(shop) as connection:
                    return connection.execute("SELECT 1").fetchone() == (1,)
            except psycopg.OperationalError:
                return False
        try:
            return bool(httpx.get(f"http://{host}:{port}/health", timeout=1, trust_env=False).is_success)
        except httpx.HTTPError:
            return False

    def used() -> bool:
        if name == "identity":
            login = {"user": "bob", "password": "builder"}
            return status_of(shop, lambda: shop.http.post("/login", json=login)) == 200
        return works(shop)

    assert until(lambda: answers() and used() and shop.part(name)["ok"])
    before, process = identities(shop), psutil.Process(shop.pid(name))
    with fault("kill", name):
        killed_s = time.monotonic()
        assert ended(process)
        assert not answers()
    failed = 0
    while not answers():
        failed += not used()
        assert time.monotonic() - killed_s < 20
    downtime_s = time.monotonic() - killed_s
    assert failed > 0, "its loss was noticed"
    assert downtime_s > 0.9 * RESTARTED_S
    assert until(lambda: shop.part(name)["ok"] and used(), 20)
    assert crashes(before, identities(shop)) == [name]


def test_no_fault_of_a_link_and_no_spike_crashes_anything_and_a_planted_crash_is_counted(
    shop, until, fault
) -> None:
    """Who runs is known by pid and start time, for each fault by itself."""
    assert until(lambda: works(shop))
    shop.login("alice")
    crashed: dict[str, list[str]] = {}
    statuses: Counter[int | None] = Counter()

    def spike(requests: int) -> None:
        with ThreadPoolExecutor(12) as pool:
            statuses.update(pool.map(lambda _: status_of(shop, shop.order), range(requests)))

    def counted(what: str, requests: int, *context: Any) -> None:
        before = identities(shop)
        with ExitStack() as acting:
            for each in context:
                acting.enter_context(each)
            spike(requests)
        crashed[what] = crashes(before, identities(shop))

    counted("a spike", 120)
    assert statuses[None] == 0, "every request of the spike was answered"
    counted("slow", 24, shop.toxic("postgres", "latency", latency=300))
    counted("down", 24, shop.down("payments"))
    counted("black hole", 24, shop.toxic("cache", "timeout", timeout=0))
    counted("reset", 24, shop.toxic("postgres", "reset_peer", timeout=100))
    assert not any(crashed.values()), crashed
    assert statuses[500] == 0
    before = identities(shop)
    os.kill(shop.pid("payments"), signal.SIGKILL)
    assert until(lambda: crashes(before, identities(shop)) == ["payments"])
    assert until(lambda: works(shop), 20)


@pytest.mark.parametrize(("number", "lost"), [(signal.SIGTERM, 0), (signal.SIGKILL, 5)])
def test_an_orderly_stop_answers_what_is_under_way_and_a_hard_one_loses_it(shop, until, number, lost) -> None:
    """Five orders wait for a slow database when the shop gets the signal."""
    assert until(lambda: works(shop), 20)
    headers = shop.login("alice")
    host, _, port = shop.ready["shop"].partition("//")[2].partition(":")

    def order(key: str) -> int | None:
        link = http.client.HTTPConnection(host, int(port), timeout=10)
        body = {"product_id": 8, "quantity": 1, "idempotency_key": key}
        try:
            link.request("POST", "/orders", json.dumps(body), {**headers, "Content-Type": "application/json"})
            return link.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            link.close()

    keys = [f"{number.name}-{each}-{time.monotonic()}" for each in range(5)]
    with shop.toxic("postgres", "latency", latency=400), ThreadPoolExecutor(5) as pool:
        replies = [pool.submit(order, key) for key in keys]
        assert until(lambda: in_use(shop) == 5, every_s=0.01)
        os.kill(shop.pid("shop"), number)
        answers = [reply.result() for reply in replies]
    assert answers.count(None) == lost, answers
    assert set(answers) <= {None, 201, 503}
    assert until(lambda: works(shop), 20)


def test_a_dead_child_stays_as_long_as_nobody_waits_for_it_and_is_reaped_then(shop, until, tmp_path) -> None:
    """The supervisor is stopped, so that it cannot; it goes on, and nothing defunct is left."""
    assert until(lambda: works(shop), 20)
    pidfile = tmp_path / "supervisor.pid"
    pidfile.write_text(str(shop.supervisor.pid))
    dead = psutil.Process(shop.pid("payments"))

    def defunct() -> list[int]:
        children = psutil.Process(shop.supervisor.pid).children()
        return [child.pid for child in children if child.status() == psutil.STATUS_ZOMBIE]

    assert defunct() == []
    with chaos_locust.inject("pause", target="it", targets={"it": {"pidfile": str(pidfile)}}):
        dead.kill()
        assert until(lambda: defunct() == [dead.pid])
        assert not until(lambda: defunct() == [], 1.0), "nobody has waited for it"
    assert until(lambda: defunct() == [] and not dead.is_running())
    assert until(lambda: works(shop), 20)
    assert shop.pid("payments") != dead.pid


def test_the_loss_of_the_database_goes_through_all_that_need_it_in_order(shop, until, fault) -> None:
    """Postmaster, its back-ends, the shop's readiness, its orders; and back in the reverse order."""
    assert until(lambda: works(shop), 20)
    postmaster = psutil.Process(shop.pid("postgres"))
    backends, shop_before = postmaster.children(), identities(shop)["shop"]
    begun_s = time.time()
    with fault("kill", "postgres"):
        assert until(lambda: all(map(ended, backends)), every_s=0.01)
    assert until(lambda: shop.http.get("/health/ready").status_code == 503)
    assert shop.order().status_code == 503
    assert until(lambda: shop.http.get("/health/ready").status_code == 200, 20)
    assert until(lambda: works(shop), 20)
    assert identities(shop)["shop"] == shop_before, "what depends on it says so, and lives on"

    def logged() -> list[tuple[str, int]]:
        lines = [json.loads(line) for line in (shop.state / "access.log").read_text().splitlines()]
        return [(line["path"], line["status"]) for line in lines if line["started"] >= begun_s]

    assert until(lambda: ("/orders", 201) in logged())
    seen = logged()
    chain = [("/health/ready", 503), ("/orders", 503), ("/health/ready", 200), ("/orders", 201)]
    assert [seen.index(each) for each in chain] == sorted(seen.index(each) for each in chain)


def test_out_of_descriptors_nobody_new_is_served_until_there_are_some_again(
    shop, until, fault, tmp_path
) -> None:
    """The kernel's EMFILE is seen in the shop's own calls. Who was connected before is served on."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    assert until(lambda: works(shop), 20)
    pid, calls = shop.pid("shop"), tmp_path / "calls"
    limit = psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)
    host, _, port = shop.ready["shop"].partition("//")[2].partition(":")

    def connected() -> http.client.HTTPConnection:
        link = http.client.HTTPConnection(host, int(port), timeout=5)
        opened.callback(link.close)
        return link

    def status(link: http.client.HTTPConnection) -> int | None:
        """None: it got no answer."""
        try:
            link.request("GET", "/products")
            reply = link.getresponse()
            reply.read()
            return reply.status
        except (OSError, http.client.HTTPException):
            return None

    with ExitStack() as opened:
        old = connected()
        assert status(old) == 200
        trace = ["strace", "-f", "-qq", "-e", "trace=accept,accept4,socket", "-o", str(calls), "-p", str(pid)]
        tracer = subprocess.Popen(trace)
        try:
            assert until(lambda: status(connected()) == 200 and calls.exists() and calls.stat().st_size > 0)
            with fault("file_descriptors", "shop", spare=0):
                assert psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)[0] < limit[0]
                assert until(lambda: status(connected()) is None)
                assert until(lambda: "EMFILE" in calls.read_text())
                assert status(old) == 200
            assert psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE) == limit
        finally:
            tracer.terminate()
            tracer.wait()
        assert until(lambda: status(connected()) == 200)
    assert until(lambda: works(shop))
    assert shop.pid("shop") == pid


def test_a_write_that_is_cut_off_leaves_the_old_or_the_new_content(shop, until, fault) -> None:
    """kill -9 of the database while a value of 2 MB is written over and over, each with its own digest."""
    assert until(lambda: works(shop), 20)
    acknowledged, begun, over = [0], [0], threading.Event()

    def value(number: int) -> str:
        return hashlib.sha256(str(number).encode()).hexdigest() * 32_000

    def write() -> None:
        with database(shop) as connection:
            while not over.is_set():
                begun.append(begun[-1] + 1)
                text = value(begun[-1])
                try:
                    connection.execute("UPDATE torn SET number = %s, content = %s", (begun[-1], text))
                except psycopg.OperationalError:
                    return
                acknowledged.append(begun[-1])

    with psycopg.connect(shop.ready["env"]["SHOP_POSTGRES"]) as connection:  # the shop may make no tables
        connection.execute("CREATE TABLE torn AS SELECT 0 AS number, %s::text AS content", (value(0),))
        connection.execute("ALTER TABLE torn OWNER TO shop")
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            assert until(lambda: len(acknowledged) > 3, 30, every_s=0.01)
            with fault("kill", "postgres"):
                writer.result(20)
        finally:
            over.set()
    assert until(lambda: works(shop), 30)
    with database(shop) as connection:
        row = connection.execute("SELECT number, content FROM torn").fetchone()
        connection.execute("DROP TABLE torn")
    assert row is not None
    assert row[0] in (acknowledged[-1], begun[-1])
    assert row[1] == value(row[0]), "never a mix"


def test_after_a_cut_the_ledger_is_what_was_acknowledged_and_no_order_is_a_half_one(
    shop, until, fault
) -> None:
    """The database is cut off while orders are placed: their calls are cancelled at the shop's own limit.

    After it those that were refused are sent again with their keys. Then the ledger is exactly what was
    acknowledged: the stock, the charges and the shipments say the same, and no connection is kept.
    """
    product, prefix = 9, f"cut-{time.monotonic()}"

    def stock() -> int:
        return int(shop.sql(f"SELECT stock FROM products WHERE id = {product}"))

    def place(number: int) -> str | None:
        reply = shop.order(product_id=product, idempotency_key=f"{prefix}-{number}")
        return str(reply.json()["id"]) if reply.is_success else None

    assert until(lambda: works(shop), 20)
    before = stock()
    placed: dict[int, str | None] = {}
    with ThreadPoolExecutor(4) as pool:
        first = [pool.submit(place, number) for number in range(4)]
        with fault("timeout", "postgres"):
            cut_s = time.monotonic()
            assert until(lambda: shop.order(product_id=1).status_code == 503, every_s=0.01)
            noticed_s = time.monotonic() - cut_s
            second = [pool.submit(place, number) for number in range(4, 12)]
            placed = {number: reply.result() for number, reply in enumerate([*first, *second])}
        healed_s = time.monotonic()
        assert until(lambda: works(shop), every_s=0.01)
        recovered_s = time.monotonic() - healed_s
    assert None in placed.values(), "some of them met the cut"
    for number, order_id in placed.items():
        if order_id is None:
            assert until(lambda number=number: place(number) is not None)
            placed[number] = place(number)
    assert noticed_s < 10
    assert recovered_s < 10
    with database(shop) as connection:
        query = "SELECT id, quantity FROM orders WHERE product_id = %s AND idempotency_key LIKE %s"
        ledger = connection.execute(query, (product, f"{prefix}-%")).fetchall()
    assert sorted(str(row[0]) for row in ledger) == sorted(filter(None, placed.values()))
    assert before - stock() == sum(row[1] for row in ledger) == 12
    assert [len(shop.charges(f"alice:{prefix}-{number}")) for number in placed] == [1] * 12
    unshipped = "SELECT count(*) FROM orders o LEFT JOIN shipments s ON s.order_id = o.id WHERE s IS NULL"
    assert until(lambda: shop.sql(f"{unshipped} AND product_id = {product}") == 0)
    assert until(lambda: in_use(shop) == 0)


def test_doubled_packets_place_no_order_twice(shop, until) -> None:
    """2 of 100 packets to and from the shop come twice; each key is one order and one charge."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to double packets")
    shop.login("alice")
    address, prefix = shop.ready["shop"].partition("//")[2], f"doubled-{time.monotonic()}"
    target = {"it": {"addresses": [address]}}
    for share in ("0.5%", "2%"):
        with chaos_locust.inject("packet_duplicate", target="it", targets=target, share=share) as injected:
            numbers = iter(range(2000))

            def proved() -> bool:
                reply = shop.order(idempotency_key=f"{prefix}-{share}-{next(numbers)}")  # noqa: B023
                return reply.status_code != 201 or (
                    injected.effect is not None and injected.effect.mechanism is True
                )

            assert until(proved, 30, every_s=0)
        assert injected.effect is not None
        assert injected.effect.mechanism is True, injected.effect
        sent = next(numbers)
        like = f"idempotency_key LIKE '{prefix}-{share}-%'".replace("%-", "\\%-")
        assert shop.sql(f"SELECT count(*) FROM orders WHERE {like}") == sent
        references = [f"alice:{prefix}-{share}-{number}" for number in range(sent)]
        charged = Counter(charge["reference"] for charge in all_charges(shop))
        assert [charged[reference] for reference in references] == [1] * sent


def all_charges(shop) -> list[dict[str, Any]]:
    charges = httpx.get(f"http://{shop.addresses['payments']}/charges", trust_env=False).json()["charges"]
    return list(charges)
