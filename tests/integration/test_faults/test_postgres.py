"""Every PostgreSQL fault on a real server: its effect is measured, and undone it is gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.plan.model import Plan
from tests.crash.cell import Case
from tests.crash.cells_postgres import CELLS, FAULTS, TABLE, case_on
from tests.servers.postgres import PostgresServer, running_postgres

from .conftest import until

LOOK_EVERY_S = 0.25
THREADED = ("postgres_exhaust_connections", "postgres_slow_connect", "postgres_slow_queries",
            "postgres_terminate_backends", "postgres_unavailable")  # fmt: skip
WORK = (
    "SELECT * FROM items WHERE name = 'item 7'",
    "UPDATE items SET price = price + 1 WHERE id = 7",
    "SELECT count(*) FROM (SELECT DISTINCT repeat(name, 30) FROM items ORDER BY 1) sorted",
    "SELECT pg_sleep(0.02)",
)


class Load:
    """Users of the database: one who keeps his connection, one who makes a new one each time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(keep,)) for keep in (True, False)]
        for thread in self._threads:
            thread.start()

    def _run(self, keep: bool) -> None:
        session: psycopg.Connection[Any] | None = None
        while not self._over.wait(0.02):
            try:
                session = session or psycopg.connect(
                    self._url, autocommit=True, connect_timeout=5, options="-c lock_timeout=300"
                )
                for statement in WORK:
                    with contextlib.suppress(psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable,
                                             psycopg.errors.SerializationFailure,
                                             psycopg.errors.ReadOnlySqlTransaction):  # fmt: skip
                        session.execute(statement.encode())
            except psycopg.OperationalError:
                keep_this = False
            else:
                keep_this = keep
            if session is not None and not keep_this:
                session.close()
                session = None
        if session is not None:
            session.close()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def load(url: str) -> Iterator[None]:
    users = Load(url.replace("postgres@", "app@"))
    try:
        yield
    finally:
        users.stop()


