"""What the shop and its sessions do while its PostgreSQL is in trouble; and that nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest
from psycopg.types.json import Json

from tests.crash.cells_postgres import LEFT

POOL_SIZE = 10
STATEMENT_LIMIT_S = 0.8  # that the shop's server has set

SOUND = """
SELECT (SELECT sum(10000000 - stock) FROM products) = (SELECT coalesce(sum(quantity), 0) FROM orders)
  AND (SELECT count(*) FROM orders) = (SELECT count(*) FROM outbox) + (SELECT count(*) FROM shipments)"""
COUNTS = """
SELECT (SELECT count(*) FROM orders), (SELECT sum(stock) FROM products),
  (SELECT count(*) FROM outbox) + (SELECT count(*) FROM shipments)"""
BLOCKED = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
OF_THE_SHOP = "FROM pg_stat_activity WHERE application_name = 'shop'"


@pytest.fixture(autouse=True)
def as_before(shop, until) -> Iterator[None]:
    """After each test: the settings, the books, nothing of ours, and the same shop that never restarted."""
    settings, pid = ask(shop, "SELECT name, setting FROM pg_settings ORDER BY name"), shop.pid("shop")
    yield
    assert until(shop.orders_work, 15)
    assert ask(shop, "SELECT name, setting FROM pg_settings ORDER BY name") == settings
    assert until(lambda: ask(shop, LEFT) == [])
    assert ask(shop, SOUND) == [(True,)]
    assert pid in (shop.pid("shop"), getattr(shop, "killed", None))


@contextmanager
def admin(shop, **settings: str) -> Iterator[psycopg.Connection]:
    """A session of the superuser, not behind the proxy."""
    given = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0", **settings}
    options = " ".join(f"-c {name}={value}" for name, value in given.items())
    with psycopg.connect(shop.ready["env"]["SHOP_POSTGRES"], autocommit=True, options=options) as session:
        yield session


def ask(shop, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with admin(shop) as session:
        return session.execute(query.encode(), values or None).fetchall()


def way(shop) -> dict[str, Any]:
    """How the shop gets to its database: behind the proxy, as its role."""
    host, _, port = shop.api.get("/proxies/postgres").json()["listen"].rpartition(":")
    return {**shop.role(), "host": host, "port": int(port)}


@contextmanager
def user(shop, **settings: str) -> Iterator[psycopg.Connection]:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    with psycopg.connect(
        **way(shop), dbname="shop", sslmode="disable", autocommit=True, options=options
    ) as session:
        yield session


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started_s = time.monotonic()
    result = action()
    return time.monotonic() - started_s, result


def canceled_s(session: psycopg.Connection, statement: str = "SELECT pg_sleep(20)") -> float:
    """How long it took to be cancelled; the quickest of some: a busy machine only ever adds to it."""

    def give_up() -> None:
        with pytest.raises(psycopg.errors.QueryCanceled):
            session.execute(statement.encode())

    return min(timed(give_up)[0] for _ in range(3))


def in_use(shop) -> float:
    lines = shop.http.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("shop_database_slots_in_use")).split()[1])


def pool_is_full_of_connections(shop) -> bool:
    return bool(ask(shop, f"SELECT count(*) {OF_THE_SHOP}")[0][0] >= POOL_SIZE)


def test_requests_wait_for_a_full_pool_and_all_are_served(shop, until, fault, record_property) -> None:
    """Twice as many as there are connections: none is refused, and those who wait come next."""
    order_id = shop.order().json()["id"]
    assert until(lambda: pool_is_full_of_connections(shop))
    usual_s = min(timed(lambda: shop.read_order(order_id))[0] for _ in range(5))
    most_used, most_sessions, seconds = 0.0, 0, list[float]()
    with (
        fault("latency", "postgres", latency="150ms"),
        ThreadPoolExecutor(2 * POOL_SIZE) as pool,
        admin(shop) as looking,
    ):
        for _ in range(5):
            asked = [pool.submit(timed, lambda: shop.read_order(order_id)) for _ in range(2 * POOL_SIZE)]
            while not all(each.done() for each in asked):
                most_used = max(most_used, in_use(shop))
                (sessions,) = looking.execute(f"SELECT count(*) {OF_THE_SHOP}".encode()).fetchone()
                most_sessions = max(most_sessions, sessions)
            replies = [each.result() for each in asked]
            assert [reply.status_code for _, reply in replies] == [200] * len(replies)
            seconds = sorted(took_s for took_s, _ in replies)
            if most_used == POOL_SIZE:
                break
    assert most_used == POOL_SIZE
    assert most_sessions <= POOL_SIZE + 2, "but for one that is made to take another's place"
    assert seconds[POOL_SIZE] >= 2 * 0.15, "those of the second half waited for those of the first"
    assert until(lambda: in_use(shop) == 0)
    record_property("longest_wait_s", round(seconds[-1] - 0.15, 3))
    record_property("throughput_per_s_before_and_then", (1 / usual_s, len(seconds) / seconds[-1]))


def test_a_statement_over_its_limit_ends_on_the_server_as_well(shop, until) -> None:
    with user(shop) as session:
        pid = session.info.backend_pid
        assert canceled_s(session) == pytest.approx(STATEMENT_LIMIT_S, rel=0.1)
        assert session.execute("SELECT pg_backend_pid()").fetchone() == (pid,)
        session.execute("SET statement_timeout = 300")
        assert canceled_s(session) == pytest.approx(0.3, rel=0.1)
    assert sleeping(shop) == 0


@pytest.mark.parametrize("cancels", [True, False])
def test_a_client_that_gives_up_has_its_statement_cancelled_or_it_runs_on(shop, until, cancels) -> None:
    """asyncpg, which the shop uses, tells the server. A client that only hangs up does not: that is seen."""

    async def give_up() -> None:
        session = await asyncpg.connect(
            **way(shop), database="shop", ssl=False, server_settings={"statement_timeout": "0"}
        )
        if cancels:
            with pytest.raises(TimeoutError):
                await session.execute("SELECT pg_sleep(30)", timeout=0.3)
            assert await session.fetchval("SELECT 1") == 1
            await session.close()
        else:
            under_way = asyncio.ensure_future(session.execute("SELECT pg_sleep(30)"))
            while not await asyncio.to_thread(sleeping, shop):
                await asyncio.sleep(0.02)
            session.terminate()
            await asyncio.gather(under_way, return_exceptions=True)

    asyncio.run(give_up())
    assert until(lambda: sleeping(shop) == 0, 3) == cancels
    ask(shop, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'")


def sleeping(shop) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
    return int(ask(shop, query)[0][0])


def test_statements_that_make_no_sense_any_more_are_told_and_their_connections_go_on(shop, until) -> None:
    """A column has another name: the shop's own SQL is wrong. It says which kind of error it is."""
    order_id = shop.order().json()["id"]
    at_work = f"SELECT pid, query_start {OF_THE_SHOP} AND query LIKE '%%LEFT JOIN shipments%%'"
    failed: dict[int, Any] = {}
    with admin(shop) as session:
        session.execute("ALTER TABLE orders RENAME COLUMN quantity TO how_many")
        try:
            for _ in range(20):
                seconds, reply = timed(lambda: shop.read_order(order_id))
                assert (reply.status_code, "UndefinedColumnError" in reply.text) == (503, True)
                assert seconds < 5
            failed = dict(session.execute(at_work.encode()).fetchall())
        finally:
            session.execute("ALTER TABLE orders RENAME COLUMN how_many TO quantity")

        def one_of_them_served() -> bool:
            assert shop.read_order(order_id).status_code == 200
            now = dict(session.execute(at_work.encode()).fetchall())
            return any(now.get(pid, since) > since for pid, since in failed.items())

        assert failed
        assert until(one_of_them_served)


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT nothing FROM products", "42703"),
        ("SELECT 1 / 0", "22012"),
        ("SELECT 'x'::integer", "22P02"),
    ],
)
def test_a_wrong_statement_is_named_and_the_same_connection_serves_the_next(
    shop, statement, sqlstate
) -> None:
    with user(shop) as session:
        pid = session.info.backend_pid
        with pytest.raises(psycopg.Error) as error:
            session.execute(statement.encode())
        assert error.value.sqlstate == sqlstate
        assert str(error.value).strip()
        assert session.execute("SELECT pg_backend_pid(), count(*) FROM products").fetchone() == (pid, 50)


