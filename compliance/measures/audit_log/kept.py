"""Whether audit records stay as they are: over HTTP, for the service's own role in the database, and for how
long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.bad import Erasable, Forgets, bad_target, forgetful
from compliance.measures.audit_log.records import Log, Record, entered, opened, pauses, readable
from compliance.measures.bad import bad_service
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.stores.postgres_rows import Ask, ask
from compliance.site import Site, at, json_of
from compliance.target import AuditLog, Postgres, Target

CHANGES = ("PUT", "PATCH", "DELETE")

PRIVILEGES = """
SELECT
  has_table_privilege(role.oid, log.oid, 'UPDATE') OR has_any_column_privilege(role.oid, log.oid, 'UPDATE'),
  has_table_privilege(role.oid, log.oid, 'DELETE'),
  has_table_privilege(role.oid, log.oid, 'TRUNCATE'),
  pg_has_role(role.oid, log.relowner, 'MEMBER') OR pg_has_role(role.oid, schema.nspowner, 'MEMBER')
    OR pg_has_role(role.oid, base.datdba, 'MEMBER')
FROM pg_roles role, pg_class log
JOIN pg_namespace schema ON schema.oid = log.relnamespace
JOIN pg_database base ON base.datname = current_database()
WHERE role.rolname = %s AND log.oid = to_regclass(%s)"""


class Erasing(Measure):
    name = "audit_erasing"
    says = "whether a record of ours can be changed or deleted over HTTP"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "audit_log")
    fields: ClassVar[Mapping[str, str]] = {
        "record_stays": "whether it is as it was after anybody sent PUT, PATCH and DELETE"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.audit_log is not None
        log = opened(site)
        seen = log.seen()
        account, token = entered(site)
        record = log.wait_for(seen, lambda each: log.part(each, "user") == account.user and "id" in each)
        if record is None:
            raise Unsupported("no record of a log-in of ours has an id, by which it could be asked for")
        path = f"{urlsplit(site.target.audit_log.read).path.rstrip('/')}/{record['id']}"
        accepted = []
        for method in CHANGES:
            for who in (None, token, log.token):
                changed = {**record, "outcome": "changed"} if method != "DELETE" else None
                status = site.request(method, path, token=who, json=changed).status_code
                if status >= 500:
                    raise ChaosError(f"whether {method} {path} is refused is not known: {status}")
                accepted.append(status < 300)
        # What was accepted may be done later, or be answered so without anything being done.
        patience_s = site.target.audit_log.patience_s if any(accepted) else 0.0
        stays = all(_is_there(log, record) for _ in pauses(site, patience_s))
        return {"record_stays": stays}

    def bad(self) -> AbstractContextManager[Target]:
        return forgetful(Erasable)


class Privileges(Measure):
    name = "audit_privileges"
    says = "what the service's role in PostgreSQL may do to the table of audit records"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("audit_log", "postgres")
    fields: ClassVar[Mapping[str, str]] = {
        "may_update": "whether it is granted to change records, or any column of them",
        "may_delete": "whether it is granted to delete records",
        "may_truncate": "whether it is granted to empty the table",
        "may_drop": "whether it is, or is a member of, the owner of the table, its schema or its database",
    }

    def __init__(self, asked: Ask = ask) -> None:
        self._asked = asked

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.audit_log is not None
        assert site.target.postgres is not None
        role, table = site.target.postgres.app_role, site.target.audit_log.table
        if not role or not table:
            raise Unsupported("the target names no postgres.app_role, or no audit_log.table")
        rows = self._asked(site, PRIVILEGES, (role, table))
        if not rows:
            raise ChaosError(f"PostgreSQL has no role {role}, or no table {table}")
        value = dict(zip(self.fields, rows[0], strict=True))
        site.note(f"{role} on {table}: {value}")
        return value

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """What PostgreSQL said of a table's owner, as no server can be bundled."""
        self._asked = lambda site, query, values: [(True, True, True, True)]
        log = AuditLog(read="/audit", role="auditor", table="audit_log")
        yield Target(name="bad", audit_log=log, postgres=Postgres(url="postgresql://", app_role="owner"))


class Retention(Measure):
    name = "audit_retention"
    says = "for how many days audit records are kept, as stated"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http", "login", "accounts", "audit_log")
    fields: ClassVar[Mapping[str, str]] = {
        "days": "as the target's description says or the log itself (`retention_days`), the fewer counts"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.audit_log is not None
        log = opened(site)
        path = readable(site)
        answer = site.request("GET", path, token=log.token)
        if not answer.ok:
            raise ChaosError(f"the audit log cannot be read at {path}: {answer.status_code}")
        said = (site.target.audit_log.retention_days, at(json_of(answer), "retention_days"))
        days = [each for each in said if isinstance(each, int) and not isinstance(each, bool)]
        if not days:
            raise Unsupported("neither audit_log.retention_days nor the log itself says how long it is kept")
        return {"days": min(days)}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with bad_service(ShortLived) as url:
            yield bad_target(url, ShortLived)


class ShortLived(Forgets):
    """Keeps its records for a day, and says so."""

    def log(self) -> Any:
        return {"retention_days": 1, "records": []}


def _is_there(log: Log, record: Record) -> bool:
    return any(each == record for each in log.records())


MEASURES = (Erasing, Privileges, Retention)
