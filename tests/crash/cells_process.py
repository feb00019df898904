"""Every fault on a process, each on a web server of its own, watched through /proc."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.cell import Case, Cell
from tests.servers.hungry import hungry, stat_of

EVERY_S = 0.5
QUIET_S = 3 * EVERY_S


def holders(*words: str) -> list[str]:
    """Processes of ours on this machine that have all of these words in their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "process.holder" in line and all(word in line for word in words):
            found.append(f"process {path.parent.name} of ours: {line}")
    return found


@contextmanager
def kill() -> Iterator[Case]:
    with hungry() as server:
        yield Case(
            targets={"web": {"pidfile": str(server.pidfile)}},
            fault={"kind": "kill", "target": "web"},
            acting=lambda: server.state() in ("", "Z"),
            left=lambda: "; ".join(holders(f'"pid": {server.pid}')),
        )


@contextmanager
def pause() -> Iterator[Case]:
    with hungry() as server:

        def left() -> str:
            stopped = ["the server is stopped"] if server.state() == "T" else []
            return "; ".join([*stopped, *holders(f'"pid": {server.pid}')])

        yield Case(
            targets={"web": {"pidfile": str(server.pidfile)}},
            fault={"kind": "pause", "target": "web"},
            acting=lambda: server.state() == "T",
            left=left,
        )


@contextmanager
def restart_storm() -> Iterator[Case]:
    with hungry(supervised=True) as server:
        first = server.pid

        def left() -> str:
            """A storm that goes on kills within this time whatever is started anew."""
            since_s, pid = time.monotonic(), server.pid
            while time.monotonic() - since_s < QUIET_S:
                if server.pid != pid:
                    since_s, pid = time.monotonic(), server.pid
                    killed_again.append(pid)
                    if len(killed_again) > 1:
                        return f"the server was killed again, it is {pid}"
                time.sleep(0.05)
            killed_again.clear()
            return "" if stat_of(pid) and server.answers() else "the server was not started anew"

        killed_again: list[int] = []
        yield Case(
            targets={"web": {"pidfile": str(server.pidfile)}},
            fault={"kind": "restart_storm", "target": "web", "every": f"{EVERY_S}s"},
            acting=lambda: server.pid != first or not stat_of(first),
            left=left,
        )


CELLS: dict[str, Cell] = {"kill": kill, "pause": pause, "restart_storm": restart_storm}