def test_the_same_order_twice_is_refused_and_changes_nothing(shop) -> None:
    """By the shop, which is asked for another thing under a known key; and by the database itself."""
    first = shop.order(product_id=11, idempotency_key="once").json()
    counts = ask(shop, COUNTS)
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda _: shop.order(product_id=12, idempotency_key="once").status_code, range(8))
        )
    assert set(replies) == {422}
    with pytest.raises(psycopg.errors.UniqueViolation):
        take_and_place(shop, first["id"])
    assert ask(shop, COUNTS) == counts
    assert len(shop.charges("alice:once")) == 1


def take_and_place(shop, order_id: str) -> None:
    """Stock is taken and an order placed, in one transaction."""
    with user(shop) as session, session.transaction():
        session.execute("UPDATE products SET stock = stock - 1 WHERE id = 11")
        session.execute(
            b"INSERT INTO orders (id, user_name, idempotency_key, product_id, quantity, amount_cents)"
            b" VALUES (%s, 'bob', 'another', 11, 1, 775)",
            [order_id],
        )


def test_more_than_there_is_is_a_conflict_and_changes_nothing(shop) -> None:
    """The check of the table, met by two buyers at once: one of them gets it."""
    with admin(shop) as session, ThreadPoolExecutor(4) as pool:
        (stock,) = session.execute("SELECT stock FROM products WHERE id = 13").fetchone()
        session.execute(b"UPDATE products SET stock = 1 WHERE id = 13")
        try:
            statuses = sorted(pool.map(lambda _: shop.order(product_id=13).status_code, range(4)))
            assert statuses == [201, 409, 409, 409]
            assert session.execute("SELECT stock FROM products WHERE id = 13").fetchone() == (0,)
        finally:
            session.execute(b"UPDATE products SET stock = stock + %s WHERE id = 13", [stock - 1])


