"""What the target makes of input that nobody should send: malformed, hostile, for other files, too long.

Nothing that is sent changes or deletes anything; at most something that a user owns is made. All measures
together send fewer than 100 requests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, ClassVar

import requests

from compliance.measures.access.doors import Crashes, Door, doors, pushed
from compliance.measures.base import Beside, Measure, SideEffect
from compliance.measures.web.errors import LEAKS, bad_shop
from compliance.measures.web.inputs_bad import Devours, GivesFiles, Injectable
from compliance.measures.web.raw import exchange
from compliance.site import Site, at, json_of
from compliance.target import Target

JSON = {"Content-Type": "application/json"}
DEEP = 20_000
LONG = 100_000
BODIES: Mapping[str, bytes] = {
    "JSON that is cut off": b'{"a": ',
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "deep nesting": b"[" * DEEP + b"]" * DEEP,
    "a number beyond all": b'{"a": 1e999, "b": ' + b"9" * 5000 + b"}",
    "a list": b"[]",
    "half a character": b'{"a": "\\ud800"}',
}
VALUES: Mapping[str, Any] = {
    "null": None,
    "an object": {"a": {}},
    "a list": [[]],
    "a number": -1,
    "a text": "x\u0000y",
    "a very long text": "x" * LONG,
}
SQL = ("'", "' OR '1'='1' --", '"; --')
DELAYS = ("'||(SELECT pg_sleep({}))||'", "' OR SLEEP({}) -- ", "'; SELECT pg_sleep({}) --")
SHORT_S, LONG_S = 1, 2
FILES = (
    "/../../../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static/..%252f..%252f..%252f..%252f..%252fetc%252fpasswd",
    "/..%5c..%5c..%5c..%5cwindows%5cwin.ini",
    "/.env",
    "/.git/config",
)
IN_FILES = (
    "root:x:0:0:",
    "root:*:0:0:",
    "[fonts]",
    "[core]\n\trepositoryformatversion",
    "SECRET_KEY=",
    "PASSWORD=",
)
BODY_BYTES = 24 * 1024 * 1024
"""More than the buffers of both ends hold: a server that does not read it cannot be sent it."""
REFUSALS = (411, 413, 431)


class MalformedInput(Measure):
    name = "malformed_input"
    says = "whether malformed, wrong, very long and deeply nested input is refused without the target failing"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login")
    fields: ClassVar[Mapping[str, str]] = {"crashes": "what was answered by 5xx, or not at all"}

    def take(self, site: Site) -> Mapping[str, Any]:
        crashes = Crashes()
        for door in doors(site):
            for what, body in BODIES.items():
                answer = pushed(site, door.method, door.path, token=door.token, data=body, headers=JSON)
                crashes.see(f"{door} with {what}", answer)
            for field in door.fields:
                for what, value in VALUES.items():
                    answer = pushed(
                        site, door.method, door.path, token=door.token, json=door.with_field(field, value)
                    )
                    crashes.see(f"{door} with {what} as {field}", answer)
        return {"crashes": crashes.told()}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_shop(Injectable)


class Injection(Measure):
    name = "injection"
    says = "whether SQL or script in the input reaches a database or a browser"
    side_effect: ClassVar[SideEffect] = "active"
    beside: ClassVar[Beside] = "nothing"  # noise would hide what time tells
    needs = ("http", "login")
    fields: ClassVar[Mapping[str, str]] = {
        "sql": "SQL in the input that is answered by an error of the database, by 5xx, or by a log-in",
        "delays": "SQL in the input by which the answer takes as long as it says: the first that was found",
        "scripts": "script in the input that an answer hands back, unchanged, as what a browser runs",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        crashes = Crashes()
        delays: list[str] = []
        scripts: list[str] = []
        script = f"<script>/*{secrets.token_hex(6)}*/</script>"
        for door in doors(site):
            raw = pushed(site, door.method, door.path, token=door.token, data=script.encode(), headers=JSON)
            scripts += [f"{door}: body"] * _runs(raw, script)
            for field in door.fields:
                if not isinstance(door.body[field], str):
                    continue
                for text in SQL:
                    answer = _with(site, door, field, text)
                    _see_sql(crashes, site, f"{door} with {text} as {field}", answer)
                scripts += [f"{door}: {field}"] * _runs(_with(site, door, field, script), script)
                if not delays:
                    slow = (each for each in DELAYS if _slowed(site, door, field, each))
                    delays += [f"{door} with {each} as {field}" for each in islice(slow, 1)]
        for path in (f"/{script}", f"/?q={script}"):
            scripts += [path.split("<")[0]] * _runs(pushed(site, "GET", path), script)
        return {"sql": crashes.told(), "delays": delays, "scripts": scripts}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_shop(Injectable)


class Traversal(Measure):
    name = "path_traversal"
    says = "whether files that are not for anybody can be asked for by their path"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {"read": "paths that were answered with such a file"}

    def take(self, site: Site) -> Mapping[str, Any]:
        paths = list(FILES)
        if site.target.owned is not None:
            paths.append(site.target.owned.read.replace("{id}", FILES[1].strip("/")))
        answers = {path: exchange(site, "GET", path, (), ()) for path in paths}
        return {
            "read": [path for path, each in answers.items() if any(text in each.text for text in IN_FILES)]
        }

    def bad(self) -> AbstractContextManager[Target]:
        return bad_shop(GivesFiles)


class BodySize(Measure):
    name = "body_size"
    says = f"whether a body of {BODY_BYTES // 1024**2} MiB is refused without being taken"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login")
    fields: ClassVar[Mapping[str, str]] = {
        "declared_is_refused": "one whose size is said before",
        "chunked_is_refused": "one whose size is not",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        door = doors(site)[0]
        piece = b"x" * 65_536
        head, tail = b'{"user": "', b'", "password": "x"}'
        middle = [piece] * (BODY_BYTES // len(piece))
        headers = ["Content-Type: application/json"]
        length = len(head) + len(tail) + len(middle) * len(piece)
        declared = exchange(
            site, door.method, door.path, [*headers, f"Content-Length: {length}"], (head, *middle, tail)
        )
        chunks = (b"%x\r\n%s\r\n" % (len(each), each) for each in (head, *middle, tail))
        chunked = exchange(
            site, door.method, door.path, [*headers, "Transfer-Encoding: chunked"], (*chunks, b"0\r\n\r\n")
        )
        site.request("GET", "/")  # what closes a connection must still be there
        refused = [each.status in REFUSALS or not each.took_all for each in (declared, chunked)]
        return {"declared_is_refused": refused[0], "chunked_is_refused": refused[1]}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_shop(Devours)


def _with(site: Site, door: Door, field: str, value: Any) -> requests.Response | None:
    return pushed(site, door.method, door.path, token=door.token, json=door.with_field(field, value))


def _see_sql(crashes: Crashes, site: Site, what: str, answer: requests.Response | None) -> None:
    crashes.see(what, answer)
    if answer is None or answer.status_code >= 500:
        return
    login = site.target.login
    if LEAKS["SQL"].search(answer.text):
        crashes.found.append(f"{what}: an error of the database")
    elif login and f" {login.path} " in what and answer.ok and at(json_of(answer), login.token):
        crashes.found.append(f"{what}: logged in")


def _slowed(site: Site, door: Door, field: str, text: str) -> bool:
    """Whether the answer takes as long as the SQL says, each time that it says another time: a busy target is
    slow as well, but not so obediently."""
    if _takes_s(site, door, field, text.format(SHORT_S)) < SHORT_S:
        return False
    for said_s in (LONG_S, SHORT_S):
        without_s = _takes_s(site, door, field, text.format(0))
        if abs(_takes_s(site, door, field, text.format(said_s)) - without_s - said_s) > SHORT_S / 2:
            return False
    return True


def _takes_s(site: Site, door: Door, field: str, text: str) -> float:
    began_s = site.clock()
    _with(site, door, field, text)
    return site.clock() - began_s


def _runs(answer: requests.Response | None, script: str) -> bool:
    """A browser runs it out of HTML and its like, and out of what it takes for that."""
    if answer is None or script not in answer.text:
        return False
    kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind in ("text/plain", "application/octet-stream", ""):
        return answer.headers.get("X-Content-Type-Options", "").strip().lower() != "nosniff"
    return any(each in kind for each in ("html", "xml", "svg"))


MEASURES = (MalformedInput, Injection, Traversal, BodySize)
