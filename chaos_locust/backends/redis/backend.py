"""Faults on a Redis or Valkey server, done by its own commands. Needs the package redis."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from chaos_locust.backends.base import Effect, Reading, Undo, mark
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.redis.effect import redis_effect
from chaos_locust.backends.redis.hold import MARGIN_S, Hold, clients_of
from chaos_locust.backends.redis.keys import corrupt, expire, flush, give_back, mend
from chaos_locust.backends.redis.preflight import redis_problems
from chaos_locust.backends.redis.reading import read_redis, refused_write
from chaos_locust.backends.redis.server import RedisServer, shown
from chaos_locust.backends.redis.settings import forget, note, notes, put_back, put_on, settings_for, still_on
from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.redis import (
    RedisCorrupt,
    RedisDisconnect,
    RedisExpire,
    RedisFlush,
    RedisPause,
    RedisSlow,
)
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

_SCHEMES = ("redis", "rediss", "valkey", "valkeys")


class RedisBackend:
    """An Undo: {backend, action, url, mark, ...}. Actions: `hold` {longest_s, stop_file} needs only that the
    connection of that name ends, `settings` {settings: {name: [theirs, ours]}} puts theirs back where ours
    stands, `expire` and `corrupt` {keys} work from what is in the server, `nothing` cannot be undone."""

    name = "redis"

    def __init__(self, watch: LinkWatch) -> None:
        self._watch = watch
        self._servers: dict[str, RedisServer] = {}
        self._holds: dict[str, Hold] = {}
        self._done: Counter[str] = Counter()
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        place = f"targets.{target.name}"
        if target.redis is None:
            return [Problem(place, f"gives no server; a {fault.kind} needs redis")]
        problems = redis_problems(self._server(target.redis), fault)
        return [Problem(f"{place}.redis", text) for text in problems]

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for a Redis server")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if target.redis is None:
            raise BackendError(f"target {target.name} gives no Redis server")
        server = self._server(target.redis)
        undo: Undo = {"backend": self.name, "url": target.redis, "mark": mark(run_id, fault.name)}
        if isinstance(fault, RedisPause | RedisSlow | RedisDisconnect):
            assert fault.duration_s is not None
            stop_file = leases_folder(os.environ).parent / f"{undo['mark']}.stop"
            longest_s = fault.duration_s + MARGIN_S
            return undo | {"action": "hold", "longest_s": longest_s, "stop_file": str(stop_file)}
        if isinstance(fault, RedisFlush):
            return undo | {"action": "nothing"}
        if isinstance(fault, RedisExpire | RedisCorrupt):
            return undo | {"action": fault.kind.removeprefix("redis_"), "keys": fault.keys}
        return undo | {"action": "settings", "settings": settings_for(server, fault, undo["mark"])}

    def inject(self, fault: Fault, undo: Undo) -> None:
        server = self._server(undo["url"])
        match undo["action"]:
            case "hold":
                stop_file = Path(undo["stop_file"])
                hold = Hold(server, fault, undo["mark"], undo["longest_s"], stop_file)
                self._holds[undo["mark"]] = hold
                hold.start()
            case "settings":
                note(server, undo)
                put_on(server, undo["settings"])
            case "nothing":
                assert isinstance(fault, RedisFlush)
                self._did(undo, flush(server, fault.keys))
            case _:
                note(server, undo)
                self.adjust(fault, undo, 0.0)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        server = self._server(undo["url"])
        if isinstance(fault, RedisExpire):
            self._did(undo, expire(server, fault.keys, undo["mark"], fault.ttl_s))
        elif isinstance(fault, RedisCorrupt):
            self._did(undo, corrupt(server, fault.keys, undo["mark"], fault.count))
        else:
            raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        hold = self._holds.get(undo["mark"])
        reading = read_redis(self._server(undo["url"]), fault)
        with self._lock:
            done = self._done[undo["mark"]] + (hold.cut if hold else 0)
        return reading | {"done": done, "samples": hold.samples if hold else None}

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return redis_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        server = self._server(undo["url"])
        match undo["action"]:
            case "nothing":
                return
            case "hold":
                self._end_hold(server, undo["mark"], Path(undo["stop_file"]))
                return
            case "settings":
                put_back(server, undo["settings"])
            case "expire":
                give_back(server, undo["mark"])
            case "corrupt":
                mend(server, undo["keys"], undo["mark"])
        forget(server, undo["mark"])

    def verify(self, undo: Undo) -> bool:
        server = self._server(undo["url"])
        match undo["action"]:
            case "settings":
                return not still_on(server, undo["settings"])
            case "expire":
                return not server.call("EXISTS", undo["mark"])
            case "corrupt":
                return mend(server, undo["keys"], undo["mark"], really=False) == 0
            case "hold":
                hold = self._holds.get(undo["mark"])
                return not (hold and hold.alive) and not _holders(server, undo["mark"])
        return True

    def describe(self, undo: Undo) -> str:
        what = {
            "hold": "a hold",
            "settings": f"the changed {' and '.join(undo.get('settings', ()))}",
            "expire": f"the nearer end of the keys {undo.get('keys')}",
            "corrupt": f"the spoiled values of the keys {undo.get('keys')}",
        }.get(undo["action"], "nothing")
        return f"{what} ({undo['mark']}) on {shown(undo['url'])}"

    def scan(self, place: str) -> list[Undo]:
        if urlsplit(place).scheme not in _SCHEMES:
            return []
        info, _ = self._server(place).info()
        found = []
        for database in sorted(
            key.removeprefix("db") for key in info if key[2:].isdecimal() and key[:2] == "db"
        ):
            url = urlunsplit(urlsplit(place)._replace(path=f"/{database}"))
            found += [{**undo, "url": url} for undo in notes(self._server(url)).values()]
        return found

    def _server(self, url: str) -> RedisServer:
        with self._lock:
            return self._servers.setdefault(url, RedisServer(url, self._watch.ports.add_own))

    def _did(self, undo: Undo, count: int) -> None:
        with self._lock:
            self._done[undo["mark"]] += count

    def _end_hold(self, server: RedisServer, mark: str, stop_file: Path) -> None:
        """Ours ends by our word; that of another process, which lives, by the file, and else by closing its
        connection: a command to do so has to wait as long as everything is paused."""
        hold = self._holds.get(mark)
        if hold is not None:
            hold.stop()
            return
        try:
            stop_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            stop_file.touch()
            for client in _holders(server, mark):
                server.call("CLIENT", "KILL", "ID", client)
        except OSError as error:
            raise BackendError(f"{stop_file} cannot be written: {error.strerror}") from None
        finally:
            stop_file.unlink(missing_ok=True)


def _holders(server: RedisServer, mark: str) -> list[str]:
    """The ids of the connections that hold it. Returns only when the server answers again, writes too."""
    refused_write(server)
    clients = clients_of(server.call("CLIENT", "LIST"))
    return [client["id"] for client in clients if client["name"] == mark]
