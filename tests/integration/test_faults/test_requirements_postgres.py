"""What needs PostgreSQL servers of its own: a standby that lags, backups under fault, a port that is cut."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

import chaos_locust
from tests.crash.cells_packets import sh, why_not
from tests.servers.postgres import PostgresServer, running_postgres

from .conftest import until

MAX_CONNECTIONS = 80

TABLES = """
CREATE TABLE accounts (id integer PRIMARY KEY, cents bigint NOT NULL);
INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 200) n;
CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account integer, cents bigint)"""
MOVE = """
WITH moved AS (INSERT INTO moves (account, cents) VALUES (%s, %s) RETURNING account, cents)
UPDATE accounts SET cents = accounts.cents + moved.cents FROM moved WHERE accounts.id = moved.account"""
BALANCED = """
SELECT bool_and(a.cents = 1000 + (SELECT coalesce(sum(m.cents), 0) FROM moves m WHERE m.account = a.id))
FROM accounts a"""
CHECKSUM = "SELECT count(*), md5(string_agg(m::text, ' ' ORDER BY id)) FROM moves m"


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(MAX_CONNECTIONS) as running:
        running.ask(TABLES, running.app)
        yield running


def fault(server: PostgresServer, kind: str, **keys: Any) -> Any:
    return chaos_locust.inject(kind, target="db", targets={"db": {"postgres": server.admin}}, **keys)


@contextmanager
def backup(server: PostgresServer, follows: bool) -> Iterator[PostgresServer]:
    """A copy of a server that runs, not started yet: a standby of it, or a server by itself."""
    with tempfile.TemporaryDirectory(prefix="chaos-locust-backup-", ignore_cleanup_errors=True) as folder:
        copy = PostgresServer(Path(folder), MAX_CONNECTIONS)
        copy.copy_of(server)
        if not follows:
            (copy.data / "standby.signal").unlink()
        try:
            yield copy
        finally:
            copy.stop()


class Writer:
    """Moves money all the time, and connects again when its session is ended."""

    def __init__(self, server: PostgresServer) -> None:
        self.done, self.lost = 0, 0
        self._server, self._over = server, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Writer:
        self._thread.start()
        until(lambda: self.done > 20, "it writes")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with psycopg.connect(self._server.app, autocommit=True) as session:
                    while not self._over.wait(0.005):
                        session.execute(MOVE.encode(), [self.done % 200 + 1, self.done % 7 - 3])
                        self.done += 1
            except psycopg.OperationalError:
                self.lost += 1


def test_fifty_questions_at_once_get_their_own_answers_though_the_table_is_slow(
    server: PostgresServer,
) -> None:
    """Statements wait for the table again and again. Many are at work at once, and none gets another's."""
    start, at_once = threading.Barrier(50), 0

    def ask(number: int) -> list[tuple[Any, ...]]:
        with psycopg.connect(server.app, application_name="fifty") as session:
            start.wait(30)
            query = b"SELECT %s::integer, id, repeat(id::text, %s) FROM accounts WHERE id = %s"
            return session.execute(query, [number, number, number + 1]).fetchall()

    active = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fifty' AND state = 'active'"
    with fault(server, "postgres_slow_queries", table="accounts", delay="1s"), ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, number) for number in range(50)]
        with psycopg.connect(server.admin, autocommit=True) as looking:
            while not all(each.done() for each in asked):
                row = looking.execute(active.encode()).fetchone()
                assert row is not None
                at_once = max(at_once, row[0])
        answers = [each.result() for each in asked]
    assert answers == [[(n, n + 1, str(n + 1) * n)] for n in range(50)]
    assert at_once > 5


