"""The recorded replies of the real server, from an empty one on."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "data" / "golden-toxiproxy.jsonl"


@pytest.mark.parametrize("kind", ["embedded", "real"])
def test_every_recorded_request_is_answered_as_recorded(kind, start, choose_free_port):
    free: dict[str, str] = defaultdict(lambda: f"127.0.0.1:{choose_free_port()}")
    text = re.sub("127.0.0.1:310[0-9]{2}", lambda recorded: free[recorded[0]], GOLDEN.read_text())
    exchanges = [json.loads(line) for line in text.splitlines()]
    server = start(kind)
    for number, exchange in enumerate(exchanges, start=1):
        body = exchange["body"].encode() if "body" in exchange else None
        headers = {"Connection": "close", **exchange.get("headers", {})}
        reply = server.request(exchange["method"], exchange["path"], body, headers)
        assert reply._asdict() == exchange["reply"], (
            f"request {number}: {exchange['method']} {exchange['path']}"
        )
    assert len(exchanges) == 149
