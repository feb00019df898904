"""What is done in a database's catalogue: an index that the planner does without, a trigger that fails."""

from __future__ import annotations

import hashlib
import json

from chaos_locust.backends.base import Reading, Undo
from chaos_locust.backends.postgres.session import Server, Session
from chaos_locust.backends.postgres.way import (
    MARGIN_S,
    Facts,
    Held,
    drop_schema,
    find_table,
    has_schema,
    holding_settings,
    make_schema,
    schema_problem,
)
from chaos_locust.errors import BackendError
from chaos_locust.faults.postgres import PostgresDropIndex, PostgresSerializationFailures

_INDEX = (
    "SELECT i.indrelid::bigint, format('%%I.%%I', n.nspname, t.relname), i.indisvalid, i.indisreplident,"
    " am.amname,"
    " EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = i.indexrelid OR i.indisprimary)"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class t ON t.oid = i.indrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace"
    " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am am ON am.oid = c.relam"
    " WHERE i.indexrelid = %s::bigint::oid"
)
_MARK_INDEX = (
    "UPDATE pg_catalog.pg_index SET indisvalid = %s WHERE indexrelid = %s::bigint::oid AND indisvalid <> %s"
)


class Index:
    """postgres_drop_index. Readings: valid, planned (None: no plan can show it), own_scans, other_scans."""

    from_home = False

    def problems(self, server: Server, session: Session, fault: PostgresDropIndex) -> list[str]:
        index = find_table(session, fault.index)
        if problem := schema_problem(session):
            return [problem]
        if index.kind == "I":
            return [f"{fault.index} is an index of a partitioned table; name that of one partition"]
        if index.kind != "i":
            return [f"{fault.index} is no index"]
        if not session.is_superuser():
            return ["only a superuser may make an index invalid; connect as one"]
        _, table, valid, identity, _, constraint = session.rows(_INDEX, index.oid)[0]
        if constraint or identity:
            return [f"{fault.index} belongs to a constraint or replica identity of {table}, which needs it"]
        return [] if valid else [f"{fault.index} is invalid already"]

    def prepare(self, server: Server, session: Session, fault: PostgresDropIndex) -> Facts:
        index = find_table(session, fault.index)
        found = session.rows(_INDEX, index.oid)
        if not found:
            raise BackendError(f"{fault.index} is no index")
        table_oid, table, *_, method, _ = found[0]
        return {
            "index": index.name,
            "oid": index.oid,
            "table": table,
            "table_oid": table_oid,
            "method": method,
        }

    def inject(self, server: Server, fault: PostgresDropIndex, undo: Undo, held: Held) -> None:
        with server.session() as session, session.transaction():
            make_schema(session, undo)
            if not session.one(
                "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = %s", undo["oid"]
            ):
                raise BackendError(f"{undo['index']} is invalid already")
            _set_valid(session, undo, False)

    def look(
        self, server: Server, session: Session, fault: PostgresDropIndex, undo: Undo, held: Held
    ) -> Reading:
        valid = session.one("SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = %s", undo["oid"])
        own = "SELECT idx_scan FROM pg_catalog.pg_stat_all_indexes WHERE indexrelid = %s"
        own_scans = session.one(own, undo["oid"]) or 0
        every = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_catalog.pg_stat_all_tables WHERE relid = %s"
        scans = session.one(every, undo["table_oid"]) or 0
        seen = {"valid": bool(valid), "own_scans": own_scans, "other_scans": scans - own_scans}
        return {**seen, "planned": _planned(session, undo)}

    def revert(self, server: Server, undo: Undo) -> None:
        with server.session() as session, session.transaction():
            if has_schema(session, undo["mark"]):
                _set_valid(session, undo, True)
                drop_schema(session, undo["mark"])

    def left(self, server: Server, session: Session, undo: Undo) -> bool:
        return has_schema(session, undo["mark"])


def _set_valid(session: Session, undo: Undo, valid: bool) -> None:
    """In one transaction with making or dropping a schema: that has every plan of every session made anew."""
    session.rows(_MARK_INDEX, valid, undo["oid"], valid)


def _planned(session: Session, undo: Undo) -> bool | None:
    """Whether the planner takes it where it would rather take anything else than a scan of the table."""
    if undo["method"] not in ("btree", "hash"):
        return None
    key, where = session.rows(
        "SELECT pg_get_indexdef(indexrelid, 1, false), pg_get_expr(indpred, indrelid)"
        " FROM pg_catalog.pg_index WHERE indexrelid = %s",
        undo["oid"],
    )[0]
    table = undo["table"]
    condition = f"({key}) = (SELECT {key} FROM {table} LIMIT 1)" + (f" AND {where}" if where else "")
    with session.transaction():
        session.rows("SET LOCAL enable_seqscan = off")
        plan = session.one(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} WHERE {condition}")
    bare = session.one("SELECT relname FROM pg_catalog.pg_class WHERE oid = %s", undo["oid"])
    return f'"Index Name": {json.dumps(bare)}' in json.dumps(plan)