def test_what_was_just_written_is_not_read_from_a_standby_that_lags(
    server: PostgresServer, record_property: Any
) -> None:
    """Stale reads and seconds behind, before, while and after it stands still."""
    lag = "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8"

    def write() -> int:
        with psycopg.connect(server.app, autocommit=True) as session:
            row = session.execute(b"INSERT INTO moves (account, cents) VALUES (0, 0) RETURNING id").fetchone()
        assert row is not None
        return int(row[0])

    with backup(server, follows=True) as standby:
        standby.start()

        def shows(number: int) -> bool:
            return bool(standby.ask(f"SELECT count(*) FROM moves WHERE id = {number}", standby.app)[0][0])

        first = write()
        until(lambda: shows(first), "it is there")
        with fault(standby, "postgres_replication_lag"):
            stale = [write() for _ in range(5)]
            ((before_s,),) = standby.ask(lag)
            until(lambda: standby.ask(lag)[0][0] > before_s + 1, "it falls behind")
            ((after_s,),) = standby.ask(lag)
            assert [shows(number) for number in (first, *stale)] == [True] + [False] * 5
            ((behind,),) = server.ask(
                "SELECT pg_wal_lsn_diff(sent_lsn, replay_lsn)::bigint FROM pg_stat_replication"
            )
            assert behind > 0
        until(lambda: all(shows(number) for number in stale), "it has caught up")
        assert server.ask(CHECKSUM) == standby.ask(CHECKSUM)
    record_property("lag_s_and_stale_reads", (round(after_s, 2), len(stale)))


def test_a_backup_that_is_taken_under_load_and_fault_is_whole(server: PostgresServer) -> None:
    """Sessions are ended all the time meanwhile, but for that of the backup. Both are compared afterwards."""
    with Writer(server) as writer:
        ((earlier,),) = server.ask("SELECT max(id) FROM moves")
        with fault(server, "postgres_terminate_backends", every="200ms", user="app"):
            until(lambda: writer.lost > 0, "sessions are ended")
            with backup(server, follows=False) as copy:
                done = writer.done
                until(lambda: writer.done > done + 20, "it goes on")
                copy.start()
                ((latest,),) = copy.ask("SELECT max(id) FROM moves")
                assert copy.ask(BALANCED) == [(True,)]
                assert latest >= earlier
                upto = f"{CHECKSUM} WHERE id <= {latest}"
                assert copy.ask(upto) == server.ask(upto)
                assert server.ask(f"SELECT count(*) FROM moves WHERE id > {latest}")[0][0] > 0
                of_one = "(SELECT min(id) FROM moves WHERE account = 1)"
                copy.ask(f"UPDATE moves SET cents = cents + 1 WHERE id = {of_one}")
                assert copy.ask(upto) != server.ask(upto), "one altered value is seen"
                assert copy.ask(BALANCED) == [(False,)]
    assert server.ask(BALANCED) == [(True,)]


def test_who_connects_to_a_port_that_is_cut_hears_nothing_until_his_own_limit(
    server: PostgresServer,
) -> None:
    """Packets are dropped, not refused, and sessions that were there wait too; afterwards it is as before."""
    if reason := why_not():
        pytest.skip(reason)
    targets = {"db": {"addresses": [f"127.0.0.1:{server.port}"], "peers": ["127.0.0.1"]}}
    url = server.app + "?connect_timeout={}"

    def limit_s(seconds: int) -> float:
        started_s = time.monotonic()
        with pytest.raises(psycopg.OperationalError) as error:
            psycopg.connect(url.format(seconds))
        assert "timeout" in str(error.value)
        assert "refused" not in str(error.value)
        return time.monotonic() - started_s

    with psycopg.connect(server.app, autocommit=True) as session, ThreadPoolExecutor(1) as pool:
        with chaos_locust.inject("partition", target="db", targets=targets):
            waiting = pool.submit(lambda: session.execute("SELECT 1").fetchone())
            for seconds in (2, 3):
                assert limit_s(seconds) == pytest.approx(seconds, rel=0.1)
            assert not waiting.done()
            assert str(server.port) in sh("nft", "list", "ruleset")
        assert str(server.port) not in sh("nft", "list", "ruleset")
        assert waiting.result(30) == (1,)
    psycopg.connect(url.format(5)).close()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect("postgresql://app@127.0.0.1:1/shop?connect_timeout=5")