def test_an_order_that_fails_at_its_last_step_leaves_nothing_of_the_first(shop, until, fault) -> None:
    """Order, stock and outbox: the third fails."""
    counts = ask(shop, COUNTS)
    with fault("postgres_serialization_failures", "postgres", table="outbox", share="100%") as injection:
        replies = [shop.order(product_id=14) for _ in range(5)]
        assert {reply.status_code for reply in replies} == {503}
        assert "SerializationError" in replies[0].text
        assert ask(shop, COUNTS) == counts
        assert until(lambda: injection.effect is not None and injection.effect.use is True)
    assert shop.order(product_id=14).status_code == 201
    (orders, stock, due), (now_orders, now_stock, now_due) = counts[0], ask(shop, COUNTS)[0]
    assert (now_orders, now_stock, now_due) == (orders + 1, stock - 1, due + 1)


def test_without_the_right_to_write_the_shop_says_so_and_still_reads(shop) -> None:
    order_id = shop.order().json()["id"]
    with admin(shop) as session:
        pids = {pid for (pid,) in session.execute(f"SELECT pid {OF_THE_SHOP}".encode()).fetchall()}
        session.execute("REVOKE INSERT ON orders FROM shop")
        try:
            reply = shop.order()
            assert (reply.status_code, "InsufficientPrivilegeError" in reply.text) == (503, True)
            assert shop.read_order(order_id).status_code == 200
        finally:
            session.execute("GRANT INSERT ON orders TO shop")
        after = {pid for (pid,) in session.execute(f"SELECT pid {OF_THE_SHOP}".encode()).fetchall()}
    assert pids & after, "no connection was kept"


