"""What the target tells of itself when it is asked badly."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import requests

from chaos_locust.errors import ChaosError
from compliance.measures.access.doors import doors, pushed
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.base import Measure, SideEffect
from compliance.site import Site, json_of
from compliance.target import Account, Exchange, Http, Login, Owned, Target

LEAKS = {
    "stack trace": re.compile(
        r"Traceback \(most recent call last\)|File \"[^\"]+\", line \d+|^\s+at [\w.$<>]+ ?\(.*:\d+\)"
        r"|goroutine \d+ \[|\.rb:\d+:in |#\d+ /\S+\.php\(\d+\)|Exception in thread|System\.\w*Exception",
        re.MULTILINE,
    ),
    "SQL": re.compile(
        r"SQLSTATE|syntax error at or near|psycopg|asyncpg\.|sqlite3\.\w+Error|ORA-\d{5}"
        r"|error in your SQL syntax|Unclosed quotation mark|relation \"\w+\" does not exist"
        r"|\bSELECT\b.{1,200}\bFROM\b|\bINSERT INTO\b|\bDELETE FROM\b|\bUPDATE \w+ SET\b",
        re.DOTALL,
    ),
    "file path": re.compile(
        r"(?<![\w/.:])/(?:usr|home|srv|opt|var|app|etc|root|tmp)/[\w.-]+(?:/[\w.-]+)*|\b[A-Z]:\\\w+\\"
        r"|site-packages|node_modules"
    ),
    "address of a part": re.compile(r"\b(?:postgres(?:ql)?|mysql|redis|mongodb(?:\+srv)?|amqps?)://"),
}


class ErrorAnswers(Measure):
    name = "error_answers"
    says = "what errors show: traces, SQL, paths of files, what was sent; and whether they have a form"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login")
    fields: ClassVar[Mapping[str, str]] = {
        "leaks": "what an answer to a bad request shows of the inside, and to which",
        "echoed": "bad log-ins whose answer has the password in it that was sent",
        "unshaped": "bad requests to what speaks JSON whose error is no JSON object",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        answers, password = asked_badly(site)
        if all(answer is None or answer.status_code >= 500 for _, _, answer in answers):
            raise ChaosError("all that the target answers is that it fails")
        leaks, echoed, unshaped = set(), set(), set()
        for what, speaks_json, answer in answers:
            if answer is None or answer.status_code < 400:
                continue
            shown = answer.text.replace(answer.request.path_url, "")
            leaks |= {f"{kind}: {what}" for kind, form in LEAKS.items() if form.search(shown)}
            if password in shown and site.target.login and f" {site.target.login.path} " in what:
                echoed.add(what)
            if speaks_json and not isinstance(json_of(answer), dict):
                unshaped.add(what)
        return {"leaks": sorted(leaks), "echoed": sorted(echoed), "unshaped": sorted(unshaped)}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_shop()


def asked_badly(site: Site) -> tuple[list[tuple[str, bool, requests.Response | None]], str]:
    """Each with what was bad about it, whether it was to something that speaks JSON, and the answer; and the
    password that was sent. Raises Unreachable, Unsupported, ChaosError."""
    password = f"password-{secrets.token_hex(8)}"
    json_type = {"Content-Type": "application/json", "Accept": "application/json"}
    found = [
        ("no such path", False, pushed(site, "GET", f"/{secrets.token_hex(6)}")),
        ("a path that is no UTF-8", False, pushed(site, "GET", "/%ff%fe")),
    ]
    for door in doors(site):
        bodies = {
            "JSON that is cut off": f'{{"user": "nobody", "password": "{password}", "q": "\'',
            "a list for an object": f'["{password}"]',
            "nothing": "",
        }
        for what, body in bodies.items():
            answer = pushed(
                site, door.method, door.path, token=door.token, data=body.encode(), headers=json_type
            )
            found.append((f"{door} with {what}", True, answer))
        for field in door.fields:
            for what, value in (
                ("an object", {"$ne": password}),
                ("SQL", "' OR 1=1 --"),
                ("a list", [password]),
            ):
                wrong = door.with_field(field, value)
                answer = pushed(site, door.method, door.path, token=door.token, json=wrong)
                found.append((f"{door} with {what} as {field}", True, answer))
        found.append((f"DELETE {door.path}", False, pushed(site, "DELETE", door.path, token=door.token)))
        if door.token is not None:
            answer = pushed(site, door.method, door.path, token="not.a.token", json=door.body)
            found.append((f"{door} with a token that is none", True, answer))
    if site.target.owned is not None:
        for number in ("%27", "9" * 30, "-1"):
            path = site.target.owned.read.replace("{id}", number)
            found.append((f"GET {path}", False, pushed(site, "GET", path, token=_token(site))))
    return found, password


def _token(site: Site) -> str | None:
    return site.token(site.target.accounts[0]) if site.target.accounts else None


@contextmanager
def bad_shop(handler: type[BadHandler] = BadHandler) -> Iterator[Target]:
    with bad_service(handler) as url:
        yield bad_doors(url)


def bad_doors(url: str) -> Target:
    """What BadHandler has of a shop."""
    return Target(
        name="bad",
        http=Http(url=url),
        login=Login(path="/login", body={"user": "{user}", "password": "{password}"}),
        accounts=(Account(user=BadHandler.USER, password=BadHandler.PASSWORD),),
        owned=Owned(create=Exchange(method="POST", path="/orders", body={"note": "x"}), read="/orders/{id}"),
    )


MEASURES = (ErrorAnswers,)
