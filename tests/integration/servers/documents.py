"""A lock, a document with a version, and a price that is fetched from an origin, over HTTP.

`PUT /lock` with a token as JSON: 409 while another holds it; `DELETE /lock/TOKEN`; `POST /work` takes time.
`GET /document` has an ETag; `PUT /document` with another one in If-Match is answered with 412. `GET /price`
is fetched once for all and kept; `GET /origin/calls` tells when. As a program: `documents.py DEFECT`, one of
DEFECTS or none. It prints its port.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

WORK_S = 0.03
KEPT_S = 5.5
DEFECTS = ("opens", "overwrites", "stampedes")


class DocumentsServer:
    """The program, for the time of a `with` block."""

    def __init__(self, defect: str = "") -> None:
        self._defect = defect

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, self._defect]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Documents:
    """Every fifth time the defect shows."""

    def __init__(self, defect: str) -> None:
        self._defect, self._times = defect, itertools.count(1)
        self._holder, self._text, self._version = "", "first", 0
        self._kept_until_s, self._fetching = 0.0, asyncio.Lock()
        self._calls: list[dict[str, Any]] = []

    async def answer(self, method: str, path: str, based_on: str, body: str) -> tuple[int, str]:
        """(status, body)"""
        match method, path.split("/")[1:]:
            case "PUT", ["lock"]:
                if self._holder and not self._shows("opens"):
                    return 409, ""
                self._holder = json.loads(body)
            case "DELETE", ["lock", token]:
                self._holder = "" if self._holder == token else self._holder
            case "POST", ["work"]:
                await asyncio.sleep(WORK_S)
            case "GET", ["document"]:
                return 200, self._text
            case "PUT", ["document"]:
                if based_on != self.version and not self._shows("overwrites"):
                    return 412, ""
                self._text, self._version = body, self._version + 1
            case "GET", ["price"]:
                async with self._fetching:
                    if time.monotonic() > self._kept_until_s or self._shows("stampedes"):
                        await self._fetch()
            case "GET", ["origin", "calls"]:
                return 200, json.dumps(self._calls)
            case _:
                return 404, ""
        return 200, ""

    @property
    def version(self) -> str:
        return f'"{self._version}"'

    async def _fetch(self) -> None:
        start_s = time.monotonic()
        await asyncio.sleep(WORK_S)
        end_s = time.monotonic()
        self._kept_until_s = end_s + KEPT_S
        self._calls.append({"key": "price", "start_s": start_s, "end_s": end_s, "ok": True})

    def _shows(self, defect: str) -> bool:
        return self._defect == defect and next(self._times) % 5 == 0


async def serve(defect: str) -> None:
    documents = Documents(defect)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path = first.split(" ", 2)[:2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                based_on = headers.get("if-match", "")
                status, text = await documents.answer(method, path, based_on, body.decode())
                head = f"HTTP/1.1 {status} X\r\nETag: {documents.version}\r\n"
                writer.write(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
