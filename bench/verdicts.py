"""Does the verdict tell a healthy shop from a broken one, every time? `python -m bench.verdicts --times 10`

Each row starts a shop of its own (with or without a planted defect), runs a plan against it some times, and
counts the exit codes and the objectives that were named. It takes about a minute a run.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from bench.shops import PLANS, ROOT, shop, told
from chaos_locust.demo.settings import DEFECTS

SPIKE = PLANS / "spike.yaml"


@dataclass(frozen=True)
class Row:
    """One kind of truth. finding: part of the objective that must deviate, where one must.

    unused_link: cache-down goes to a link that nobody uses. kill_proxy: kill -9 while cache-down acts.
    """

    name: str
    exit_codes: tuple[int, ...]
    finding: str = ""
    defect: str | None = None
    faults: bool = True
    unused_link: bool = False
    kill_proxy: bool = False


ROWS = (
    Row("healthy", (0,)),
    Row("no-timeout", (3,), "during hang-payments", "no-timeout"),
    Row("breaker-stuck-open", (3,), "after hang-payments", "breaker-stuck-open"),
    Row("cache-required", (3,), "during cache-down", "cache-required"),
    Row("fault on a link nobody uses", (4,), unused_link=True),
    Row("proxy killed in mid-fault", (4, 5), kill_proxy=True),
    *(Row(f"{defect}, no fault", (0,), defect=defect, faults=False) for defect in DEFECTS),
)


def plan_for(row: Row, folder: Path, env: dict[str, str]) -> Path:
    """The spike plan, with its faults taken out or moved where the row wants it."""
    text = SPIKE.read_text()
    if not row.faults:
        text = re.sub(r"(?m)^  - \{name: .*\n", "", text).replace("faults:\n", "faults: []\n")
        text = re.sub(r"(?m)^  - .*(cache-down|hang-payments).*\n", "", text)
    if row.unused_link:
        upstream = urlsplit(env["PROXY_API"]).netloc
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{free.getsockname()[1]}"
        text = text.replace("cache: {proxy: cache}", f"cache: {{upstream: {upstream}, listen: {listen}}}")
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


def run_once(row: Row, env: dict[str, str], folder: Path) -> tuple[int, list[str]]:
    """The exit code, and the objectives that deviated."""
    results = folder / f"results-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "shop.py"), "--headless"]
    command += [
        "--only-summary",
        "--chaos-plan",
        str(plan_for(row, folder, env)),
        "--chaos-results",
        str(results),
    ]
    killer = threading.Thread(target=kill_proxy_in_fault, args=(env,), daemon=True)
    if row.kill_proxy:
        killer.start()
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    seen = told(results)
    if not seen.sentence:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    elif done.returncode not in row.exit_codes:
        print(f"  {done.returncode}: {seen.sentence}", file=sys.stderr)
    return done.returncode, list(seen.deviated)


def kill_proxy_in_fault(env: dict[str, str]) -> None:
    """kill -9 of the proxy as soon as its link to the cache is down."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with urllib.request.urlopen(f"{env['PROXY_API']}/proxies/cache") as reply:
            if not json.load(reply)["enabled"]:
                os.kill(int((Path(env["SHOP_STATE"]) / "proxy.pid").read_text()), signal.SIGKILL)
                return
        time.sleep(0.1)


def main(
    times: Annotated[int, typer.Option(help="Runs of each row.")] = 10,
    only: Annotated[list[str] | None, typer.Option(help="The name of a row; may be repeated.")] = None,
) -> None:
    """Prints a table of exit codes: expected, seen, and whether the finding names the objective it should."""
    wrong = 0
    for row in ROWS:
        if only and row.name not in only:
            continue
        codes: Counter[int] = Counter()
        named = 0
        for _ in range(times):  # each with a shop of its own: a broken one stays broken
            with tempfile.TemporaryDirectory() as folder, shop(row.defect) as env:
                code, deviated = run_once(row, env, Path(folder))
                codes[code] += 1
                named += any(row.finding in text for text in deviated)
        right = sum(codes[code] for code in row.exit_codes)
        wrong += right < times or (bool(row.finding) and named < times)
        expected = " or ".join(map(str, row.exit_codes))
        seen = ", ".join(f"{code} x {count}" for code, count in sorted(codes.items()))
        naming = f" named {named}/{times}" if row.finding else ""
        print(f"{row.name:32} expected {expected:6}  seen {seen:20}{naming}", flush=True)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(main)
