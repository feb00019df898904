"""Random commands get the same replies from the embedded proxy and from the real server."""

from __future__ import annotations

import json
import random
import re
from urllib.parse import quote

import pytest

COMMANDS = 2000
NAMES = [
    "a",
    "b",
    "c d",
    "é",
    "<&>",
    'q"uote',
    "ein/aus",
    "..",
    "x" * 200,
    "\u2028",
    "\x01\x7f",
    "",
    "%41",
    "?x",
]
KINDS = [
    "latency",
    "bandwidth",
    "timeout",
    "reset_peer",
    "slow_close",
    "slicer",
    "limit_data",
    "noop",
    "Latency",
    "",
]
ATTRIBUTES = [
    "latency",
    "jitter",
    "rate",
    "timeout",
    "delay",
    "average_size",
    "size_variation",
    "bytes",
    "LATENCY",
    "x",
]
STREAMS = ["upstream", "downstream", "UPSTREAM", "Downstream", "sideways", ""]
VALUES = [
    0,
    1,
    -1,
    5,
    1000,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**30,
    1.5,
    -0.0,
    1e2,
    "7",
    "",
    None,
    True,
    [],
    {},
    [1],
    {"a": 1},
]
TOXICITIES = ["1", "0", "0.5", "-1", "2", "0.1", "1e-7", "1e-6", "123456789", "1e20", "1e21", "3e38",
"1e39", "1e-50",
              "0.30000001192092896", "-0", "16777217", "1.0E+2", "true", '"1"', "null", "[]", "01", "1.",
              ".5", "-", "+1"]  # fmt: skip
BROKEN = [
    b"", b" ", b"{", b"}", b"{bad", b"[", b"]", b"nul", b"nulL", b"tru", b"trux", b"falze", b"nxll", b'"',
    b'"a', b'"\\', b'"\\x"', b'"\\u12g4"',
    b'"\x01"', b'"\t"', b"-", b"-a", b"1.a", b"1ea", b"1e+", b"0123", b"5x", b"null", b"true", b"5", b'"s"',
    b"[]", b"{}", b"{}x", b"{} {}",
    b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1 "b"}', b"{'a':1}", b'{"a" 1}', b"[1 2]", b"[1,]", b"[,]",
    b"\xef\xbb\xbf{}", b"\xff", b"\x80{}",
    b"\xc2\xa0", b"\xc2\xad", b"\\", b'{"name":"\xff\xe2\x82"}',
    b'{"name":"\\ud800x","upstream":"\\ud83d\\ude00"}',
    b'{"name":"\\u0000\\b\\f\\/","upstream":"u","listen":"127.0.0.1:0","enabled":false}', b"[" * 10001,
    b"\x7f", b"\n\t 'x", b"\r\n",
]  # fmt: skip


