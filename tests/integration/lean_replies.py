"""Puts every awkward reply to one client, in a process of its own, which Locust patches: `lean` or `fast`.

Prints a JSON object: name of the case -> [what came of it, what came of the next request, was that on the
same connection]. Every case has a server of its own; a second request follows each first one.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from locust import FastHttpUser, User
from locust.env import Environment

from chaos_locust import LeanHttpUser
from tests.integration.awkward_replies import CASES, Awkward

TIMEOUT_S = 10.0
HUNG_S = 40.0
MAX_BODY_BYTES = 100_000
HUNG = "no end"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"


class Server:
    """Answers `/first` as the case says, and `/second` as it should be."""

    def __init__(self, case: Awkward) -> None:
        self._case = case
        self.connections: dict[str, set[int]] = {"/first": set(), "/second": set()}
        self._opened = 0
        self.server = StreamServer(("127.0.0.1", 0), self._serve)
        self.server.start()

    def _serve(self, connection: Any, _: Any) -> None:
        self._opened += 1
        number = self._opened
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb") as lines:
                while request := lines.readline():
                    path = request.split()[1].decode()
                    while lines.readline() not in (b"\r\n", b""):
                        pass
                    self.connections[path].add(number)
                    if path == "/second":
                        connection.sendall(SECOND)
                    elif not self._answer(connection):
                        return
        except OSError:
            pass  # the client has had enough

    def _answer(self, connection: Any) -> bool:
        case = self._case
        for piece in case.pieces:
            connection.sendall(piece)
            gevent.sleep(case.pause_s)
        while case.then == "repeat":
            connection.sendall(case.pieces[-1])
            gevent.sleep(case.pause_s)
        if case.then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return case.then == "wait"


class Hung(BaseException):
    """No client takes it for one of its own failures."""


def told(user: Any, method: str, path: str, stream: bool = False) -> str:
    """In one line what Locust is told of a request, or what is raised in the task."""
    reported: list[BaseException | None] = []
    user.environment.events.request.add_listener(lambda exception, **_: reported.append(exception))
    try:
        with gevent.Timeout(HUNG_S, Hung):
            response = user.client.request(method, path, stream=stream)
            if reported[-1] is not None:
                return type(reported[-1]).__name__
            if stream:
                length = sum(len(piece) for piece in response.iter_content(60_000, False))
                return f"{response.status_code} {length} bytes"
            body = (response.content or b"").decode("latin-1")
            return f"{response.status_code} {body}"[:44]
    except Hung:
        return HUNG
    except Exception as error:
        return f"raised {type(error).__name__}"


def put(case: Awkward, base: type[Any]) -> tuple[str, str, bool]:
    server = Server(case)
    body: dict[str, Any] = {"host": f"http://127.0.0.1:{server.server.server_port}"}
    body |= {"network_timeout": TIMEOUT_S, "max_body_bytes": MAX_BODY_BYTES, "max_redirects": 5}
    user_class: type[User] = type("Puts", (base,), body)
    user: Any = user_class(Environment(user_classes=[user_class]))
    first = told(user, case.method, "/first", case.stream)
    gevent.sleep(0.1)
    second = told(user, "GET", "/second")
    server.server.stop()
    again = bool(server.connections["/first"] & server.connections["/second"])
    return first, second, again


def main(which: str) -> None:
    base = {"lean": LeanHttpUser, "fast": FastHttpUser}[which]
    outcomes: dict[str, tuple[str, str, bool]] = {}

    def note(case: Awkward) -> None:
        outcomes[case.name] = put(case, base)

    Pool(40).map(note, CASES)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1])
