"""A target for load tests: answers any HTTP request at once and remembers when each one arrived.

Run as a program it prints its port and then obeys lines on its standard input: `hang` (accept, read and
hold every request), `answer` (answer those held and all that follow), `log` (print all arrivals as one JSON
list of [epoch_s, "METHOD path"]). `Target` starts it and talks to it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Self


class Target:
    """The program, for the time of a `with` block. Blocking; works with and without gevent."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{int(self._line())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def hang(self) -> None:
        self._say("hang")

    def answer(self) -> None:
        self._say("answer")

    def log(self) -> list[tuple[float, str]]:
        """(epoch_s, "METHOD path") of every request, in the order in which they arrived."""
        return [(epoch_s, what) for epoch_s, what in json.loads(self._say("log"))]

    def _say(self, word: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


async def serve() -> None:
    arrivals: list[tuple[float, str]] = []
    answering = asyncio.Event()
    answering.set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                arrivals.append((time.time(), " ".join(head.split(" ", 2)[:2])))
                lengths = [h for h in head.lower().split("\r\n") if h.startswith("content-length:")]
                if lengths:
                    await reader.readexactly(int(lengths[0].split(":")[1]))
                await answering.wait()
                status = "503 Service Unavailable" if "/broken" in head else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while command := (await commands.readline()).decode().strip():
        if command == "hang":
            answering.clear()
        elif command == "answer":
            answering.set()
        print(json.dumps(arrivals) if command == "log" else command, flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