def test_a_database_that_only_reads_refuses_writes_alone(shop, fault) -> None:
    order_id = shop.order().json()["id"]
    with user(shop) as session:
        with fault("postgres_read_only", "postgres"):
            reply = shop.order()
            assert (reply.status_code, "ReadOnlySQLTransactionError" in reply.text) == (503, True)
            assert shop.read_order(order_id).status_code == 200
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                session.execute("UPDATE products SET stock = stock WHERE id = 1")
            assert session.execute("SELECT count(*) FROM products").fetchone() == (50,)
        session.execute("UPDATE products SET stock = stock WHERE id = 1")


def test_a_lowered_limit_for_statements_is_met_by_what_waits_and_by_nothing_else(
    shop, until, fault, record_property
) -> None:
    """Reviews cannot be read for a while. That is told at once, and whoever wants other things is served."""
    order_id = shop.order().json()["id"]
    with fault("postgres_lock_table", "postgres", table="reviews"):
        usual_s, reply = timed(lambda: shop.http.get("/products/41/reviews"))
        assert (reply.status_code, "QueryCanceledError" in reply.text) == (503, True)
        with fault("postgres_statement_timeout", "postgres", limit="150ms"):
            found_s = min(timed(lambda: shop.http.get("/products/42/reviews"))[0] for _ in range(3))
            others = [shop.read_order(order_id).status_code for _ in range(20)]
            assert others == [200] * 20
            assert shop.http.get("/products/42").status_code == 200
    assert 0.9 * 0.15 <= found_s < STATEMENT_LIMIT_S <= usual_s
    assert until(lambda: shop.http.get("/products/41/reviews").status_code == 200)
    record_property("found_out_after_s", round(found_s, 3))


def test_a_query_that_needs_more_disk_than_it_may_have_is_an_error_and_no_more(shop) -> None:
    with admin(shop, work_mem="64kB", temp_file_limit="512kB") as session:
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="temp_file_limit"):
            session.execute("SELECT * FROM reviews ORDER BY body, author")
        assert session.execute("SELECT count(*) FROM products").fetchone() == (50,)
    assert shop.http.get("/products").status_code == 200


def test_who_meets_a_locked_table_waits_as_long_as_he_was_told_and_goes_on_after_it(
    shop, until, fault, record_property
) -> None:
    count = "SELECT count(*) FROM orders"
    with user(shop, statement_timeout="0") as patient, ThreadPoolExecutor(1) as pool:
        with fault("postgres_lock_table", "postgres", table="orders") as injection, user(shop) as hasty:
            waiting = pool.submit(timed, lambda: patient.execute(count.encode()).fetchone())
            assert until(lambda: ask(shop, f"{BLOCKED} AND pid = {patient.info.backend_pid}") == [(1,)])
            hasty.execute("SET lock_timeout = 250")
            seconds, error = timed(lambda: lock_not_available(hasty, count))
            assert error == "55P03"
            assert seconds >= 0.9 * 0.25
            seconds, reply = timed(shop.order)
            assert reply.status_code == 503
            assert until(lambda: ask(shop, f"{BLOCKED} AND pid IN (SELECT pid {OF_THE_SHOP})") == [(0,)])
            assert not waiting.done()
            assert until(lambda: injection.effect is not None and injection.effect.use is True)
        waited_s, (rows,) = waiting.result(10)
    assert rows == ask(shop, count)[0][0]
    assert until(lambda: in_use(shop) == 0)
    record_property("waited_for_the_lock_s", round(waited_s, 3))


def lock_not_available(session: psycopg.Connection, statement: str) -> str | None:
    with pytest.raises(psycopg.errors.LockNotAvailable) as error:
        session.execute(statement.encode())
    return error.value.sqlstate


def plan_ms(session: psycopg.Connection, query: str, times: int = 5) -> tuple[float, str]:
    """(execution time, plan), of the quickest of some."""
    runs = []
    for _ in range(times):
        (found,) = session.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + query.encode()).fetchone()
        runs.append((found[0]["Execution Time"], str(Json(found[0]["Plan"]).obj)))
    return min(runs)


