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
    def seen() -> list[dict[str, object]]:
        lines = (shop.state / "access.log").read_text().splitlines()[before:]
        return [json.loads(line) for line in lines]

    def enough() -> bool:
        """A shopper has logged in again twice, and orders came through."""
        paths = [each["path"] for each in seen() if each["path"] == "/login" or each["status"] == 201]
        return paths.count("/login") >= at_first + 2 and paths.count("/orders") > 2

    before = len((shop.state / "access.log").read_text().splitlines())
    at_first = 3 if name == "tokens" else 1  # a good token, and two that are not
    file, output = tmp_path / "impatient.py", tmp_path / "output"
    file.write_text(IMPATIENT.format(folder=str(ROOT / "locustfiles"), name=name))
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", "20", "-r", "20"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with output.open("wb") as told:
        locust = subprocess.Popen(
            [*command, "-t", "2m", "--host", shop.ready["shop"], "--exit-code-on-error", "0"],
            env={**os.environ, "PYTHONPATH": path, "XDG_STATE_HOME": str(tmp_path)},
            cwd=tmp_path,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        try:
            assert until(enough, 60), output.read_text()
        finally:
            locust.terminate()
            code = locust.wait(60)
    assert code == 0, output.read_text()
    ordered = {each["status"] for each in seen() if each["path"] == "/orders"}
    assert ordered <= ({201, 401, None} if name == "tokens" else {201, None})
