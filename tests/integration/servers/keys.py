"""A key-value server over HTTP: `GET /KEY` answers its value as JSON, `PUT /KEY` sets it.

As a program: `keys.py LOSES`. Every LOSES-th write is acknowledged and forgotten; 0: none. It prints its
port.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self


class KeysServer:
    """The program, for the time of a `with` block."""

    def __init__(self, loses: int = 0) -> None:
        self._loses = loses

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, str(self._loses)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


async def serve(loses: int) -> None:
    values: dict[str, Any] = {}
    writes = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal writes
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path = head.split(" ", 2)[:2]
                lengths = [h for h in head.lower().split("\r\n") if h.startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
                if method == "PUT":
                    writes += 1
                    if not loses or writes % loses:
                        values[path] = json.loads(body)
                reply = json.dumps(values.get(path)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(reply), reply))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