class Commands:
    """A stream of requests; `{port0}` to `{port3}` stand for ports that are free on each server's side."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def name(self) -> str:
        return self.rng.choice(NAMES[:4] if self.rng.random() < 0.8 else NAMES)

    def listen(self) -> str:
        odd = ["", "x", ":99999", "127.0.0.1:http_", "127.0.0.1:-1", "1:2:3", "[::1", "[::1]", "[::1]x:1",
        "[::1]:1:2",
               "192.0.2.1:{port0}", "]:1", "a[b:1", "127.0.0.1:", "127.0.0.1:0", ":0", "0.0.0.0:0", "[::]:0",
               "::1:0", "127.0.0.1:99999999999999999999", "+:5", "localhost:0",
               "[::ffff:127.0.0.1]:0"]  # fmt: skip
        usual = f"127.0.0.1:{{port{self.rng.randrange(4)}}}"
        return usual if self.rng.random() < 0.8 else self.rng.choice(odd)

    def value(self, usual: object) -> object:
        return usual if self.rng.random() < 0.93 else self.rng.choice(VALUES)

    def proxy(self) -> dict[str, object]:
        fields = {
            "name": self.value(self.name()),
            "listen": self.value(self.listen()),
            "upstream": self.value("127.0.0.1:9"),
            "enabled": self.value(self.rng.random() < 0.5),
            "Logger": self.value({}),
            "toxics": self.value([]),
        }
        keys = [
            key
            for key in fields
            if self.rng.random() < (0.9 if key in ("name", "listen", "upstream") else 0.4)
        ]
        self.rng.shuffle(keys)
        return {key.upper() if self.rng.random() < 0.05 else key: fields[key] for key in keys}

    def toxic(self) -> bytes:
        fields = {
            "name": self.value(self.rng.choice(["t", "u", "", "é<"])),
            "type": self.value(self.rng.choice(KINDS)),
            "stream": self.value(self.rng.choice(STREAMS[:4] if self.rng.random() < 0.9 else STREAMS)),
            "attributes": self.value({
                self.rng.choice(ATTRIBUTES): self.value(self.rng.randrange(-9, 10**6)) for _ in range(3)
            }),
        }  # fmt: skip
        text = json.dumps({key: value for key, value in fields.items() if self.rng.random() < 0.75})
        if self.rng.random() < 0.5:
            number = self.rng.choice(TOXICITIES if self.rng.random() < 0.6 else TOXICITIES[:16])
            text = text[:-1] + (", " if len(text) > 2 else "") + f'"toxicity": {number}}}'
        return text.encode()

    def body(self, usual: bytes) -> bytes:
        return usual if self.rng.random() < 0.9 else self.rng.choice(BROKEN)

    def next(self) -> tuple[str, str, bytes | None]:
        rng = self.rng
        proxy = f"/proxies/{quote(self.name(), safe='.' if rng.random() < 0.9 else '/?')}"
        toxic = f"{proxy}/toxics/{quote(rng.choice(['t', 'u', 'é<', 'latency_downstream', 'none']))}"
        update = rng.choice(["POST", "PATCH"])
        choices: list[tuple[int, str, str, bytes | None]] = [
            (10, "POST", "/proxies", self.body(json.dumps(self.proxy()).encode())),
            (8, update, proxy, self.body(json.dumps(self.proxy()).encode())),
            (3, "GET", proxy, None),
            (3, "DELETE", proxy, None),
            (25, "POST", f"{proxy}/toxics", self.body(self.toxic())),
            (10, update, toxic, self.body(self.toxic())),
            (3, "GET", toxic, None),
            (4, "DELETE", toxic, None),
            (3, "GET", f"{proxy}/toxics", None),
            (5, "GET", "/proxies", None),
            (5, "POST", "/populate",
            self.body(json.dumps([self.proxy() for _ in range(rng.randrange(4))]).encode())),
            (1, "POST", "/populate", json.dumps([self.proxy(), rng.choice(VALUES)]).encode()),
            (1, "POST", "/reset", rng.choice([None, b"{bad"])),
            (2, rng.choice(["GET", "PUT", "HEAD", "OPTIONS", "DELETE", "POST"]),
             rng.choice(["/", "//", "/proxies/", "//proxies", "/proxies//a", "/proxies/./a",
             "/proxies/../version",
                         "/version", "/metrics", "/reset", "/populate", "/proxies/a/toxics/", "/proxies/%zz",
                         "/proxies?x=1", "/version?a//b", "/proxies/a/toxics/t/u", "/%70roxies",
                         "/proxies/a%2Ftoxics",
                         "/proxies/%ff", "/proxies/a//?q=%2F"]), None),
        ]  # fmt: skip
        weights = [choice[0] for choice in choices]
        return rng.choices([choice[1:] for choice in choices], weights)[0]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_commands_are_answered_alike(seed, start, choose_free_port):
    sides = [(start(kind), [str(choose_free_port()) for _ in range(4)]) for kind in ("embedded", "real")]
    commands = Commands(seed)
    statuses: dict[int, int] = {}
    for number in range(COMMANDS // 2):
        method, path, body = commands.next()
        replies = []
        for server, ports in sides:
            sent = body
            for i, port in enumerate(ports):
                sent = None if sent is None else sent.replace(f"{{port{i}}}".encode(), port.encode())
            reply = server.request(method, path, sent)
            text = reply.body
            for i, port in enumerate(ports):
                text = text.replace(f":{port}", f":port{i}")
            # A port that the system chose differs by nature, and so does the name server's address.
            text = re.sub(r'("listen":"[^"]*:)\d{4,5}"', r'\1chosen"', text)
            replies.append(reply._replace(body=re.sub(r" on [0-9.]+:53", "", text)))
        if path == "/reset" and replies[0].status == replies[1].status == 500:
            # The real server starts the proxies in any order, so how far it came is chance: begin anew.
            sides = [(start(server.kind), ports) for server, ports in sides]
            continue
        assert replies[0] == replies[1], f"command {number}: {method} {path} {body!r}"
        statuses[replies[0].status] = statuses.get(replies[0].status, 0) + 1
    # The commands reach everything: a generator that only made errors would prove nothing.
    assert set(statuses) >= {200, 201, 204, 301, 400, 404, 405, 409, 500}, statuses
    assert statuses[200] > COMMANDS // 20
