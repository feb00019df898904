"""Every fault on real Valkey and Redis servers: felt by a client, and proved."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest
import redis

from tests.crash.cells_redis import CELLS, KEYS, TTL_S, refused, spoiled, value
from tests.servers.redis import Load, NoServer, Server, fill
from tests.servers.redis_rig import Rig, running, state_folder, until

__all__ = ["state_folder"]


@pytest.fixture(params=["valkey", "redis"])
def target(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as found:
        yield found


@pytest.fixture
def valkey() -> Iterator[Server]:
    with running("valkey") as found:
        yield found


@pytest.fixture
def load(target: Server) -> Iterator[Load]:
    found = Load(target)
    until(lambda: found.ok, "the load runs")
    yield found
    found.stop()


@pytest.mark.parametrize("kind", sorted(CELLS))
def test_acts_and_is_gone(kind: str) -> None:
    """As the cells of the crash matrix see it, without any code of ours."""
    try:
        with CELLS[kind]() as case:
            parameters = {key: v for key, v in case.fault.items() if key not in ("kind", "target")}
            rig = Rig(case.targets["cache"]["redis"], kind, **parameters)
            assert rig.problems() == []
            assert not case.acting()
            assert case.left() == ""
            rig.inject()
            until(case.acting, f"{kind} acts")
            rig.revert()
            if not rig.fault.instant:
                until(lambda: not case.acting(), f"{kind} is over")
            assert case.left() == ""
    except NoServer as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("used", [True, False], ids=["used", "idle"])
@pytest.mark.parametrize("commands", ["all", "write"])
def test_pause(target: Server, commands: str, used: bool) -> None:
    load = Load(target) if used else None
    rig = Rig(target.url, "redis_pause", commands=commands)
    rig.inject()
    if load is not None:
        load.errors.clear()
        until(lambda: any("Timeout" in error for error in load.errors), "a command of the load waits")
        load.ok = 0
    effect = rig.effect(5)
    assert (effect.mechanism, effect.use) == (True, used), effect
    if load is not None:
        assert load.ok == 0, "a command slipped through between two slices"
    rig.revert()
    until(target.answers, "it answers again")
    if load is not None:
        until(lambda: load.ok, "the load goes on")
        load.stop()


def test_nothing_slips_through_between_two_slices(target: Server) -> None:
    rig = Rig(target.url, "redis_pause")
    rig.inject()
    clients = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(20)]
    for client in clients:
        client.sendall(b"INCR waited\r\n")
    answered, _, _ = select.select(clients, [], [], 1.5)
    assert answered == []
    rig.revert()
    for client in clients:
        client.settimeout(5)
        assert client.recv(100).startswith(b":"), "what waited is done, none of it is lost"
        client.close()
    with target.client() as asking:
        assert asking.get("waited") == b"20"


def test_reads_are_answered_while_writing_is_paused(valkey: Server) -> None:
    rig = Rig(valkey.url, "redis_pause", commands="write")
    rig.inject()
    with valkey.client(0.3) as client:
        assert client.get("session:1") is None
        with pytest.raises(redis.TimeoutError):
            client.set("session:1", "x")
    rig.revert()


def test_slow(target: Server, load: Load) -> None:
    rig = Rig(target.url, "redis_slow", delay="60ms")
    rig.inject()
    effect = rig.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    assert target.ping_s() > 0.015
    rig.revert()
    assert rig.backend.effect(rig.fault, rig.before, rig.look(3)).mechanism is False


def test_slower_than_its_clients_wait(target: Server) -> None:
    """The server drops what they no longer wait for, so it never counts as carried out."""
    rig = Rig(target.url, "redis_slow", delay="400ms")
    with target.client(0.05) as client:
        client.get("session:1")
        rig.inject()
        for _ in range(5):
            with contextlib.suppress(redis.TimeoutError):
                client.get("session:1")
    effect = rig.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    rig.revert()


def test_flush_keeps_what_undoing_needs(target: Server, load: Load) -> None:
    fill(target, "session:{}", KEYS, value, TTL_S)
    fill(target, "cart:{}", 5, value, None)
    expire = Rig(target.url, "redis_expire", "r2", keys="cart:*", ttl="1s")
    corrupt = Rig(target.url, "redis_corrupt", "r3", keys="cart:*")
    corrupt.inject()
    expire.inject()
    part = Rig(target.url, "redis_flush", keys="session:*")
    part.inject()
    effect = part.effect(3)
    assert (effect.mechanism, effect.use) == (True, True), effect
    assert f"{KEYS} keys deleted" in effect.detail
    with target.client() as client:
        assert client.exists("cart:1")
        Rig(target.url, "redis_flush").inject()
        assert not client.exists("cart:1")
    assert {undo["mark"] for undo in part.backend.scan(target.url)} == {"chaos-r2-it", "chaos-r3-it"}
    expire.revert()
    corrupt.revert()
    assert target.ours() == []


def test_evict(target: Server, load: Load) -> None:
    fill(target, "session:{}", 4000, lambda number: b"x" * 500, TTL_S)
    rig = Rig(target.url, "redis_evict", share="50%")
    rig.inject()
    with target.client() as client:
        until(lambda: client.dbsize() < 3000, "keys are evicted")
        effect = rig.effect(3)
        assert (effect.mechanism, effect.use) == (True, True), effect
        assert client.dbsize() > 1000, "about half of them stay"
    rig.revert()
    assert (target.setting("maxmemory"), target.setting("maxmemory-policy")) == ("0", "noeviction")


def test_expire(target: Server, load: Load) -> None:
    fill(target, "session:{}", KEYS, value, TTL_S)
    fill(target, "kept:{}", 1, value, None)
    rig = Rig(target.url, "redis_expire", keys="*", ttl="60s")
    rig.inject()
    with target.client() as client:
        assert 0 < client.ttl("session:1") <= 60
        assert client.ttl("kept:0") == -1, "what never expires is left alone"
        client.set("session:2", "new", ex=700)
        client.persist("session:3")
        rig.backend.adjust(rig.fault, rig.undo, 0.5)
        assert client.ttl("session:2") <= 60, "those that come meanwhile too"
        client.expire("session:4", 300)
        effect = rig.effect(3)
        assert (effect.mechanism, effect.use) == (True, True), effect
        rig.revert()
        assert TTL_S - 30 < client.ttl("session:1") <= TTL_S
        assert client.ttl("session:2") > 650
        assert client.ttl("session:3") == -1, "an end that somebody else changed is left alone"
        assert 200 < client.ttl("session:4") <= 300
    assert target.ours() == []


def test_a_key_expires_early(valkey: Server) -> None:
    fill(valkey, "session:{}", 3, value, TTL_S)
    rig = Rig(valkey.url, "redis_expire", keys="session:*", ttl="50ms")
    rig.inject()
    with valkey.client() as client:
        until(lambda: not client.exists("session:0", "session:1", "session:2"), "they are gone")
    rig.revert()


def test_corrupt(target: Server, load: Load) -> None:
    fill(target, "session:{}", KEYS, value, TTL_S)
    with target.client() as client:
        client.rpush("session:list", "a")
        client.set("session:large", b"x" * 1_000_000)
        rig = Rig(target.url, "redis_corrupt", keys="session:*")
        rig.inject()
        assert spoiled(target) == KEYS
        assert client.lrange("session:list", 0, -1) == [b"a"]
        assert client.strlen("session:large") == 1_000_000
        assert client.ttl("session:1") > TTL_S - 30
        client.set("session:5", "rewritten")
        effect = rig.effect(3)
        assert (effect.mechanism, effect.use) == (True, True), effect
        rig.revert()
        assert client.get("session:5") == b"rewritten", "what the application wrote meanwhile stays"
        client.set("session:5", value(5))
        assert client.ttl("session:1") > TTL_S - 30
    assert spoiled(target) == 0
    assert target.ours() == []


def test_so_many_values_at_most(valkey: Server) -> None:
    fill(valkey, "session:{}", KEYS, value, TTL_S)
    rig = Rig(valkey.url, "redis_corrupt", keys="session:*", count=7)
    rig.inject()
    assert spoiled(valkey) == 7
    rig.revert()
    assert spoiled(valkey) == 0


@pytest.mark.parametrize(
    ("kind", "word"), [("redis_refuse_writes", "NOREPLICAS"), ("redis_out_of_memory", "OutOfMemory")]
)
def test_writes_are_refused(target: Server, load: Load, kind: str, word: str) -> None:
    rig = Rig(target.url, kind)
    rig.inject()
    load.errors.clear()
    effect = rig.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    assert load.errors
    assert all(word in error for error in load.errors)
    with target.client() as client:
        assert client.get("load:1") == b"x" * 100, "reads are answered, and nothing is evicted"
    rig.revert()
    assert not refused(word)(target)


@pytest.mark.parametrize("kind", ["redis_refuse_writes", "redis_out_of_memory"])
def test_nobody_met_it(valkey: Server, kind: str) -> None:
    rig = Rig(valkey.url, kind)
    rig.inject()
    effect = rig.effect(3)
    assert (effect.mechanism, effect.use) == (True, False), effect
    rig.revert()


def test_disconnect(target: Server, load: Load) -> None:
    rig = Rig(target.url, "redis_disconnect", every="100ms")
    other = Rig(target.url, "redis_corrupt", "r2", keys="load:*")
    other.inject()
    rig.inject()
    load.errors.clear()
    until(lambda: any("Connection" in error for error in load.errors), "the load's connection is closed")
    effect = rig.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    assert all(reading["error"] == "" for reading in rig.during), "ours are never cut"
    rig.revert()
    other.revert()
