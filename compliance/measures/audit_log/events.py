"""Whether what happens is in the audit log: each event is made to happen, and its record waited for.

Records are told apart by user, action and outcome: what an action is called is the target's own affair, but
two different events may not look the same. A user's other records while we look cannot be told from ours.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.bad import Forgets, Garbles, Open, forgetful
from compliance.measures.audit_log.records import (
    PARTS,
    Log,
    Record,
    entered,
    listed,
    moment,
    opened,
    pauses,
    readable,
)
from compliance.measures.base import Measure, SideEffect
from compliance.site import Site, at, json_of
from compliance.target import Account, Target

REFUSALS = (401, 403, 404)
MOST_LATE_LOGINS = 2
NEEDS = ("http", "login", "accounts", "audit_log")


class Events(Measure):
    name = "audit_events"
    says = "whether a log-in, a failed one, a refused access and a change each have their audit record"
    side_effect: ClassVar[SideEffect] = "active"
    needs = NEEDS
    fields: ClassVar[Mapping[str, str]] = {
        "failed_login": "whether a log-in with a wrong password has its record",
        "login": "whether a log-in has its record",
        "refused_access": "whether an access that was refused has its record",
        "change": "whether something that was made, such as an order, has its record",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        log = opened(site)
        known: set[tuple[str, ...]] = set()
        seen = log.seen()

        def recorded(about: str = "") -> bool:
            """Whether there is a new record of that user, of a kind that no event before had."""
            record = log.wait_for(seen, lambda each: _is_of(log, each, account, known, about))
            if record is not None:
                known.add(_kind(log, record))
            return record is not None

        account, token = entered(site)
        login = recorded()

        seen = log.seen()
        wrong = account.model_copy(update={"password": secrets.token_urlsafe(12)})
        status = site.log_in(wrong).status_code
        if status // 100 != 4:
            raise ChaosError(f"a log-in with a wrong password is not refused: {status}")
        failed = recorded()

        seen = log.seen()
        assert site.target.audit_log is not None
        answer = site.request("GET", readable(site), token=token)
        refused = recorded() if answer.status_code in REFUSALS else None

        change = None
        if (owned := site.target.owned) is not None:
            seen = log.seen()
            made = site.send(owned.create, token)
            if not made.ok:
                raise ChaosError(f"{owned.create.method} {owned.create.path}: {made.status_code}")
            change = recorded(str(at(json_of(made), owned.id)))
        site.token(account)  # so that the wrong password does not count against the account any longer
        return {"failed_login": failed, "login": login, "refused_access": refused, "change": change}

    def bad(self) -> AbstractContextManager[Target]:
        return forgetful(Forgets)


class Content(Measure):
    name = "audit_content"
    says = "whether a record has user, time, action and outcome, and its time is ours"
    side_effect: ClassVar[SideEffect] = "active"
    needs = NEEDS
    fields: ClassVar[Mapping[str, str]] = {
        "missing": "what the record of a log-in lacks of user, at, action and outcome",
        "clock_off_s": "seconds by which the record's time is outside of when we logged in; none: no time",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        log = opened(site)
        seen = log.seen()
        began = site.now()
        account, _ = entered(site)
        ended = site.now()
        # A record without a user cannot be told to be ours; it counts only when none has ours.
        record = log.wait_for(seen, lambda each: log.part(each, "user") == account.user) or next(
            (each for each in log.new(seen) if not log.part(each, "user")), None
        )
        if record is None:
            raise ChaosError("the log-in has no record that could be looked at")
        told = moment(log.part(record, "at"))
        off = None if told is None else max((began - told), (told - ended), timedelta()).total_seconds()
        missing = [part for part in PARTS if log.part(record, part) in (None, "")]
        return {"missing": missing, "clock_off_s": off}

    def bad(self) -> AbstractContextManager[Target]:
        return forgetful(Garbles)


class Reads(Measure):
    name = "audit_reads"
    says = "who can read the audit log, and whether reading it is recorded"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = NEEDS
    fields: ClassVar[Mapping[str, str]] = {
        "others_may_read": "roles other than the auditor's that were shown records; `nobody`: without log-in",
        "reads_are_recorded": "whether reading the log leaves records in it",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        log = opened(site)
        assert site.target.audit_log is not None
        auditor = site.target.account(site.target.audit_log.role)
        assert auditor is not None
        seen = log.seen()
        recorded = False
        for _ in pauses(site, site.target.audit_log.patience_s):
            # Only what the auditor does again and again: its log-in may come late, but not so often.
            kinds = Counter(
                _kind(log, each) for each in log.new(seen) if log.part(each, "user") == auditor.user
            )
            if max(kinds.values(), default=0) >= MOST_LATE_LOGINS + 1:
                recorded = True
                break
        others = {each.role: each for each in site.target.accounts if each.role != auditor.role}
        may = [role for role, account in others.items() if _reads(site, site.token(account))]
        return {
            "others_may_read": [*may, *(["nobody"] if _reads(site, None) else [])],
            "reads_are_recorded": recorded,
        }

    def bad(self) -> AbstractContextManager[Target]:
        return forgetful(Open)


def _reads(site: Site, token: str | None) -> bool:
    assert site.target.audit_log is not None
    answer = site.request("GET", readable(site), token=token)
    if answer.status_code >= 500:
        raise ChaosError(f"whether it may be read is not known: {answer.status_code}")
    return answer.ok and listed(json_of(answer)) is not None


def _is_of(log: Log, record: Record, account: Account, known: set[tuple[str, ...]], about: str) -> bool:
    """about: what its object must tell of, where the target says what objects are called."""
    assert log.site.target.audit_log is not None
    if (
        about
        and "object" in log.site.target.audit_log.fields
        and about not in str(log.part(record, "object"))
    ):
        return False
    return log.part(record, "user") == account.user and _kind(log, record) not in known


def _kind(log: Log, record: Record) -> tuple[str, ...]:
    return tuple(str(log.part(record, part)) for part in ("action", "outcome", "object"))


MEASURES = (Events, Content, Reads)
