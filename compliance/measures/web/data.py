"""Whether secrets and card numbers are where they should not be: logs, answers, the database, the way to it.

What is found is counted and named, never shown."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.records import pauses
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.operations.leaked import FORMS, is_telling, leaked, told
from compliance.measures.stores.postgres_rows import TABLES, Ask, ask, holding
from compliance.measures.web.errors import bad_shop
from compliance.site import Site, at, filled, json_of
from compliance.target import Logs, Owned, Postgres, Target

BLOCK_BYTES = 8 * 1024 * 1024
OLDER_BYTES = 8 * 1024 * 1024
"""Of what a log had before; all that came since then is searched."""

LOG_PATIENCE_S = 2.0
LINKS = """
SELECT a.client_addr::text, a.client_port, s.ssl FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid)
WHERE a.usename = %s AND a.pid <> pg_backend_pid()"""


class SecretsInLogs(Measure):
    name = "secrets_in_logs"
    says = "whether log files have passwords, tokens, keys or card numbers in them"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("logs",)
    fields: ClassVar[Mapping[str, str]] = {"found": "what is in which file, and how often"}

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.logs is not None
        files = site.target.logs.files
        before = {file: _size(file) for file in files}
        known, marker = _made_to_log(site)
        if marker:
            for _ in pauses(site, LOG_PATIENCE_S):  # what we did is logged when it is logged
                if any(marker in text for file in files for text in _blocks(file, before[file])):
                    break
            else:
                site.note(f"the request for /{marker} is in none of them")
        found = {}
        for file in files:
            counts = Counter[str]()
            for text in _blocks(file, max(0, before[file] - OLDER_BYTES)):
                counts += leaked(text, known)
            found[file.name] = counts
        site.note(
            f"searched {', '.join(str(file) for file in files)} for {', '.join(FORMS)} and card numbers"
        )
        return {"found": told(found)}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "access.log"
            file.write_text("POST /login user=ada password=countess card=4111111111111111\n")
            yield Target(name="bad", logs=Logs(files=(file,)))


class SecretsInAnswers(Measure):
    name = "secrets_in_answers"
    says = "whether answers have passwords, their hashes, keys or whole card numbers in them"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {"found": "what is in which answer, and how often"}

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.http is not None
        token = site.token(site.target.accounts[0])
        known = _passwords(site)
        answers = {}
        if (owned := site.target.owned) is not None:
            made = site.send(owned.create, token)
            answers[f"{owned.create.method} {owned.create.path}"] = made
            number = str(at(json_of(made), owned.id))
            answers[f"GET {owned.read}"] = site.request(
                "GET", filled(owned.read, {"id": number}), token=token
            )
        gets = [each.path for each in site.target.http.routes if each.method == "GET"]
        for path in [*gets, *site.target.http.public]:
            if "{" not in path and "*" not in path:
                answers[f"GET {path}"] = site.request("GET", path, token=token)
        seen = {what: answer for what, answer in answers.items() if answer.ok}
        if not seen:
            raise ChaosError("no answer could be looked at: none of them went well")
        forms = [each for each in FORMS if each != "bearer token"]
        return {"found": told({what: leaked(each.text, known, forms) for what, each in seen.items()})}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_shop()


class StoredReadable(Measure):
    name = "stored_readable"
    says = "whether a dump of the database shows passwords, tokens, or what the target says is sensitive"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "postgres")
    fields: ClassVar[Mapping[str, str]] = {
        "credentials": "tables that have a password or a token of an account in them, readable",
        "record": "tables that have what `{marker}` in owned.create stands for in them, readable; none: "
        "there is no `{marker}`",
    }

    def __init__(self, asked: Ask = ask) -> None:
        self._asked = asked

    def take(self, site: Site) -> Mapping[str, Any]:
        token = site.token(site.target.accounts[0])
        hidden = [*_passwords(site), token]
        marker = f"marked-{secrets.token_hex(8)}"
        owned = site.target.owned
        is_marked = owned is not None and "{marker}" in str(owned.create.body)
        if owned is not None and is_marked:
            made = site.send(owned.create, token, marker=marker)
            if not made.ok:
                raise ChaosError(f"{owned.create.method} {owned.create.path}: {made.status_code}")
        return {
            "credentials": holding(self._asked, site, hidden),
            "record": holding(self._asked, site, [marker]) if is_marked else None,
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """What PostgreSQL said of a table that has everything in it, as no server can be bundled."""
        self._asked = lambda site, query, values: [("public.users",)] if query == TABLES else [(True,)]
        with bad_shop() as shop:
            assert shop.owned is not None
            create = shop.owned.create.model_copy(update={"body": {"note": "{marker}"}})
            yield shop.model_copy(
                update={
                    "owned": Owned(create=create, read=shop.owned.read),
                    "postgres": Postgres(url="postgresql://"),
                }
            )


class DatabaseLink(Measure):
    name = "database_link"
    says = "whether connections of the service to PostgreSQL that leave its host are encrypted"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("postgres",)
    fields: ClassVar[Mapping[str, str]] = {
        "unencrypted": "how many of the role's connections from other hosts are not encrypted"
    }

    def __init__(self, asked: Ask = ask) -> None:
        self._asked = asked

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.postgres is not None
        role = site.target.postgres.app_role
        if not role:
            raise Unsupported("the target names no postgres.app_role")
        links = self._asked(site, LINKS, (role,))
        if not links:
            raise ChaosError(f"{role} has no connection that could be looked at")
        if any(port is None or is_encrypted is None for _, port, is_encrypted in links):
            raise ChaosError(
                f"postgres.url may not see the connections of {role}; grant it pg_read_all_stats"
            )
        remote = [is_encrypted for host, _, is_encrypted in links if not _is_here(host)]
        site.note(f"{role}: {len(links)} connections, {len(remote)} from other hosts")
        return {"unencrypted": remote.count(False)}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """What PostgreSQL said of a connection over a network, as no server can be bundled."""
        self._asked = lambda site, query, values: [("192.0.2.7/32", 50000, False)]
        yield Target(name="bad", postgres=Postgres(url="postgresql://", app_role="app"))


def _passwords(site: Site) -> dict[str, str]:
    kind = "password of an account"
    return {each.password: kind for each in site.target.accounts if is_telling(each.password)}


def _made_to_log(site: Site) -> tuple[Mapping[str, str], str]:
    """What must not be in the logs, after it was sent: a password that is right, one that is wrong, a token;
    and by what the last of those requests is known in a log. Raises Unreachable."""
    known = _passwords(site)
    if site.target.http is None or site.target.login is None or not site.target.accounts:
        return known, ""
    account = max(site.target.accounts, key=lambda each: is_telling(each.password))
    wrong = account.model_copy(update={"user": "nobody", "password": secrets.token_urlsafe(16)})
    site.log_in(wrong)
    token, marker = site.token(account), f"seen-{secrets.token_hex(8)}"
    site.request("GET", f"/{marker}", token=token)
    return {**known, wrong.password: "password of a failed log-in", token: "token"}, marker


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise ChaosError(f"{file} cannot be read: {error.strerror}") from None


def _blocks(file: Path, start: int) -> Iterator[str]:
    """The file from there to its end, some whole lines at a time; all of it, where it was begun anew.
    Raises ChaosError."""
    try:
        with file.open("rb") as opened:
            opened.seek(start if start <= _size(file) else 0)
            while lines := opened.readlines(BLOCK_BYTES):
                yield b"".join(lines).decode(errors="replace")
    except OSError as error:
        raise ChaosError(f"{file} cannot be read: {error.strerror}") from None


def _is_here(host: str | None) -> bool:
    """None: a socket of the host's own."""
    return host is None or ip_address(host.split("/")[0]).is_loopback


MEASURES = (SecretsInLogs, SecretsInAnswers, StoredReadable, DatabaseLink)
