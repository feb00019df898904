"""The file in which audit records wait for the database: what it holds when the disk or the process fails."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chaos_locust.demo.logins import Logins
from chaos_locust.demo.settings import Ports, Settings
from chaos_locust.demo.shop.audit import AuditLog
from chaos_locust.demo.shop.database import Database


@pytest.fixture
def settings(tmp_path) -> Settings:
    Logins.make().write(tmp_path, open_cache=False)
    return Settings(tmp_path, Ports(), None)


def opened(settings: Settings) -> AuditLog:
    return AuditLog(Database(settings), settings)


def users(settings: Settings) -> list[str]:
    """Of the records in the file; it must be whole."""
    text = (settings.state / "audit-spool.jsonl").read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["user"] for line in text.splitlines()]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond that; like a full disk, in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def note(log: AuditLog, user: str) -> None:
    log.note(user, "login", "/login", "ok", "127.0.0.1")


def test_what_the_disk_does_not_take_leaves_no_torn_line_and_no_error(settings) -> None:
    log = opened(settings)
    note(log, "alice")
    with largest_file((settings.state / "audit-spool.jsonl").stat().st_size + 10):
        note(log, "bob")
    note(log, "carol")
    assert users(settings) == ["alice", "carol"]
    opened(settings).close()
    log.close()


def test_a_line_that_was_being_written_when_the_shop_died_is_cut_off(settings) -> None:
    log = opened(settings)
    note(log, "alice")
    log.close()
    with (settings.state / "audit-spool.jsonl").open("a") as file:
        file.write('{"event": "torn')
    log = opened(settings)
    note(log, "bob")
    assert users(settings) == ["alice", "bob"]
    log.close()


def test_names_that_no_database_takes_are_noted_as_far_as_it_does(settings) -> None:
    log = opened(settings)
    for name in ("nul\0inside", "lone\ud800surrogate", "x" * 100_000):
        note(log, name)
    assert users(settings) == ["nulinside", "lone?surrogate", "x" * 200]
    log.close()
