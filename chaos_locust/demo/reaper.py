"""Ends all processes of a shop and removes its state, however the supervisor ended.

A process of its own session that reads from a pipe the supervisor holds: one line `pid start name` for
each child. End of file means that the supervisor is gone, by kill -9 too. Arguments: state folder, then
PostgreSQL's executable and data folder.
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from chaos_locust.demo.processes import Identity, running_in, wait_gone, with_descendants


def reap(children: list[tuple[str, Identity]], state: Path, executable: Path, data: Path) -> None:
    """End the children, what descends from them, and the database's orphans; then remove the state."""
    everyone = with_descendants(identity for _, identity in children) | running_in(executable, data)
    databases = {identity for name, identity in children if name == "postgres"}
    for identity in everyone:
        identity.send(signal.SIGCONT)  # a stopped process heeds no other signal but KILL
    for database in databases:
        database.send(signal.SIGQUIT)  # killed outright it would leave shared memory behind
    for identity in everyone - databases - running_in(executable, data):
        identity.send(signal.SIGKILL)
    wait_gone(databases, timeout_s=3)
    for identity in everyone | running_in(executable, data):
        identity.send(signal.SIGKILL)
    wait_gone(everyone, timeout_s=5)
    shutil.rmtree(state, ignore_errors=True)


def main(arguments: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        pid, started, name = line.split()
        children.append((name, Identity(int(pid), int(started))))
    reap(children, *map(Path, arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
