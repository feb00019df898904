"""Targets on a real Valkey server: what is right holds, each planted defect is found, also over links that
break."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaos_locust.errors import ChaosError
from invariants import NoAnswer, Refused, StateInvariant, TargetDown
from invariants.catalogue import machine_of
from invariants.draw import drawn
from invariants.runner import Runner
from invariants.targets import redis, redis_twins
from invariants.targets.redis_client import RedisTarget
from tests.servers.redis import Server
from tests.servers.redis import server as running

from .test_faults.conftest import ProxyServer

SEEDS = [range(2), pytest.param(range(2, 10), marks=pytest.mark.long)]
NAMES = [
    name
    for name, bound in redis.bindings("redis://nobody").items()
    if type(bound.target).__module__ == redis.__name__
]
TWINS: list[tuple[str, type[RedisTarget]]] = [
    ("queue_never_loses_messages", redis_twins.UnlockedQueue),
    ("queue_never_loses_messages", redis_twins.ForgetfulQueue),
    ("registers_are_linearizable", redis_twins.UnlockedRegisters),
    ("elements_never_disappear", redis_twins.ElementsInOneValue),
    ("cache_stays_consistent", redis_twins.ForgetfulCache),
    ("cache_stays_consistent", redis_twins.HastyCache),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("valkey", password="geheim") as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_what_is_built_right_holds(server: Server, name: str, connections: int, seeds: range) -> None:
    target = redis.bindings(server.url)[name].target
    for seed in seeds:
        invariant = StateInvariant.named(name, target).with_concurrency(connections).with_iterations(4)
        result = invariant.with_steps(30).with_seed(seed).with_budget("10min").with_kept_in(None).verify()
        assert result.passed, result.to_json()
    assert server.ours() == []


@pytest.mark.parametrize(("name", "twin"), TWINS, ids=lambda each: getattr(each, "__name__", each))
def test_each_planted_defect_is_found(server: Server, name: str, twin: type[RedisTarget]) -> None:
    machine = machine_of(name)
    for seed in range(3):
        runner = Runner(lambda scope: machine(twin(server.url), scope), None, f"t{seed}", 120)
        sequences = itertools.islice(drawn(machine(twin(server.url)), 20, 4, (), seed), 500)
        assert any(runner.run(sequence).checked.violations for sequence in sequences)
    assert server.ours() == []


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("times", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_a_counter_that_many_workers_share(server: Server, safe: bool, times: int) -> None:
    """A hundred workers: in one step exact, in two steps not."""
    target = redis.RedisRegisters(server.url)
    counter, together = target.connect("counter"), threading.Barrier(100)
    counter.write("count", 0)

    def count(number: int) -> None:
        client = target.connect("counter")
        client.read("count")
        together.wait(60)
        for _ in range(times):
            if safe:
                client.do("INCR", client.key("count"))
            else:
                client.write("count", (client.read("count") or 0) + 1)
        client.close()

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(count, range(100)))
    found = counter.read("count")
    assert found is not None
    assert (found == 100 * times) if safe else (found < 100 * times)
    counter.close()
    target.forget("counter")


def test_what_was_taken_and_never_arrived_comes_out_at_the_end(server: Server) -> None:
    target = redis.RedisQueue(server.url)
    taker, other = target.connect("taken"), target.connect("taken")
    taker.enqueue(1)
    taker.enqueue(2)
    taker.do("LMOVE", taker.waiting, taker.own, "LEFT", "LEFT")
    taker.close()
    assert other.dequeue() == 2
    assert other.drain() == [1]
    other.close()
    target.forget("taken")


def test_a_cache_is_not_filled_with_what_was_before_a_write(server: Server) -> None:
    """The reader has read the origin and is about to fill the cache; then comes the write."""
    target = redis.RedisCache(server.url)
    writer = target.connect("fill")
    writer.write("k", 1)

    class Slow(redis.RedisCacheClient):
        def fill(self, key: str, mark: str, value: str) -> None:
            writer.write("k", 2)
            super().fill(key, mark, value)

    reader = Slow(target, "fill", target.lasts_s)
    assert reader.read("k") == 1  # it began before the write
    assert writer.read("k") == 2
    for client in (writer, reader):
        client.close()
    target.forget("fill")


def test_nobody_listens_so_nothing_happened() -> None:
    target = redis.RedisQueue("redis://:geheim@127.0.0.1:1/0")
    with pytest.raises(Refused, match="not connected"):
        target.connect("x").enqueue(1)
    with pytest.raises(TargetDown, match=r"redis://127\.0\.0\.1:1/0 does not answer"):
        target.check()


def test_a_command_without_an_answer_is_told_as_such_and_not_sent_twice(server: Server) -> None:
    proxy = ProxyServer("embedded")
    port = proxy.make("cache", server.port)
    target = redis.RedisQueue(f"redis://:geheim@127.0.0.1:{port}/0", answer_limit_s=0.5)
    client = target.connect("silent")
    client.enqueue(1)
    toxic = {"type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}}
    proxy.ask("POST", "/proxies/cache/toxics", toxic)
    with pytest.raises(NoAnswer):
        client.enqueue(2)
    direct = redis.RedisQueue(server.url)
    assert direct.connect("silent").drain() == [1, 2]
    proxy.kill()
    direct.forget("silent")
    assert server.ours() == []


def test_what_the_server_refuses_did_not_happen(server: Server) -> None:
    target = redis.RedisElements(server.url)
    client = target.connect("full")
    with server.client() as admin:
        admin.config_set("maxmemory", "1")
        try:
            with pytest.raises(Refused, match="maxmemory"):
                client.add(1)
        finally:
            admin.config_set("maxmemory", "0")
    assert client.read() == []
    client.close()
    target.forget("full")


def test_other_keys_are_left_alone(server: Server) -> None:
    with server.client() as admin:
        admin.set("chaos-locust:other", 1)
        target = redis.RedisRegisters(server.url)
        for scope in ("a-1", "a-10"):
            client = target.connect(scope)
            client.write("x", 1)
            client.close()
        target.forget("a-1")
        assert sorted(admin.keys("*")) == [b"chaos-locust:a-10:x", b"chaos-locust:other"]
        target.forget("a-10")
        admin.delete("chaos-locust:other")


def test_no_password_is_shown_and_the_written_target_reads_it_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = server.url.replace(":geheim@", "")
    shown = f"RedisCache(url='{place}', password_env='REDISCLI_AUTH')"
    assert repr(redis.RedisCache(server.url)) == shown
    again = eval(shown, vars(redis))
    monkeypatch.delenv("REDISCLI_AUTH", raising=False)
    with pytest.raises(ChaosError, match="REDISCLI_AUTH"):
        again.check()
    monkeypatch.setenv("REDISCLI_AUTH", "geheim")
    again.check()
    assert "geheim" not in repr(again)
    with pytest.raises(ChaosError, match=r"url 'http://x' is not allowed; give redis://\.\.\. or"):
        redis.RedisQueue("http://x")


def test_a_missing_driver_is_one_clear_message(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ChaosError, match=r"pip install 'chaos-locust\[redis\]'"):
        StateInvariant.queue_never_loses_messages(redis.RedisQueue(server.url)).verify()
