"""Whether readings of a record are said to be in the audit log, against a service that keeps one."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.reading import RecordReads
from compliance.site import Unreachable
from compliance.target import Target
from tests.integration.compliance_judged import failed, site_of
from tests.servers.small_shop import SmallShop, small_shop

CHECK = "record-reads-recorded"


def with_fields(target: Target, **fields: str) -> Target:
    assert target.audit_log is not None
    return target.model_copy(update={"audit_log": target.audit_log.model_copy(update={"fields": fields})})


@pytest.mark.parametrize("late_s", [0.0, 0.3])
def test_readings_that_are_recorded(late_s: float) -> None:
    with small_shop(late_s=late_s, patience_s=3.0) as (target, state):
        assert failed(RecordReads, target) == set()
        assert failed(RecordReads, with_fields(target)) == set()  # that tells of no object
        reads = [each for each in state.records if each["action"] == "order_read"]
        assert {each["user"] for each in reads} == {"canary"}


def test_readings_that_are_not() -> None:
    with small_shop("forgets-order_read-ok", patience_s=0.4) as (target, _):
        assert failed(RecordReads, target) == {CHECK}
        assert failed(RecordReads, with_fields(target)) == {CHECK}


def test_a_late_record_of_the_making_is_none_of_a_reading() -> None:
    with small_shop("forgets-order_read-ok", late_s=0.6, patience_s=0.4) as (target, state):
        assert failed(RecordReads, target) == {CHECK}
        assert [each["action"] for each in state.shown("")].count("order") == 1


@pytest.mark.parametrize("field", ["user", "at"])
def test_a_record_without_user_or_time_is_none(field: str) -> None:
    with small_shop(patience_s=0.4) as (target, _):
        assert failed(RecordReads, with_fields(target, object="object", **{field: "nowhere"})) == {CHECK}


class Old(SmallShop):
    """Its readings have the time of last year."""

    def answer(self, status: int, body: Any) -> None:
        if isinstance(body, dict) and "records" in body:
            body["records"] = [
                {**each, "at": "2001-01-01T00:00:00Z"} if each["action"] == "order_read" else each
                for each in body["records"]
            ]
        super().answer(status, body)


def test_a_record_of_another_time_is_none() -> None:
    with small_shop(patience_s=0.4, handler=Old) as (target, _):
        assert failed(RecordReads, target) == {CHECK}


class Forgetful(SmallShop):
    """Has no order that was made."""

    def route(self, method: str, path: str, body: bytes) -> None:
        super().route(method, path, body)
        self.state.orders.clear()


def test_what_cannot_be_read_proves_nothing() -> None:
    with small_shop(handler=Forgetful) as (target, _), pytest.raises(ChaosError, match="was not read"):
        RecordReads().take(site_of(target))
    with pytest.raises(Unreachable):
        RecordReads().take(site_of(target))
