"""How the measures of the audit log read it: who logs in, what is a record, which of them are new."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chaos_locust.errors import ChaosError
from compliance.measures.access.guarded import token_of
from compliance.measures.base import Unsupported
from compliance.site import Site, at, filled, json_of
from compliance.target import Account

PARTS = ("user", "at", "action", "outcome")
"""What every record must have (AU-3; PCI DSS 10.2.2 asks for origin and object as well)."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0

WRONG_CLOCK = timedelta(seconds=90)
"""By which a record's time may be wrong and is still found by a search that begins at `{since}`."""
MOST_PAGES = 50

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Log:
    """The target's audit log, as its auditor reads it from `since` on."""

    site: Site
    token: str
    since: datetime

    def records(self) -> Sequence[Record]:
        """Raises Unreachable; ChaosError where it is refused, no JSON, or not all of it is shown."""
        assert self.site.target.audit_log is not None
        path = since_in(self.site.target.audit_log.read, self.since)
        found: list[Record] = []
        after: Any = 0
        for _ in range(MOST_PAGES):
            page = filled(path, {"after": str(after)})
            answer = self.site.request("GET", page, token=self.token)
            records = listed(json_of(answer))
            if not answer.ok or records is None:
                raise ChaosError(f"the audit log cannot be read at {page}: {answer.status_code}")
            found += records
            after = at(json_of(answer), "next")
            if not after:
                return found
            if "{after}" not in path:
                break
        raise ChaosError(
            f"{path} shows a part of the audit log only: put {{since}} (a time) and {{after}} (what `next` "
            "in the answer says) into audit_log.read, as in /audit?since={since}&after={after}"
        )

    def seen(self) -> Counter[str]:
        """What is there now, to tell new records by."""
        return Counter(map(_text, self.records()))

    def new(self, seen: Counter[str]) -> list[Record]:
        """What is there now and was not then; of records that look the same, as many as there are more."""
        left, found = Counter(seen), []
        for record in self.records():
            text = _text(record)
            if left[text]:
                left[text] -= 1
            else:
                found.append(record)
        return found

    def wait_for(self, seen: Counter[str], wanted: Callable[[Record], bool]) -> Record | None:
        """The first new record that is wanted; None: none within the target's patience."""
        assert self.site.target.audit_log is not None
        for _ in pauses(self.site, self.site.target.audit_log.patience_s):
            for record in self.new(seen):
                if wanted(record):
                    return record
        return None

    def part(self, record: Record, name: str) -> Any:
        """user, at, action, object, outcome or source of a record."""
        assert self.site.target.audit_log is not None
        names = {str(each): called for each, called in self.site.target.audit_log.fields.items()}
        return at(record, names.get(name, name))


def pauses(site: Site, patience_s: float) -> Iterator[None]:
    """Once at once, then after ever longer pauses, the last time when patience is at its end."""
    deadline_s, pause_s = site.clock() + patience_s, _FIRST_PAUSE_S
    yield
    while (left_s := deadline_s - site.clock()) > 0:
        site.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        yield


def opened(site: Site) -> Log:
    """Logs the auditor in. Raises Unreachable, Unsupported, ChaosError."""
    assert site.target.audit_log is not None
    role = site.target.audit_log.role
    account = site.target.account(role)
    if account is None:
        raise Unsupported(f"the target names no account of the role {role}, who may read the audit log")
    return Log(site, site.token(account), site.now() - WRONG_CLOCK)


def entered(site: Site) -> tuple[Account, str]:
    """Somebody who may not read the audit log, and his token: the canary, whom nobody else uses, unless it is
    locked out. Raises Unreachable, Unsupported, ChaosError."""
    if (canary := site.target.canary) is not None:
        answer = site.log_in(canary)
        if (token := token_of(site, answer)) is not None:
            return canary, token
    account = ordinary(site)
    return account, site.token(account)


def ordinary(site: Site) -> Account:
    """Raises Unsupported."""
    assert site.target.audit_log is not None
    role = site.target.audit_log.role
    for account in site.target.accounts:
        if account.role != role:
            return account
    raise Unsupported(f"the target names no account of another role than {role}")


def listed(document: Any) -> Sequence[Record] | None:
    """The records in an answer: it is a list of them, or has one; None: neither."""
    lists = [document, *(document.values() if isinstance(document, Mapping) else ())]
    found = next((each for each in lists if isinstance(each, list)), None)
    if found is None or not all(isinstance(each, Mapping) for each in found):
        return None
    return found


def _text(record: Record) -> str:
    return json.dumps(record, sort_keys=True)


def since_in(path: str, since: datetime) -> str:
    text = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(filled(path, {"since": text}))


def readable(site: Site) -> str:
    """The path of the log's first page, with every placeholder filled."""
    assert site.target.audit_log is not None
    path = since_in(site.target.audit_log.read, site.now() - WRONG_CLOCK)
    return str(filled(path, {"after": "0"}))


def moment(value: Any) -> datetime | None:
    """ISO 8601 (UTC where no zone is said), or seconds or milliseconds since 1970; None: no time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
