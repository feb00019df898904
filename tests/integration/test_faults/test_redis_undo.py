"""Faults on Redis are undone, by whomever; and are refused before they begin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from tests.crash.cells_redis import KEYS, TTL_S, spoiled, value
from tests.servers.redis import Server, fill
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
        "from tests.servers.redis_rig import Rig\n"
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
        assert held.backend.verify(held.undo) is False
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
    monkeypatch.delitem(sys.modules, "chaos_locust.backends.redis.link", raising=False)
    monkeypatch.setitem(sys.modules, "redis.connection", None)
    (told,) = Rig(valkey.url, "redis_pause").problems()
    assert "pip install 'chaos-locust[redis]'" in told


def test_preflight_of_keys(valkey: Server) -> None:
    assert "has no key session:1" in Rig(valkey.url, "redis_corrupt", keys="session:1").problems()[0]
    assert Rig(valkey.url, "redis_corrupt", keys="session:*").problems() == [], "they may come with the load"