class Trigger:
    """postgres_serialization_failures. Readings: there, held: the lock that keeps it going, seen, failed."""

    from_home = False

    def problems(self, server: Server, session: Session, fault: PostgresSerializationFailures) -> list[str]:
        table = find_table(session, fault.table)
        if problem := schema_problem(session):
            return [problem]
        if table.kind not in ("r", "p"):
            return [f"{fault.table} is no table"]
        owns = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = %s"
        if not session.one(owns, table.oid):
            return [f"the role does not own the table {fault.table}; connect as its owner or as a superuser"]
        return []

    def prepare(self, server: Server, session: Session, fault: PostgresSerializationFailures) -> Facts:
        table = find_table(session, fault.table)
        return {"table": table.name, "oid": table.oid}

    def inject(self, server: Server, fault: PostgresSerializationFailures, undo: Undo, held: Held) -> None:
        assert fault.duration_s is not None
        with server.session() as session:
            gate = held.keep(server.session(undo["mark"], settings=holding_settings(fault, session.version)))
            if not gate.one("SELECT pg_try_advisory_lock(%s)", _key(undo)):
                raise BackendError(f"somebody else holds the lock of {undo['mark']}")
            schema, table = session.name(undo["mark"]), undo["table"]
            with session.transaction():
                make_schema(session, undo)
                session.rows(f"CREATE SEQUENCE {schema}.seen; CREATE SEQUENCE {schema}.failed")
                until = session.one(
                    "SELECT (clock_timestamp() + %s * interval '1 second')::text", fault.duration_s + MARGIN_S
                )
                body = _FAILING.format(
                    until=session.text(until), key=_key(undo), share=repr(fault.share),
                    seen=session.text(f"{schema}.seen"), failed=session.text(f"{schema}.failed"),
                )  # fmt: skip
                session.rows(
                    f"CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
                    f" SET search_path = pg_catalog, pg_temp AS {session.text(body)}"
                )
                session.rows(
                    f"CREATE TRIGGER {schema} BEFORE INSERT OR UPDATE OR DELETE ON {table}"
                    f" FOR EACH STATEMENT EXECUTE FUNCTION {schema}.fail()"
                )

    def look(
        self, server: Server, session: Session, fault: PostgresSerializationFailures, undo: Undo, held: Held
    ) -> Reading:
        if not has_schema(session, undo["mark"]):
            return {"there": False, "held": False, "seen": 0, "failed": 0}
        there = (
            "SELECT count(*) FROM pg_catalog.pg_trigger"
            " WHERE tgname = %s AND tgrelid = %s AND tgenabled <> 'D'"
        )
        locked = (
            "SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = %s"
        )
        counts = {name: _count(session, undo, name) for name in ("seen", "failed")}
        is_there = session.one(there, undo["mark"], undo["oid"]) > 0
        return {"there": is_there, "held": session.one(locked, undo["mark"]) > 0, **counts}

    def revert(self, server: Server, undo: Undo) -> None:
        with server.session() as session:
            drop_schema(session, undo["mark"])

    def left(self, server: Server, session: Session, undo: Undo) -> bool:
        return has_schema(session, undo["mark"])


# Sequences count on where transactions are rolled back. Whoever gets the lock knows that its holder is gone.
_FAILING = """
BEGIN
  IF clock_timestamp() > {until}::timestamptz THEN
    RETURN NULL;
  END IF;
  IF pg_try_advisory_lock_shared({key}) THEN
    PERFORM pg_advisory_unlock_shared({key});
    RETURN NULL;
  END IF;
  PERFORM nextval({seen});
  IF random() < {share} THEN
    PERFORM nextval({failed});
    RAISE EXCEPTION 'could not serialize access due to concurrent update' USING ERRCODE = '40001';
  END IF;
  RETURN NULL;
END
"""


def _key(undo: Undo) -> int:
    return int.from_bytes(hashlib.sha256(undo["mark"].encode()).digest()[:8], signed=True)


def _count(session: Session, undo: Undo, name: str) -> int:
    last, called = session.rows(f"SELECT last_value, is_called FROM {session.name(undo['mark'])}.{name}")[0]
    return int(last) if called else 0
