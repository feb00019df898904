"""What is said of an audit log, against a service that keeps one well, and with each thing wrong alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.events import Content, Events, Reads
from compliance.measures.audit_log.kept import Erasing, Privileges, Retention
from compliance.measures.base import Unsupported
from compliance.site import Unreachable
from compliance.target import AuditLog, Postgres, Target
from tests.integration.compliance_judged import answers_of, failed, site_of, taken
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.small_shop import small_shop

OVER_HTTP = (Events, Content, Reads, Erasing, Retention)


def test_a_log_that_is_well_kept() -> None:
    with small_shop() as (target, _):
        assert {measure.name: failed(measure, target) for measure in OVER_HTTP} == {
            measure.name: set() for measure in OVER_HTTP
        }


def test_records_that_come_late_but_in_time_count() -> None:
    with small_shop(late_s=0.3, patience_s=3.0) as (target, _):
        assert failed(Events, target) == set()
        assert failed(Content, target) == set()
        assert failed(Reads, target) == set()


@pytest.mark.parametrize(
    ("measure", "lapse", "expected"),
    [
        (Events, "forgets-login-ok", {"audit-log-ins"}),
        (Events, "forgets-login-refused", {"audit-log-ins"}),
        (Events, "forgets-audit_read-refused", {"audit-refusals"}),
        (Events, "forgets-order-ok", {"audit-changes"}),
        (Content, "no-outcome", {"audit-content"}),
        (Content, "wrong-clock", {"audit-clock"}),
        (Reads, "open-audit", {"audit-readers"}),
        (Reads, "forgets-audit_read-ok", {"audit-reads-recorded"}),
        (Erasing, "erasable", {"audit-not-erasable"}),
        (Erasing, "says-yes", set()),
    ],
)
def test_each_thing_wrong_alone(measure: Any, lapse: str, expected: set[str]) -> None:
    with small_shop(lapse, patience_s=0.4) as (target, _):
        assert failed(measure, target) == expected


def test_records_that_come_too_late_do_not_count() -> None:
    with small_shop(late_s=30.0, patience_s=0.4) as (target, _):
        assert failed(Events, target) == {"audit-log-ins", "audit-refusals", "audit-changes"}
        with pytest.raises(ChaosError, match="no record"):
            Content().take(site_of(target))


def test_what_was_not_refused_is_not_known_to_be_recorded() -> None:
    with small_shop("open-audit", patience_s=0.4) as (target, _):
        assert answers_of(Events, taken(Events, target))["audit-refusals"] == "not_known"


def test_who_is_locked_out_is_replaced_by_somebody_else() -> None:
    with small_shop() as (target, state):
        assert target.canary is not None
        locked = target.model_copy(update={"canary": target.canary.model_copy(update={"password": "other"})})
        assert failed(Events, locked) == set()
        assert {"alice"} <= {each["user"] for each in state.records}


def test_a_log_of_a_thousand_old_records_is_no_matter() -> None:
    with small_shop(patience_s=0.4) as (target, state):
        for _ in range(1000):
            state.note("canary", "login", "/login", "ok")
            state.note("canary", "login", "/login", "refused")
        assert target.audit_log is not None
        whole = target.audit_log.model_copy(update={"read": "/audit?after={after}"})
        assert failed(Events, target.model_copy(update={"audit_log": whole})) == set()


def test_a_log_that_shows_a_part_of_itself_is_not_judged() -> None:
    with small_shop(patience_s=0.4) as (target, state):
        for _ in range(600):
            state.note("eve", "login", "/login", "ok")
        assert target.audit_log is not None
        first_page = target.audit_log.model_copy(update={"read": "/audit"})
        with pytest.raises(ChaosError, match="a part of the audit log only"):
            Events().take(site_of(target.model_copy(update={"audit_log": first_page})))


def test_evidence_has_no_secrets() -> None:
    with small_shop() as (target, state):
        site = site_of(target)
        Events().take(site)
        shown = "\n".join(site.evidence)
        assert "/audit" in shown
        assert not [each for each in ("wonderland-1865", *state.tokens) if each in shown]


@pytest.mark.parametrize("measure", OVER_HTTP)
def test_a_target_that_is_down_proves_nothing(measure: Any) -> None:
    with small_shop() as (target, _):
        pass
    with pytest.raises(Unreachable):
        measure().take(site_of(target))


@pytest.mark.parametrize("measure", OVER_HTTP)
def test_without_an_auditor_nothing_is_said(measure: Any) -> None:
    with small_shop() as (target, _):
        nobody = target.model_copy(update={"accounts": target.accounts[:2]})
        with pytest.raises(Unsupported, match="auditor"):
            measure().take(site_of(nobody))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        found.ask("CREATE ROLE keeper; CREATE ROLE service LOGIN; CREATE ROLE writer")
        found.ask("CREATE TABLE audit_log (id int, at timestamptz, outcome text)")
        yield found


GRANTS = [
    ("SELECT 1", set()),
    ("GRANT UPDATE ON audit_log TO service", {"may_update"}),
    ("GRANT UPDATE (outcome) ON audit_log TO service", {"may_update"}),
    ("GRANT DELETE ON audit_log TO PUBLIC", {"may_delete"}),
    ("GRANT TRUNCATE ON audit_log TO writer; GRANT writer TO service", {"may_truncate"}),
    ("ALTER SCHEMA public OWNER TO service", {"may_drop"}),
    ("ALTER DATABASE shop OWNER TO service", {"may_drop"}),
    ("GRANT keeper TO service", {"may_update", "may_delete", "may_truncate", "may_drop"}),
    ("ALTER ROLE service SUPERUSER", {"may_update", "may_delete", "may_truncate", "may_drop"}),
]
UNDO = (
    "REVOKE ALL ON audit_log FROM service, PUBLIC, writer; REVOKE writer, keeper FROM service;"
    "ALTER TABLE audit_log OWNER TO keeper; ALTER SCHEMA public OWNER TO postgres;"
    "ALTER DATABASE shop OWNER TO postgres; ALTER ROLE service NOSUPERUSER;"
    "REVOKE UPDATE (outcome) ON audit_log FROM service; GRANT SELECT, INSERT ON audit_log TO service"
)


@pytest.mark.parametrize(("grant", "expected"), GRANTS)
def test_privileges(server: PostgresServer, grant: str, expected: set[str]) -> None:
    server.ask(UNDO)
    server.ask(grant)
    value = taken(Privileges, in_postgres(server.admin))
    assert {name for name, may in value.items() if may} == expected
    assert answers_of(Privileges, value) == {"audit-append-only": "failed" if expected else "held"}


def test_a_table_or_role_that_is_not_there(server: PostgresServer) -> None:
    with pytest.raises(ChaosError, match="no role nobody"):
        Privileges().take(site_of(in_postgres(server.admin, role="nobody")))
    with pytest.raises(ChaosError, match="no table"):
        Privileges().take(site_of(in_postgres(server.admin, table="other")))


def test_a_database_that_is_down() -> None:
    with pytest.raises(Unreachable):
        Privileges().take(site_of(in_postgres("postgresql://postgres@127.0.0.1:1/shop")))


def in_postgres(url: str, role: str = "service", table: str = "audit_log") -> Target:
    log = AuditLog(read="/audit", role="auditor", table=table)
    return Target(name="test", audit_log=log, postgres=Postgres(url=url, app_role=role))