def test_without_its_index_a_query_is_slow_and_right(shop, fault, record_property) -> None:
    query = "SELECT count(*), sum(stars), min(author) FROM reviews WHERE product_id = 33"
    rows = ask(shop, query)
    with user(shop, statement_timeout="0") as session:
        usual_ms, plan = plan_ms(session, query)
        assert "reviews_by_product" in plan
        with fault("postgres_drop_index", "postgres", index="reviews_by_product"):
            slow_ms, plan = plan_ms(session, query)
            assert "Seq Scan" in plan
            assert "reviews_by_product" not in plan
            assert session.execute(query.encode()).fetchall() == rows
        assert slow_ms > 2 * usual_ms
        assert "reviews_by_product" in plan_ms(session, query)[1]
    record_property("times_as_slow", round(slow_ms / usual_ms, 1))


def test_with_little_memory_sorts_go_to_disk_and_are_right(shop, fault, record_property) -> None:
    order = "SELECT id, author FROM reviews WHERE id <= 20000 ORDER BY author, body, id"
    whole = f"SELECT md5(string_agg(id::text, ',')) FROM ({order}) sorted"
    summed = (
        "SELECT count(*), avg(stars)::float8 FROM reviews WHERE product_id = 8 AND id < 10000"
        " AND author NOT IN (SELECT author FROM blocked_authors)"
    )
    with user(shop, statement_timeout="0") as session:
        usual_ms, plan = plan_ms(session, order)
        assert "external merge" not in plan
        usual_sum_ms, _ = plan_ms(session, summed)
        answers = [session.execute(query.encode()).fetchall() for query in (whole, summed)]
    with fault("postgres_work_mem", "postgres"), user(shop, statement_timeout="0") as session:
        small_ms, plan = plan_ms(session, order)
        assert "external merge" in plan
        small_sum_ms, _ = plan_ms(session, summed, 1)
        assert [session.execute(query.encode()).fetchall() for query in (whole, summed)] == answers
    assert small_sum_ms > 2 * usual_sum_ms, "what is hashed with enough memory is searched without"
    record_property("sort_times_as_slow", round(small_ms / usual_ms, 2))
    record_property("sum_times_as_slow", round(small_sum_ms / usual_sum_ms, 1))


def test_a_full_server_refuses_at_once_and_the_shop_says_so(shop, until, fault, record_property) -> None:
    log = shop.state / "postgres.log"
    before = log.read_text().count("connection slots are reserved")

    async def connect() -> str:
        try:
            session = await asyncpg.connect(**way(shop), database="shop", ssl=False, timeout=5)
        except asyncpg.PostgresError as error:
            return str(error.sqlstate)
        await session.close()
        return ""

    def has_none() -> bool:
        """Its sessions are ended, and taken by the fault or by the shop again. That moment is not judged."""
        ask(shop, f"SELECT pg_terminate_backend(pid) {OF_THE_SHOP}")
        with contextlib.suppress(httpx.TransportError):
            last = [shop.order().text for _ in range(10)][-5:]
            return all("TooManyConnectionsError" in text for text in last)
        return False

    with fault("postgres_exhaust_connections", "postgres"):
        refused = [asyncio.run(connect()) for _ in range(5)]
        assert refused == ["53300"] * 5
        assert until(has_none, 20)
        replies = [timed(shop.order) for _ in range(10)]
    told = [reply for _, reply in replies if reply.status_code == 503]
    assert any("TooManyConnectionsError" in reply.text for reply in told)
    assert {reply.status_code for _, reply in replies} <= {201, 503}
    assert max(seconds for seconds, _ in replies) < 5, "told in time, not left to wait"
    assert log.read_text().count("connection slots are reserved") >= before + len(refused)
    assert until(shop.orders_work)
    assert until(lambda: pool_is_full_of_connections(shop))
    record_property("share_of_orders_refused", len(told) / len(replies))


