"""A server that logs when each request arrived and when it was answered. It may stop answering meanwhile.

As a program: `timed.py STALL_AFTER STALL_S`. From its STALL_AFTER-th request on it answers nothing for
STALL_S seconds ("inf": never again), then what it has held, in order, one every 2 ms, as a server works
off a backlog. It prints its port; for each line on its standard input it prints the whole log as JSON.
"""

from __future__ import annotations

import asyncio
import json
import math
import resource
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Logged:
    """One request. Times in seconds since the epoch; answered_s None: never."""

    arrived_s: float
    answered_s: float | None
    path: str


class TimedServer:
    """The program, for the time of a `with` block."""

    def __init__(self, stall_after: int = 1, stall_s: float = 0.0) -> None:
        self._arguments = [str(stall_after), str(stall_s)]

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def log(self) -> list[Logged]:
        """In the order of arrival."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("log\n")
        self._process.stdin.flush()
        return [Logged(*entry) for entry in json.loads(self._process.stdout.readline())]


class _Service:
    def __init__(self, stall_after: int, stall_s: float) -> None:
        self.entries: list[list[float | str | None]] = []
        self._stall_after = stall_after
        self._stall_s = stall_s
        self._held: deque[asyncio.Future[None]] | None = None
        self._release: asyncio.Task[None] | None = None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                entry: list[float | str | None] = [time.time(), None, head.split(b" ", 2)[1].decode()]
                self.entries.append(entry)
                if self._stall_s and len(self.entries) == self._stall_after:
                    self._held = deque()
                    if math.isfinite(self._stall_s):
                        self._release = asyncio.create_task(self._release_later(self._held))
                if self._held is not None:
                    turn = asyncio.get_running_loop().create_future()
                    self._held.append(turn)
                    await turn
                entry[1] = time.time()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _release_later(self, held: deque[asyncio.Future[None]]) -> None:
        await asyncio.sleep(self._stall_s)
        while held:
            held.popleft().set_result(None)
            await asyncio.sleep(0.002)
        self._held = None


async def serve(stall_after: int, stall_s: float) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 10_000)), hard))
    service = _Service(stall_after, stall_s)
    server = await asyncio.start_server(service.connected, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(json.dumps(service.entries), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
