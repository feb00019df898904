"""The shipped shoppers outlast their tokens: they log in again, and order with what they are given then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
IMPATIENT = """
import sys

sys.path.insert(0, {folder!r})
import {name}

{name}.RENEW_S = 1.0
Shopper = {name}.Shopper
"""


@pytest.mark.parametrize("name", ["shop", "popular", "tokens"])
def test_shoppers_log_in_again(shop, until, tmp_path, name) -> None:
    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in (shop.state / "access.log").read_text().splitlines()]

    before = len(lines())
    file = tmp_path / "impatient.py"
    file.write_text(IMPATIENT.format(folder=str(ROOT / "locustfiles"), name=name))
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", "20", "-r", "20"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "-t", "6s", "--host", shop.ready["shop"], "--exit-code-on-error", "0"],
        env={**os.environ, "PYTHONPATH": path, "XDG_STATE_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    at_first = 3 if name == "tokens" else 1  # a good token, and two that are not
    assert until(lambda: sum(each["path"] == "/login" for each in lines()[before:]) >= at_first + 2)
    ordered = [each["status"] for each in lines()[before:] if each["path"] == "/orders"]
    assert ordered.count(201) > 2
    assert set(ordered) <= ({201, 401, None} if name == "tokens" else {201, None})
