"""A run with one fault that can be killed.

    python -m tests.crash.run SPEC

SPEC is a file with {run_id, plan, folder}. Each line of its input is a command, as JSON:
{do: inject, lease_s}, {do: revert}, {do: close}. What it is told of the fault goes to its output as JSON
lines, with {event: ready, guardian: PID} first. When its guardian dies, it has a successor undo the fault,
and says {event: recovered, clean}.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from chaos_locust.leases.alive import GUARDIAN_MODULE
from chaos_locust.leases.client import Guardian
from chaos_locust.plan.model import Plan

PROGRAM = (sys.executable, "-P", "-m", "tests.crash.guardian", GUARDIAN_MODULE)
LIMIT_S = 60.0


def say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")
    if message["event"] == "guardian_lost":
        threading.Thread(target=recover).start()


def recover() -> None:
    say({"event": "recovered", "clean": GUARDIAN.recover(LIMIT_S)})


SPEC = json.loads(Path(sys.argv[1]).read_text())
PLAN = Plan.from_json(SPEC["plan"])
GUARDIAN = Guardian(SPEC["run_id"], PLAN, Path(SPEC["folder"]), say, program=PROGRAM)


def main() -> None:
    (fault,) = PLAN.faults
    GUARDIAN.start()
    GUARDIAN.begin(time.time())
    say({"event": "ready", "guardian": GUARDIAN.pid})
    for line in sys.stdin:
        command = json.loads(line)
        match command["do"]:
            case "inject":
                GUARDIAN.inject(fault.name, command["lease_s"])
            case "revert":
                GUARDIAN.revert(fault.name)
            case "close":
                say({"event": "closed", "clean": GUARDIAN.close(LIMIT_S)})


if __name__ == "__main__":
    main()
