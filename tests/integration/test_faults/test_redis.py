"""Every fault on real Valkey and Redis servers: felt by a client, proved, and gone afterwards."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.faults.registry import KINDS
from chaos_locust.plan.model import Plan
from tests.crash.cells_redis import CELLS, KEYS, TTL_S, refused, spoiled, value
from tests.servers.redis import Load, NoServer, Server, fill, server

LOOK_EVERY_S = 0.05


def until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


class Rig:
    """One fault on one server, done as the guardian does it."""

    def __init__(self, url: str, kind: str, run_id: str = "r1", **parameters: Any) -> None:
        lasting = {} if KINDS[kind].instant else {"for": "30s"}
        fault = {"name": "it", "kind": kind, "target": "cache", "at": "1s", **lasting, **parameters}
        self.plan = Plan.from_json({"name": "p", "targets": {"cache": {"redis": url}}, "faults": [fault]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets["cache"]
        self.run_id, self.backend = run_id, Backends().named("redis")
        self.before: list[Reading] = []
        self.during: list[Reading] = []

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]

    def look(self, times: int) -> list[Reading]:
        readings = []
        for _ in range(times):
            readings.append(self.backend.observe(self.fault, self.undo))
            time.sleep(LOOK_EVERY_S)
        return readings

    def inject(self) -> None:
        self.undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)
        self.before = self.look(2)
        self.backend.inject(self.fault, self.undo)

    def effect(self, times: int = 4) -> Effect:
        self.during += self.look(times)
        return self.backend.effect(self.fault, self.before, self.during)

    def revert(self) -> None:
        """Twice: the second time must do no harm."""
        self.backend.revert(self.undo)
        assert self.backend.verify(self.undo)
        self.backend.revert(self.undo)
        assert self.backend.verify(self.undo)


@contextmanager
def running(kind: str, *options: str, **more: Any) -> Iterator[Server]:
    try:
        with server(kind, *options, **more) as target:
            yield target
    except NoServer as error:
        pytest.skip(str(error))


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


def test_what_somebody_else_set_meanwhile_stays(valkey: Server) -> None:
    rig = Rig(valkey.url, "redis_out_of_memory")
    rig.inject()
    with valkey.client() as client:
        client.config_set("maxmemory", "123mb")
    rig.revert()
    assert valkey.setting("maxmemory") == str(123 * 1024 * 1024)
    assert valkey.setting("maxmemory-policy") == "noeviction"


def test_found_without_a_lease(valkey: Server) -> None:
    fill(valkey, "session:{}", KEYS, value, TTL_S)
    url = valkey.url[:-1] + "3"
    with valkey.client() as client:
        client.execute_command("SELECT", 3)
        client.set("session:1", "x", ex=TTL_S)
    for run_id, kind, where, parameters in (
        ("r1", "redis_refuse_writes", valkey.url, {}),
        ("r2", "redis_corrupt", valkey.url, {"keys": "session:*"}),
        ("r3", "redis_expire", url, {"keys": "session:*", "ttl": "9s"}),
    ):
        if kind == "redis_refuse_writes":
            last = Rig(where, kind, run_id, **parameters)
            continue
        Rig(where, kind, run_id, **parameters).inject()
    last.inject()
    backend = Backends().named("redis")
    found = backend.scan(valkey.url)
    assert sorted(undo["mark"] for undo in found) == ["chaos-r1-it", "chaos-r2-it", "chaos-r3-it"]
    for undo in sorted(found, key=lambda undo: undo["mark"]):
        backend.revert(undo)
        assert backend.verify(undo)
    assert spoiled(valkey) == 0
    assert valkey.setting("min-replicas-to-write") == "0"
    assert backend.scan(valkey.url) == []
    assert valkey.ours() == []
    assert backend.scan("") == []
    assert backend.scan("http://127.0.0.1:1") == []


def test_two_runs_at_one_setting(valkey: Server) -> None:
    first = Rig(valkey.url, "redis_out_of_memory")
    first.inject()
    second = Rig(valkey.url, "redis_evict", "r2")
    with pytest.raises(BackendError, match="changed by another fault"):
        second.inject()
    first.revert()
    second.inject()
    second.revert()


@pytest.mark.parametrize("commands", ["all", "write"])
def test_a_pause_ends_with_its_holder(target: Server, commands: str, tmp_path: Path) -> None:
    """kill -9, without anybody who would undo it."""
    code = (
        "import sys, time\n"
        "sys.path[:0] = [sys.argv[1]]\n"
        "from tests.integration.test_faults.test_redis import Rig\n"
        "Rig(sys.argv[2], 'redis_pause', commands=sys.argv[3]).inject()\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    root = str(Path(__file__).parents[3])
    holder = subprocess.Popen(
        [sys.executable, "-c", code, root, target.url, commands], stdout=subprocess.PIPE, cwd=tmp_path
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with target.client(0.3) as client, pytest.raises(redis.TimeoutError):
            client.set("a", "b")
    finally:
        holder.kill()
        holder.wait()
    with target.client(2.0) as client:
        assert client.set("a", "b")
    assert target.ours() == []


def test_undone_by_another_process(target: Server) -> None:
    fill(target, "session:{}", KEYS, value, TTL_S)
    rig = Rig(target.url, "redis_corrupt", keys="session:*")
    rig.inject()
    other = Backends().named("redis")
    other.revert(rig.undo)
    assert other.verify(rig.undo)
    assert spoiled(target) == 0
    for kind, parameters in (
        ("redis_slow", {"delay": "50ms"}),
        ("redis_pause", {}),
        ("redis_pause", {"commands": "write"}),
    ):
        held = Rig(target.url, kind, **parameters)
        held.inject()
        other.revert(held.undo)
        until(lambda held=held: other.verify(held.undo), "the connection that held it is gone")
        assert held.effect(3).mechanism is False


def test_undone_though_it_was_never_injected(valkey: Server) -> None:
    fill(valkey, "session:{}", KEYS, value, TTL_S)
    for kind, parameters in (
        ("redis_pause", {}),
        ("redis_evict", {}),
        ("redis_out_of_memory", {}),
        ("redis_refuse_writes", {}),
        ("redis_expire", {"keys": "*", "ttl": "1s"}),
        ("redis_corrupt", {"keys": "*"}),
        ("redis_flush", {}),
    ):
        rig = Rig(valkey.url, kind, **parameters)
        rig.undo = rig.backend.prepare("r1", rig.plan, rig.fault, rig.target)
        rig.revert()
    assert spoiled(valkey) == 0
    assert valkey.ours() == []


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (("--cluster-enabled", "yes"), "redis_pause", "is a node of a cluster"),
        (("--replicaof", "127.0.0.1 1"), "redis_flush", "is a replica"),
        (("--rename-command", "CONFIG", ""), "redis_evict", "does not know CONFIG"),
        (("--maxmemory-clients", "5%"), "redis_out_of_memory", "limits clients to 5% of maxmemory"),
    ],
)
def test_preflight(options: tuple[str, ...], kind: str, words: str, tmp_path: Path) -> None:
    with running("valkey", "--dir", str(tmp_path), *options) as target:
        (told,) = Rig(target.url, kind).problems()
        assert told.startswith("targets.cache.redis: ")
        assert words in told


def test_preflight_of_rights() -> None:
    secret = "a-secret-of-ours"
    with running("valkey", password=secret) as target:
        with target.client() as client:
            client.execute_command(
                "ACL", "SETUSER", "weak", "on", f">{secret}", "~*", "+@all", "-config|set", "-eval"
            )
        weak = target.url.replace("redis://:", "redis://weak:")
        wrong = target.url.replace(secret, "wrong-secret")
        assert Rig(target.url, "redis_evict").problems() == []
        for url, kind, words in (
            (weak, "redis_evict", "which managed servers refuse"),
            (weak, "redis_corrupt", "eval"),
            (wrong, "redis_pause", "invalid username-password pair"),
        ):
            parameters = {"keys": "a*"} if kind == "redis_corrupt" else {}
            (told,) = Rig(url, kind, **parameters).problems()
            assert words in told
            assert "secret" not in told
        rig = Rig(weak, "redis_slow", delay="10ms")
        rig.undo = rig.backend.prepare("r1", rig.plan, rig.fault, rig.target)
        assert "secret" not in rig.backend.describe(rig.undo)
    (told,) = Rig(target.url, "redis_pause").problems()
    assert "does not answer" in told
    assert "secret" not in told


def test_preflight_without_the_package(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "chaos_locust.backends.redis_link", raising=False)
    monkeypatch.setitem(sys.modules, "redis.connection", None)
    (told,) = Rig(valkey.url, "redis_pause").problems()
    assert "pip install 'chaos-locust[redis]'" in told


def test_preflight_of_keys(valkey: Server) -> None:
    assert "has no key session:1" in Rig(valkey.url, "redis_corrupt", keys="session:1").problems()[0]
    assert Rig(valkey.url, "redis_corrupt", keys="session:*").problems() == [], "they may come with the load"
