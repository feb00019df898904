"""Whether reading what belongs to a user leaves its audit record, with who read it and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.bad import Forgets, forgetful
from compliance.measures.audit_log.records import WRONG_CLOCK, Log, Record, entered, moment, opened, pauses
from compliance.measures.base import Measure, SideEffect
from compliance.site import Site, at, filled, json_of
from compliance.target import Target

READS = 2


class RecordReads(Measure):
    name = "record_reads"
    says = "whether reading a record, such as an order, has its audit record with user and time"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "audit_log", "owned")
    fields: ClassVar[Mapping[str, str]] = {
        "recorded": "whether each reading of a record that was made for it has one in time"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        owned, part = site.target.owned, site.target.audit_log
        assert owned is not None
        assert part is not None
        log = opened(site)
        account, token = entered(site)
        seen, began = log.seen(), site.now()
        made = site.send(owned.create, token)
        number = at(json_of(made), owned.id)
        if not made.ok or not isinstance(number, str | int):
            raise ChaosError(f"{owned.create.method} {owned.create.path}: {made.status_code} without an id")
        path = filled(owned.read, {"id": str(number)})

        def about_it(record: Record) -> bool:
            told = "object" not in part.fields or str(number) in str(log.part(record, "object"))
            return told and log.part(record, "user") == account.user

        log.wait_for(seen, about_it)  # that it was made; what comes later still is told from readings below
        seen = log.seen()
        for _ in range(READS):
            answer = site.request("GET", path, token=token)
            if not answer.ok:
                raise ChaosError(f"GET {path}: {answer.status_code}: it was not read")
        for _ in pauses(site, part.patience_s):
            # Only what was done as often as it was read: a record of its making may come late, but once.
            times = Counter(
                tuple(str(log.part(each, name)) for name in ("action", "outcome", "object"))
                for each in log.new(seen)
                if about_it(each) and _is_timed(log, each, began, site)
            )
            if max(times.values(), default=0) >= READS:
                site.note(f"{path} was read {READS} times by {account.user}; records: {dict(times)}")
                return {"recorded": True}
        site.note(f"{path} was read {READS} times by {account.user}; records: {dict(times)}")
        return {"recorded": False}

    def bad(self) -> AbstractContextManager[Target]:
        return forgetful(Reading)


class Reading(Forgets):
    """Shows orders to everybody, and its log has nothing of it."""

    def do_GET(self) -> None:
        if self.path.startswith("/orders/"):
            self._answer(200, {"id": "1"})
        else:
            super().do_GET()


def _is_timed(log: Log, record: Record, began: datetime, site: Site) -> bool:
    told = moment(log.part(record, "at"))
    return told is not None and began - WRONG_CLOCK <= told <= site.now() + WRONG_CLOCK


MEASURES = (RecordReads,)
