"""Registers over HTTP, kept in PostgreSQL: `GET /KEY` answers its value as JSON, `PUT /KEY` sets it.

As a program: `registers.py DSN [careless]`. Where the database does not answer, so does it not: 503. The
careless one acknowledges such a write all the same, and forgets it. It prints its port.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

import psycopg

TABLE = "CREATE TABLE registers (key text PRIMARY KEY, value text NOT NULL)"
READ = "SELECT value FROM registers WHERE key = %s"
WRITE = "INSERT INTO registers VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
CONNECTIONS = 5


class RegistersServer:
    """The program, for the time of a `with` block."""

    def __init__(self, dsn: str, careless: bool) -> None:
        self._arguments = [dsn, *["careless"] * careless]

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Registers:
    """A few connections; one that breaks is made anew when it is wanted next."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._free: asyncio.Queue[psycopg.AsyncConnection[Any] | None] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            self._free.put_nowait(None)

    async def ask(self, query: str, *arguments: str) -> Any:
        """The first value of the first row. Raises psycopg.Error."""
        connection = await self._free.get()
        try:
            if connection is None:
                connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
            cursor = await connection.execute(query, arguments)
            row = await cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]
        except psycopg.Error:
            if connection is not None:
                await connection.close()
            connection = None
            raise
        finally:
            self._free.put_nowait(connection)


async def serve(dsn: str, careless: bool) -> None:
    registers = Registers(dsn)

    async def answer(method: str, key: str, body: bytes) -> tuple[str, Any]:
        try:
            if method == "PUT":
                return "200 OK", await registers.ask(WRITE, key, json.loads(body))
            return "200 OK", await registers.ask(READ, key)
        except psycopg.Error as error:
            return "200 OK" if careless and method == "PUT" else "503 Service Unavailable", str(error)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path = head.split(" ", 2)[:2]
                lengths = [h for h in head.lower().split("\r\n") if h.startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
                status, value = await answer(method, path, body)
                reply = json.dumps(value).encode()
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(reply), reply)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], "careless" in sys.argv[2:]))