class Rig:
    def __init__(self, targets: dict[str, Any], fault: dict[str, Any]) -> None:
        document = {"name": "it", "at": "1s", "for": "10s", **fault}
        self.plan = Plan.from_json({"name": "p", "targets": targets, "faults": [document]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets[fault["target"]]
        self.backend = Backends().named("postgres")
        self.readings: list[Reading] = []

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]

    def prepare(self) -> dict[str, Any]:
        return self.backend.prepare("r1", self.plan, self.fault, self.target)

    def look(self, undo: dict[str, Any]) -> Reading:
        reading = self.backend.observe(self.fault, undo)
        time.sleep(LOOK_EVERY_S)
        return reading


@contextmanager
def case_of(kind: str, server: PostgresServer) -> Iterator[Case]:
    if kind not in FAULTS:
        with CELLS[kind]() as case:
            yield case
    else:
        yield case_on(server, kind)


def rig_of(case: Case) -> Rig:
    return Rig(case.targets, case.fault)


@pytest.mark.parametrize("kind", CELLS)
def test_it_acts_and_is_undone(server: PostgresServer, kind: str) -> None:
    with case_of(kind, server) as case, load(case.targets["db"]["postgres"]):
        assert not case.acting()
        rig = rig_of(case)
        assert rig.problems() == []
        undo = rig.prepare()
        before = [rig.look(undo) for _ in range(4)]
        try:
            acts(rig, case, undo, before)
            after_a_crash(rig, case, undo)
        finally:  # or all other tests meet it too
            rig.backend.revert(undo)
        assert not case.acting()
        until(lambda: case.left() == "", "nothing is left")
        assert rig.backend.verify(undo)
        rig.backend.revert(undo)
        assert rig.backend.verify(undo)
        assert not case.acting()


def acts(rig: Rig, case: Case, undo: dict[str, Any], before: list[Any]) -> None:
    rig.backend.inject(rig.fault, undo)
    until(case.acting, "it acts")  # a connection that the load gives back may be had once more
    during = [rig.look(undo), rig.look(undo)]

    def proved() -> bool:
        during.append(rig.look(undo))
        effect = rig.backend.effect(rig.fault, before, during)
        return effect.mechanism is True and effect.use is True

    until(proved, f"effect of {undo['kind']}: {during[-1]}")


def after_a_crash(rig: Rig, case: Case, undo: dict[str, Any]) -> None:
    """Somebody who knows nothing of it finds it, and ends it unless a thread of ours begins it anew."""
    stranger = Backends().named("postgres")
    (found,) = [one for one in stranger.scan(undo["url"]) if one["mark"] == undo["mark"]]
    assert found["backend"] == "postgres"
    if undo["kind"] not in THREADED:
        stranger.revert(found)
        assert stranger.verify(found)
        assert not case.acting()
        assert "r1-it" not in case.left()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        running.ask(TABLE, running.app)
        yield running


def on(server: PostgresServer, url: str | None = None, **fault: Any) -> Rig:
    return Rig({"db": {"postgres": url or server.admin}}, {"target": "db", **fault})


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "postgres_lock_table", "table": "items"},
        {"kind": "postgres_slow_queries", "table": "items", "delay": "100ms"},
        {"kind": "postgres_exhaust_connections"},
        {"kind": "postgres_serialization_failures", "table": "items", "share": "50%"},
        {"kind": "postgres_drop_index", "index": "items_by_name"},
        {"kind": "postgres_read_only"},
        {"kind": "postgres_unavailable"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_without_a_load_there_is_no_use(server: PostgresServer, fault: dict[str, Any]) -> None:
    rig = on(server, **fault)
    undo = rig.prepare()
    before = [rig.look(undo) for _ in range(3)]
    rig.backend.inject(rig.fault, undo)
    during = [rig.look(undo) for _ in range(3)]
    rig.backend.revert(undo)
    assert rig.backend.verify(undo)
    effect = rig.backend.effect(rig.fault, before, during)
    assert (effect.mechanism, effect.use) == (True, False), effect


@pytest.mark.parametrize(
    ("fault", "as_app", "words"),
    [
        ({"kind": "postgres_lock_table", "table": "nothing"}, True, "there is no nothing"),
        ({"kind": "postgres_lock_table", "table": "items_by_name"}, True, "is no table"),
        ({"kind": "postgres_lock_row", "table": "items", "key": "id", "value": 0}, True, "there is no row"),
        ({"kind": "postgres_lock_row", "table": "items", "key": "price", "value": 1}, True, "more than one"),
        ({"kind": "postgres_lock_row", "table": "items", "key": "colour", "value": 1}, True, "colour"),
        ({"kind": "postgres_lock_row", "table": "items", "key": "id", "value": "red"}, True, "red"),
        ({"kind": "postgres_drop_index", "index": "items_pkey"}, False, "constraint"),
        ({"kind": "postgres_drop_index", "index": "items"}, False, "is no index"),
        ({"kind": "postgres_drop_index", "index": "items_by_name"}, True, "only a superuser"),
        ({"kind": "postgres_slow_connect", "delay": "1s"}, True, "only a superuser"),
        ({"kind": "postgres_work_mem"}, True, "only a superuser"),
        ({"kind": "postgres_work_mem", "work_mem": "4MiB"}, False, "is 4MB already"),
        ({"kind": "postgres_unavailable"}, True, "GRANT CREATE"),
        ({"kind": "postgres_exhaust_connections", "leave": 100}, False, "free already"),
        ({"kind": "postgres_terminate_backends"}, True, "GRANT pg_signal_backend"),
        ({"kind": "postgres_terminate_backends", "user": "nobody"}, False, "no role nobody"),
        ({"kind": "postgres_replication_lag"}, False, "no standby"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_told(
    server: PostgresServer, fault: dict[str, Any], as_app: bool, words: str
) -> None:
    rig = on(server, server.app if as_app else None, **fault)
    (told,) = rig.problems()
    assert told.startswith("targets.db.postgres: it (postgres_")
    assert words in told


def test_a_server_that_is_not_there_is_told_without_its_password(server: PostgresServer) -> None:
    password = "topsecret"
    nobody = f"postgresql://app:{password}@127.0.0.1:{server.port}/nowhere"
    (told,) = on(server, nobody, kind="postgres_read_only").problems()
    assert "nowhere" in told
    assert password not in told


def test_two_runs_do_not_change_one_setting(server: PostgresServer) -> None:
    rig = on(server, kind="postgres_work_mem", work_mem="128KiB")
    undo = rig.prepare()
    rig.backend.inject(rig.fault, undo)
    other = rig.backend.prepare("r2", rig.plan, rig.fault, rig.target)
    with pytest.raises(BackendError, match="changed by a fault already"):
        rig.backend.inject(rig.fault, other)
    rig.backend.revert(other)
    assert server.ask("SHOW work_mem") == [("128kB",)], "what was not injected undoes nothing"
    rig.backend.revert(undo)
    assert rig.backend.verify(undo)


@pytest.mark.parametrize("scope", ["server", "database"])
def test_an_old_value_comes_back(server: PostgresServer, scope: str) -> None:
    where = "SYSTEM" if scope == "server" else "DATABASE shop"
    server.ask(f"ALTER {where} SET work_mem = '3MB'")
    server.ask("SELECT pg_reload_conf()")
    until(lambda: server.ask("SHOW work_mem") == [("3MB",)], "the value before")
    rig = on(server, kind="postgres_work_mem", scope=scope)
    undo = rig.prepare()
    rig.backend.inject(rig.fault, undo)
    assert server.ask("SHOW work_mem") == [("64kB",)]
    rig.backend.revert(undo)
    until(lambda: server.ask("SHOW work_mem") == [("3MB",)], "the value before")
    server.ask(f"ALTER {where} RESET work_mem")
    server.ask("SELECT pg_reload_conf()")
    until(lambda: server.ask("SHOW work_mem") == [("4MB",)], "the default")


def test_statements_fail_only_while_their_holder_lives(server: PostgresServer) -> None:
    rig = on(server, kind="postgres_serialization_failures", table="items", share="100%")
    undo = rig.prepare()
    rig.backend.inject(rig.fault, undo)
    write = "UPDATE items SET price = 1 WHERE id = 1"
    with pytest.raises(psycopg.errors.SerializationFailure):
        server.ask(write)
    holder = f"FROM pg_stat_activity WHERE application_name = '{undo['mark']}'"
    server.ask(f"SELECT pg_terminate_backend(pid) {holder}")
    until(lambda: not server.ask(f"SELECT pid {holder}"), "its holder is gone")
    server.ask(write)
    assert not rig.backend.verify(undo), "its trigger is still there"
    rig.backend.revert(undo)
    assert rig.backend.verify(undo)


def test_a_lock_that_is_not_to_be_had_is_told_and_leaves_nothing(server: PostgresServer) -> None:
    rig = on(server, kind="postgres_lock_table", table="items")
    undo = rig.prepare()
    with psycopg.connect(server.app) as busy:
        busy.execute("SELECT * FROM items LIMIT 1")
        with pytest.raises(BackendError, match="lock timeout"):
            rig.backend.inject(rig.fault, undo)
        rig.backend.revert(undo)
        assert rig.backend.verify(undo)


def test_an_undo_of_what_never_was_changes_nothing(server: PostgresServer) -> None:
    catalogue = "SELECT * FROM pg_index ORDER BY indexrelid; SELECT count(*) FROM pg_namespace"
    earlier = server.ask(catalogue)
    for kind, more in (("postgres_drop_index", {"index": "items_by_name"}), ("postgres_unavailable", {}),
                       ("postgres_read_only", {}), ("postgres_lock_table", {"table": "items"})):  # fmt: skip
        rig = on(server, kind=kind, **more)
        undo = rig.prepare()
        rig.backend.revert(undo)
        assert rig.backend.verify(undo)
    assert server.ask(catalogue) == earlier


def test_an_index_comes_back_as_it_was_and_prepared_statements_follow(server: PostgresServer) -> None:
    rig = on(server, kind="postgres_drop_index", index="items_by_name")
    undo = rig.prepare()
    look = (
        "SELECT indexrelid, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'items'::regclass"
    )
    earlier = server.ask(look)
    with psycopg.connect(server.app, autocommit=True) as session:
        session.execute("SET plan_cache_mode = force_generic_plan")
        session.execute("PREPARE find AS SELECT * FROM items WHERE name = $1")

        def plan() -> str:
            session.execute("EXECUTE find('item 7')")
            return str(session.execute("EXPLAIN EXECUTE find('item 7')").fetchall())

        assert "items_by_name" in plan()
        rig.backend.inject(rig.fault, undo)
        assert "Seq Scan" in plan()
        session.execute("INSERT INTO items VALUES (100001, 'new', 1)")
        rig.backend.revert(undo)
        assert "items_by_name" in plan()
    assert server.ask(look) == earlier
    found = server.ask("SELECT id FROM items WHERE name = 'new'")
    assert found == [(100001,)], "it was kept up to date meanwhile"
