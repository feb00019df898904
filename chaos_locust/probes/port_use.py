"""The use of a TCP port of this machine: bytes received and connections made while we look, without ours."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from chaos_locust.probes.sockets import Peer, ended_connections, received_bytes

_OWN_KEPT = 500
_KNOWN_FOR_S = 120.0  # a port that connects again within this is taken for the connection known already


@dataclass(frozen=True, slots=True)
class Use:
    """received: bytes at least. connections: new ones. Both since the first count."""

    received: int
    connections: int


class PortUse:
    """Adds up what changed from count to count, whoever counts: a lower bound, free of our own hellos."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[int, dict[Peer, int]] = {}
        self._known: dict[int, dict[Peer, float]] = {}
        self._received: Counter[int] = Counter()
        self._connections: Counter[int] = Counter()
        self._own: deque[Peer] = deque(maxlen=_OWN_KEPT)

    def add_own(self, peer: Peer) -> None:
        """This connection is ours; to be told before anything is sent over it."""
        self._own.append(peer)

    def count(self, port: int) -> Use:
        """Raises ProbeError."""
        with self._lock:
            now_s = self._clock()
            every, ended = received_bytes(port), ended_connections(port)
            own = set(self._own.copy())  # after the looks: whatever was sent before them is among it
            found = {peer: size for peer, size in every.items() if peer not in own}
            peers = (found.keys() | ended) - own
            known = self._known.get(port, {})
            if port in self._open:
                earlier = self._open[port]
                for peer, size in found.items():
                    # Of an old connection that was not open at the last count nothing is known to be new.
                    before = earlier.get(peer, size if peer in known else 0)
                    self._received[port] += max(0, size - before)
                self._connections[port] += len(peers - known.keys())
            self._open[port] = found
            kept = {peer: seen_s for peer, seen_s in known.items() if now_s - seen_s < _KNOWN_FOR_S}
            self._known[port] = kept | dict.fromkeys(peers, now_s)
            return Use(self._received[port], self._connections[port])
