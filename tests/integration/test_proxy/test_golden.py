"""The recorded replies of the real server, from an empty one on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "data" / "golden-toxiproxy.jsonl"


@pytest.mark.parametrize("kind", ["embedded", "real"])
def test_every_recorded_request_is_answered_as_recorded(kind, start, choose_free_port):
    text = GOLDEN.read_text()
    for port in sorted(set(re.findall("127.0.0.1:(310[0-9]{2})", text))):
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{choose_free_port()}")
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
