"""Faults that one connection holds: they act only as long as that connection goes on asking for them.

A pause is asked for a slice at a time, so that it ends with its holder: nothing is left to undo.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from chaos_locust.backends.base import MARK, Reading
from chaos_locust.backends.redis.server import RedisServer, fields_of
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.redis import RedisDisconnect, RedisPause, RedisSlow

SLICE_S = 0.3
AHEAD = 2  # so many slices are asked for beforehand, so that a holder who is late leaves no gap
WRITE_SLICE_S, WRITE_RENEW_S = 0.6, 0.2
MARGIN_S = 15.0
_STOP_S = 5.0
_ANSWER_S = 5.0


class Hold:
    """A thread that makes the fault act until `stop`, until another process makes the file `stop_file`, or
    for `longest_s` at most.

    samples: the first and the last of {at_s, bytes: received by the server so far, own: (ours of these at
    least, at most), replicas: how many it has}. cut: connections closed so far. error: why it ended early.
    """

    def __init__(
        self, server: RedisServer, fault: Fault, mark: str, longest_s: float, stop_file: Path
    ) -> None:
        self.samples: list[Reading] = []
        self.cut = 0
        self.error = ""
        self._account = server.account
        self._fault, self._longest_s, self._stop_file = fault, longest_s, stop_file
        self._link = server.link(mark, _ANSWER_S)
        self._over, self._acts = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=mark)

    def start(self) -> None:
        """Returns when it acts. Raises BackendError."""
        self._thread.start()
        if not self._acts.wait(_STOP_S) or self.error:
            self._over.set()
            raise BackendError(self.error or "the server does not take it in time")

    def stop(self) -> None:
        """Returns when nothing more is asked for. Raises BackendError."""
        self._over.set()
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            raise BackendError("the connection that holds the fault does not end")

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        acts: dict[type[Fault], Callable[[], None]] = {
            RedisSlow: self._slow,
            RedisDisconnect: self._disconnect,
        }
        act = acts.get(type(self._fault), self._pause_writes)
        if isinstance(self._fault, RedisPause) and self._fault.commands == "all":
            act = self._pause
        end_s = time.monotonic() + self._longest_s
        try:
            while not self._over.is_set() and time.monotonic() < end_s and not self._stop_file.exists():
                act()
                self._acts.set()
            if not self._acts.is_set():
                self.error = "its end was asked for before it began"
        except BackendError as error:
            self.error = str(error)
        finally:
            self._acts.set()
            self._link.close()

    def _pause(self) -> None:
        """What waits while the server is paused is done in the order in which it came: the next slice is
        asked for before anybody else can have asked for anything, and so comes first."""
        pair = (("INFO",), ("CLIENT", "PAUSE", round(SLICE_S * 1000), "ALL"))
        before = self._account.bytes
        size = self._link.send(*pair * (1 if self._acts.is_set() else 1 + AHEAD))
        self._sample(before + size, self._link.receive())
        self._link.receive()

    def _pause_writes(self) -> None:
        """CLIENT PAUSE is no write, so it is simply renewed."""
        before = self._account.bytes
        size = self._link.send(("INFO",), ("CLIENT", "PAUSE", round(WRITE_SLICE_S * 1000), "WRITE"))
        self._sample(before + size, self._link.receive())
        self._link.receive()
        self._acts.set()
        self._over.wait(WRITE_RENEW_S)

    def _slow(self) -> None:
        """Asking something lets the server notice that the pause is over, and then do all that waits."""
        assert isinstance(self._fault, RedisSlow)
        if not self.samples:
            self._ask_for_sample()
        self._link.call("CLIENT", "PAUSE", max(1, round(self._fault.delay_s * 1000)), "ALL")
        self._acts.set()
        self._over.wait(self._fault.delay_s + 0.001)
        self._ask_for_sample()

    def _disconnect(self) -> None:
        assert isinstance(self._fault, RedisDisconnect)
        for client in clients_of(self._link.call("CLIENT", "LIST")):
            replica = "S" in client["flags"] or "M" in client["flags"]
            if not client["name"].startswith(MARK) and (self._fault.replicas or not replica):
                self.cut += int(self._link.call("CLIENT", "KILL", "ID", client["id"]))
        self._acts.set()
        self._over.wait(self._fault.every_s)

    def _ask_for_sample(self) -> None:
        before = self._account.bytes
        self._sample(before + self._link.send(("INFO",)), self._link.receive())

    def _sample(self, at_least: int, info: bytes) -> None:
        fields = fields_of(info)
        sample = {
            "at_s": time.monotonic(),
            "bytes": int(fields["total_net_input_bytes"]),
            "own": (at_least, self._account.bytes),
            "replicas": int(fields.get("connected_slaves", 0)),
        }
        self.samples = [*self.samples[:1], sample]


def clients_of(listed: bytes) -> list[dict[str, str]]:
    """The fields of each line of CLIENT LIST."""
    lines = listed.decode(errors="replace").splitlines()
    return [dict(word.split("=", 1) for word in line.split(" ") if "=" in word) for line in lines]
