"""`cleanup --scan` on a machine of its own: python machine_scan.py FOLDER, in new pid and network namespaces.

Two runs lose a file each and some packets; one dies with its guardian and its leases, the other lives.
Prints {out, error, code, files, tables} from after the scan.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.test_faults.conftest import ROOT, Run, until

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Control groups have no machine of their own: those of other tests must not be seen here.
    subprocess.run(["mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"], check=True)
    runs = {}
    for number, name in enumerate(("dead", "alive"), 1):
        (folder / name).mkdir()
        (folder / name / "file").write_text(name)
        runs[name] = Run(
            plan(folder / name / "file", 9000 + number), folder / f"run-{name}", folder / "state"
        )
        for fault in ("gone", "lost"):
            runs[name].tell("inject", fault=fault, lease_s=300)
            runs[name].wait("active", fault)
    dead = runs["dead"]
    os.kill(dead.process.pid, 19)
    dead.kill_guardian()
    dead.kill()
    until(dead.guardian_is_gone, "it is dead")
    for lease in (folder / "state").glob("chaos-locust/leases/run-dead.*"):
        lease.unlink()
    assert len(tables()) == 2
    environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*COMMAND, "cleanup", "--scan"], env=environ, capture_output=True, text=True)
    files = [name for name in runs if (folder / name / "file").exists()]
    found = {"out": done.stdout, "error": done.stderr, "code": done.returncode, "files": files}
    print(json.dumps(found | {"tables": tables()}))
    runs["alive"].tell("close")
    runs["alive"].wait("done")
    runs["alive"].kill()


def plan(file: Path, port: int) -> dict[str, Any]:
    when = {"at": "1s", "for": "3s"}
    gone = {"name": "gone", "kind": "file_missing", "target": "disk", **when}
    lost = {"name": "lost", "kind": "packet_loss", "target": "net", "share": "10%", **when}
    targets = {
        "disk": {"path": str(file), "root_disk": True},
        "net": {"addresses": [f"127.0.0.1:{port}"]},
    }
    return {"name": "scan", "targets": targets, "faults": [gone, lost]}


def tables() -> list[str]:
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "chaos-" in line]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
