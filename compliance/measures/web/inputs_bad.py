"""Services that fall for hostile input, for positive controls."""

from __future__ import annotations

import json
import re
import time

from compliance.measures.bad import BadHandler

_SLEEP = re.compile(r"sleep\((\d+)\)", re.IGNORECASE)


class Injectable(BadHandler):
    """Puts its input into SQL as it is: quotes break it, and what it says to wait for is waited for."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            self._answer(500, f"<p>cannot read {body[:200]}</p>")
            return
        told = json.dumps(given)
        if said := _SLEEP.search(told):
            time.sleep(int(said[1]))
            self._answer(200, {"rows": 0})
        elif "'" in told or '\\"' in told:
            self._answer(500, f"syntax error at or near {told[:200]}")
        else:
            self._answer(200, {"id": "1", "access_token": "token-of-anybody"})


class GivesFiles(BadHandler):
    """Reads whatever file is asked for."""

    def do_GET(self) -> None:
        self._answer(200, "root:x:0:0:root:/root:/bin/sh\n" if "passwd" in self.path else "")


class Devours(BadHandler):
    """Takes bodies of any size."""

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while (size := int(self.rfile.readline(), 16)) >= 0:
                self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    break
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(200, {"access_token": "token-of-anybody"})
