"""A run that a test can kill: holds a Guardian, takes commands as JSON lines, prints events as JSON lines.

Arguments: a file with {run_id, plan, folder, gevent, fork, patience, program}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SPEC = json.loads(Path(sys.argv[1]).read_text())
if SPEC.get("gevent"):
    from gevent import monkey

    monkey.patch_all()

import os  # noqa: E402
import select  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

from chaos_locust.leases.client import PROGRAM, Guardian  # noqa: E402
from chaos_locust.leases.pulse import Patience  # noqa: E402
from chaos_locust.plan.model import Plan  # noqa: E402


def say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    plan, folder = Plan.from_json(SPEC["plan"]), Path(SPEC["folder"])
    patience, program = Patience(**SPEC.get("patience", {})), SPEC.get("program", PROGRAM)
    guardian = Guardian(SPEC["run_id"], plan, folder, say, patience, program)
    guardian.start()
    guardian.begin(time.time())
    if SPEC.get("fork") and os.fork() == 0:
        time.sleep(60)  # holds every descriptor of the run for as long as it lives
        os._exit(0)
    ticks: list[float] = []
    threading.Thread(target=tick, args=(ticks,), daemon=True).start()
    say({"event": "ready", "guardian": guardian.pid})
    for line in commands():
        command = json.loads(line)
        match command.pop("do"):
            case "close":
                say({"event": "done", "clean": guardian.close(30)})
            case "recover":
                before = len(ticks)
                say({"event": "done", "clean": guardian.recover(30), "ticks": len(ticks) - before})
            case name:
                getattr(guardian, name)(**command)


def commands() -> Iterator[str]:
    """Lines of the input, waited for in a way that blocks no greenlet."""
    unread = b""
    while select.select([0], [], []) and (data := os.read(0, 65536)):
        *lines, unread = (unread + data).split(b"\n")
        yield from (line.decode() for line in lines)


def tick(ticks: list[float]) -> None:
    """As users do: goes on as long as nobody blocks."""
    while True:
        time.sleep(0.01)
        ticks.append(time.monotonic())


if __name__ == "__main__":
    main()
