"""Watching pods while their API server goes away and comes back."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.signals import watching
from chaos_locust.signals.watching import Watching
from tests.servers.kubernetes_api import pod

PATIENCE_S = 10.0


class Server:
    """pods: of each list from now on. streams: a queue of events for each watch. away: it cannot be reached,
    though a watch that is there stays open and silent."""

    def __init__(self, pods: list[Any]) -> None:
        self.pods, self.away = pods, False
        self.streams: list[queue.Queue[Any]] = []

    def ping(self, limit_s: float) -> None:
        if self.away:
            raise BackendError("it does not answer")

    def ask(self, method: str, path: str, query: Any = ()) -> Any:
        self.ping(0)
        return {"items": self.pods, "metadata": {"resourceVersion": "1"}}

    def stream(self, path: str, query: Any, silent_s: float) -> Iterator[Any]:
        events: queue.Queue[Any] = queue.Queue()
        self.streams.append(events)
        while (event := events.get()) is not None:
            yield event


class World:
    def __init__(self, server: Any) -> None:
        target = KubernetesTarget(namespace="shop", selector="app=web")
        self._changed = threading.Condition()
        self.watched = Watching(server, target, (), self._tell)
        self.watched.start()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_S), self.read()

    def read(self) -> Any:
        return self.watched.read("ready_replicas")


def named(name: str, ready: bool = True) -> Any:
    found = pod(name, ready=ready)
    found["metadata"] |= {"uid": name, "resourceVersion": "2"}
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "KNOCKS_EVERY_S", 0.01)
    monkeypatch.setattr(watching, "AGAIN_S", 0.01)


def test_a_silent_watch_is_not_believed_while_the_server_is_away() -> None:
    server = Server([named("a"), named("b")])
    world = World(server)
    world.wait(lambda: world.read() == (2.0, ""))
    server.away = True
    world.wait(lambda: world.read() == (None, "it does not answer"))
    server.pods = [named("a")]
    server.away = False
    world.wait(lambda: world.read() == (1.0, ""))
    world.wait(lambda: len(server.streams) == 2)
    late, new = server.streams
    late.put({"type": "MODIFIED", "object": named("b")})
    late.put(None)
    new.put({"type": "ADDED", "object": named("c", ready=False)})
    new.put({"type": "MODIFIED", "object": named("c")})
    world.wait(lambda: world.read() == (2.0, ""))
    assert world.watched._pods.ready == {"a": True, "c": True}, "what the old watch brought late is not there"