def test_of_two_sessions_that_wait_for_each_other_one_is_given_up_and_succeeds_again(shop) -> None:
    meet, seen = threading.Barrier(2), list[str | None]()

    def move(source: int, target: int) -> int:
        attempts = 0
        with admin(shop, deadlock_timeout="100ms") as session:
            while True:
                attempts += 1
                try:
                    with session.transaction():
                        session.execute(b"UPDATE products SET stock = stock - 3 WHERE id = %s", [source])
                        if attempts == 1:
                            meet.wait(10)
                        session.execute(b"UPDATE products SET stock = stock + 3 WHERE id = %s", [target])
                    return attempts
                except psycopg.errors.DeadlockDetected as error:
                    seen.append(error.sqlstate)

    stocks = ask(shop, "SELECT id, stock FROM products WHERE id IN (21, 22) ORDER BY id")
    with ThreadPoolExecutor(2) as pool:
        attempts = [each.result() for each in (pool.submit(move, 21, 22), pool.submit(move, 22, 21))]
    assert seen == ["40P01"]
    assert sorted(attempts) == [1, 2]
    assert ask(shop, "SELECT id, stock FROM products WHERE id IN (21, 22) ORDER BY id") == stocks


def test_an_order_that_is_given_up_in_a_deadlock_is_tried_again_by_the_shop(shop, until) -> None:
    """We have the product and want the order's key, which the shop has while it wants the product."""
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'"
    ((before,),) = ask(shop, deadlocks)
    with admin(shop) as chief, admin(shop, deadlock_timeout="20s") as ours, ThreadPoolExecutor(1) as pool:
        chief.execute("ALTER SYSTEM SET deadlock_timeout = '700ms'")
        chief.execute("SELECT pg_reload_conf()")
        try:
            assert until(lambda: ask(shop, "SHOW deadlock_timeout") == [("700ms",)])
            with ours.transaction(force_rollback=True):
                ours.execute("SELECT FROM products WHERE id = 23 FOR UPDATE")
                placing = pool.submit(shop.order, product_id=23, idempotency_key="crosswise")
                assert until(lambda: chief.execute(BLOCKED).fetchone() == (1,), every_s=0.01)
                ours.execute(
                    "INSERT INTO orders (id, user_name, idempotency_key, product_id, quantity, amount_cents)"
                    " VALUES (gen_random_uuid(), 'alice', 'crosswise', 23, 1, 1075)"
                )
            assert placing.result().status_code == 201
        finally:
            chief.execute("ALTER SYSTEM RESET deadlock_timeout")
            chief.execute("SELECT pg_reload_conf()")
    assert until(lambda: ask(shop, deadlocks) == [(before + 1,)])
    assert ask(shop, "SELECT count(*) FROM orders WHERE idempotency_key = 'crosswise'") == [(1,)]
    assert len(shop.charges("alice:crosswise")) == 1


@pytest.mark.parametrize(
    ("kind", "target", "given", "charges"),
    [
        ("down", "payments", {}, 0),
        ("postgres_serialization_failures", "postgres", {"table": "orders", "share": "100%"}, 1),
    ],
)
def test_an_order_that_fails_before_or_after_its_charge_is_made_good_and_charged_once(
    shop, until, fault, kind, target, given, charges
) -> None:
    key = f"charge-{kind}"
    of_it = f"SELECT count(*), sum(amount_cents)::integer FROM orders WHERE idempotency_key = '{key}'"
    with fault(kind, target, **given):
        assert shop.order(product_id=15, idempotency_key=key).status_code == 503
        assert len(shop.charges(f"alice:{key}")) == charges
        assert ask(shop, of_it) == [(0, None)]
    assert until(lambda: shop.order(product_id=15, idempotency_key=key).status_code == 201)
    (charge,) = shop.charges(f"alice:{key}")
    assert ask(shop, of_it) == [(1, charge["amount_cents"])]


def test_while_nothing_can_be_shipped_orders_are_taken_and_none_is_lost(shop, until, fault) -> None:
    """The outbox is the shop's queue. Its consumer is stopped, and the shop is killed meanwhile."""
    with fault("postgres_lock_table", "postgres", table="shipments", mode="EXCLUSIVE"):
        taken = [shop.order(product_id=16).json()["id"] for _ in range(5)]
        assert {shop.read_order(order_id).json()["status"] for order_id in taken} == {"placed"}
        shop.killed = shop.pid("shop")
        os.kill(shop.killed, signal.SIGKILL)
        assert until(lambda: works_again(shop), 20)
        assert {shop.read_order(order_id).json()["status"] for order_id in taken} == {"placed"}
    assert until(lambda: {shop.read_order(order_id).json()["status"] for order_id in taken} == {"shipped"})


