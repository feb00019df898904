"""Ports for servers of benchmarks and tests."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """On loopback, and below those that the system hands out: no connection takes it meanwhile by chance."""
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port was found")