def works_again(shop) -> bool:
    with contextlib.suppress(OSError, ValueError):
        pid = shop.pid("shop")
        with contextlib.suppress(Exception):
            return bool(pid != shop.killed and shop.http.get("/health/ready").status_code == 200)
    return False


def test_prepared_statements_outlive_a_changed_table_and_a_lost_connection(shop, until, fault) -> None:
    question = "SELECT * FROM blocked_authors WHERE author = $1"
    uses = "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement = $1"

    async def use() -> list[int]:
        session = await asyncpg.connect(**way(shop), database="shop", ssl=False)
        counted = []
        for _ in range(6):
            await session.fetchrow(question, 2)
        counted.append(await session.fetchval(uses, question))
        await session.execute("ALTER TABLE blocked_authors ADD COLUMN why text")
        assert list(await session.fetchrow(question, 2)) == [2, None]
        await session.execute("ALTER TABLE blocked_authors DROP COLUMN why")
        assert list(await session.fetchrow(question, 2)) == [2]
        with fault("postgres_terminate_backends", "postgres", every="100ms"):
            while not session.is_closed():
                await asyncio.sleep(0.05)
            with pytest.raises(asyncpg.InterfaceError):
                await session.fetchrow(question, 2)
        again = await asyncpg.connect(**way(shop), database="shop", ssl=False)
        assert list(await again.fetchrow(question, 2)) == [2]
        counted.append(await again.fetchval(uses, question))
        await again.close()
        return counted

    assert asyncio.run(use()) == [6, 1]
    order_id = shop.order().json()["id"]
    with admin(shop) as session:
        session.execute("ALTER TABLE orders ALTER idempotency_key TYPE varchar")
        try:
            assert [shop.read_order(order_id).status_code for _ in range(20)] == [200] * 20
        finally:
            session.execute("ALTER TABLE orders ALTER idempotency_key TYPE text")
    assert [shop.read_order(order_id).status_code for _ in range(20)] == [200] * 20


PAGE = 20
BY_KEY = f"SELECT id FROM entries WHERE id > %s ORDER BY id LIMIT {PAGE}"
BY_OFFSET = f"SELECT id FROM entries ORDER BY id LIMIT {PAGE} OFFSET %s"


@pytest.mark.parametrize("by_key", [True, False])
def test_pages_by_key_are_complete_while_rows_change_and_sessions_end(shop, fault, by_key) -> None:
    """Rows 100, 200, ... stay; others come and go before and behind the reader. By offset some are missed."""
    with admin(shop) as writer:
        writer.execute("CREATE TABLE entries AS SELECT 10 * n AS id FROM generate_series(1, 400) n")
        writer.execute("ALTER TABLE entries OWNER TO shop")
        try:
            with fault("postgres_terminate_backends", "postgres", every="150ms", user="shop"):
                pages = list(read_pages(shop, writer, by_key))
        finally:
            writer.execute("DROP TABLE entries")
    read = [entry for page in pages for entry in page]
    lasting = [entry for entry in read if entry % 100 == 0]
    assert len(pages) > 10
    assert (lasting == list(range(100, 4001, 100)) and len(read) == len(set(read))) == by_key


def read_pages(shop, writer: psycopg.Connection, by_key: bool) -> Iterator[list[int]]:
    last, seen = 0, 0
    while True:
        try:
            with user(shop) as session:
                query = BY_KEY if by_key else BY_OFFSET
                rows = session.execute(query.encode(), [last if by_key else seen]).fetchall()
        except psycopg.OperationalError:
            continue  # the session was ended: on from where we were
        if not rows:
            return
        yield [entry for (entry,) in rows]
        last, seen = rows[-1][0], seen + len(rows)
        writer.execute(
            b"DELETE FROM entries WHERE id %% 100 <> 0 AND id < %s AND id > %s - 150", [last, last]
        )
        if last < 3900:
            writer.execute(b"INSERT INTO entries VALUES (%s), (%s)", [last + 5, last - 995])
