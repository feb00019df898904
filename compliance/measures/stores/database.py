"""PostgreSQL: what the service's role may do, who is let in and how, what is encrypted and what is logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.guesses import POSTGRES
from compliance.measures.access.guarded import some_or_unknown
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.stores.bad_databases import APP, bad_postgres
from compliance.measures.stores.postgres_hba import plain_from_afar
from compliance.measures.stores.postgres_rows import CONNECT_S, ask
from compliance.site import Site
from compliance.target import Postgres, Target

NO_FILE = "/dev/null/none"
_ROLE = """/* role */
WITH app AS (SELECT oid, rolsuper FROM pg_roles WHERE rolname = %s),
held AS (
  SELECT role.* FROM pg_roles role, app
  WHERE role.oid = app.oid OR NOT app.rolsuper AND pg_has_role(app.oid, role.oid, 'MEMBER')),
powers AS (
  SELECT DISTINCT unnest(array_remove(ARRAY[
    CASE WHEN rolsuper THEN 'superuser' END,
    CASE WHEN rolcreaterole THEN 'makes roles' END,
    CASE WHEN rolcreatedb THEN 'makes databases' END,
    CASE WHEN rolreplication THEN 'replicates' END,
    CASE WHEN rolbypassrls THEN 'passes by row security' END,
    CASE WHEN rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                          'pg_read_all_data', 'pg_write_all_data') THEN rolname::text END
  ], NULL)) AS power FROM held),
owns AS (
  SELECT 'database ' || datname AS what FROM pg_database, held WHERE datdba = held.oid
  UNION SELECT 'schema ' || nspname FROM pg_namespace, held WHERE nspowner = held.oid)
SELECT json_build_object(
  'powers', (SELECT coalesce(json_agg(power ORDER BY power), '[]') FROM powers),
  'owns', (SELECT coalesce(json_agg(what ORDER BY what), '[]') FROM owns))
FROM app"""
_ENCRYPTION = """/* encryption */
SELECT json_build_object('encryption', current_setting('password_encryption'),
  'may_see', has_table_privilege('pg_authid', 'SELECT'))"""
_WEAK = """/* weak */
SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_authid
WHERE rolcanlogin AND rolpassword NOT LIKE 'SCRAM-SHA-256$%%'"""
_SETTINGS = """/* settings */
SELECT json_build_object(
  'log_connections', current_setting('log_connections'),
  'log_disconnections', current_setting('log_disconnections'),
  'log_statement', current_setting('log_statement'),
  'pgaudit', coalesce(current_setting('pgaudit.log', true), ''),
  'ssl', current_setting('ssl'),
  'listen_addresses', current_setting('listen_addresses'),
  'may_see', has_table_privilege('pg_hba_file_rules', 'SELECT')
    AND has_function_privilege('pg_hba_file_rules()', 'EXECUTE'))"""
_RULES = """/* rules */
SELECT coalesce(json_agg(rule ORDER BY line_number), '[]') FROM pg_hba_file_rules AS rule
WHERE error IS NULL"""


class AppRole(Measure):
    name = "postgres_role"
    says = "what the service's role in PostgreSQL may do beyond its work"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("postgres",)
    fields: ClassVar[Mapping[str, str]] = {
        "powers": "over the whole server, its own and those of roles that it is a member of",
        "owns": "databases and schemas that it owns, and could drop with what others have in them",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        role = _postgres(site).app_role
        if role is None:
            raise Unsupported("the target does not name the service's role (postgres.app_role)")
        rows = ask(site, _ROLE, (role,))
        if not rows:
            raise ChaosError(f"PostgreSQL has no role {role}")
        site.note(f"{role}: {rows[0][0]}")
        return {name: rows[0][0][name] for name in self.fields}

    def bad(self) -> AbstractContextManager[Target]:
        return _bad()


class StoredPasswords(Measure):
    name = "postgres_passwords"
    says = "how PostgreSQL stores passwords"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("postgres",)
    fields: ClassVar[Mapping[str, str]] = {
        "encryption": "how it will store the next one (password_encryption)",
        "weak": "roles whose password is stored otherwise than by SCRAM; null: we may not see it",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        found = ask(site, _ENCRYPTION)[0][0]
        weak = ask(site, _WEAK)[0][0] if found["may_see"] else None
        site.note(f"password_encryption = {found['encryption']}; stored otherwise than by SCRAM: {weak}")
        return {"encryption": found["encryption"], "weak": weak}

    def bad(self) -> AbstractContextManager[Target]:
        return _bad()


class Logins(Measure):
    name = "postgres_logins"
    says = "whether PostgreSQL lets in who has no password, or guesses one"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("postgres",)
    fields: ClassVar[Mapping[str, str]] = {
        "without_password": "roles of the description that are let in without; null: it cannot be told",
        "guessed": "those whose password is their name or a very common one",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        from psycopg.conninfo import conninfo_to_dict

        way = conninfo_to_dict(_postgres(site).url)
        host = str(way.get("host") or "")
        if not host or host.startswith("/"):
            raise Unsupported("postgres.url is a socket of this machine, which knows users without passwords")
        ask(site, _ENCRYPTION)  # there is a server, and it has room for us
        without, guessed, unclear = [], [], []
        for user in sorted({str(way.get("user") or "postgres"), _postgres(site).app_role or "postgres"}):
            is_in = _let_in(site, way, user, "")
            if is_in:
                without.append(user)
            elif is_in is None:
                unclear.append(user)
            elif any(_let_in(site, way, user, each) for each in (user, *POSTGRES)):
                guessed.append(user)
        return {
            "without_password": some_or_unknown(without, unclear),
            "guessed": some_or_unknown(guessed, unclear),
        }

    def bad(self) -> AbstractContextManager[Target]:
        return _bad()


class Settings(Measure):
    name = "postgres_settings"
    says = "what PostgreSQL writes down, and whether it takes connections that are not encrypted"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("postgres",)
    fields: ClassVar[Mapping[str, str]] = {
        "logs_connections": "log_connections",
        "logs_disconnections": "log_disconnections",
        "logs_ddl": "whether changes of the schema are logged, by log_statement or pgaudit",
        "ssl": "whether connections can be encrypted at all",
        "plain_from_afar": "whether another machine may connect without encryption; null: we may not see it",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        found = ask(site, _SETTINGS)[0][0]
        rules = ask(site, _RULES)[0][0] if found["may_see"] else None
        site.note(f"settings: {found}; pg_hba: {rules}")
        return {
            "logs_connections": found["log_connections"] not in ("off", ""),
            "logs_disconnections": found["log_disconnections"] == "on",
            "logs_ddl": found["log_statement"] in ("ddl", "mod", "all")
            or not {"ddl", "all"}.isdisjoint(found["pgaudit"].lower().replace(" ", "").split(",")),
            "ssl": found["ssl"] == "on",
            "plain_from_afar": plain_from_afar(found["listen_addresses"], rules),
        }

    def bad(self) -> AbstractContextManager[Target]:
        return _bad()


def _let_in(site: Site, way: Mapping[str, Any], user: str, password: str) -> bool | None:
    """None: it was refused for another reason than the password, and might not be on another day."""
    import psycopg

    own: dict[str, Any] = {
        "user": user, "password": password, "connect_timeout": CONNECT_S,
        # Nothing of ours that would let us in: no file of passwords, no certificate, no ticket.
        "passfile": NO_FILE, "sslcert": NO_FILE, "gssencmode": "disable",
    }  # fmt: skip
    try:
        with psycopg.connect(**{**way, **own}) as connection:
            asked = bool(connection.pgconn.used_password)
    except psycopg.OperationalError as error:
        site.note(f"{user} was refused: {error}")
        asked = error.pgconn is not None and (error.pgconn.needs_password or error.pgconn.used_password)
        return False if asked or "pg_hba.conf" in str(error) else None
    site.note(f"{user} was let in by {'a common password' if asked else 'no password'}")
    return True


def _postgres(site: Site) -> Postgres:
    assert site.target.postgres is not None
    return site.target.postgres


@contextmanager
def _bad() -> Iterator[Target]:
    with bad_postgres() as url:
        yield Target(name="bad", postgres=Postgres(url=url, app_role=APP))


MEASURES = (AppRole, StoredPasswords, Logins, Settings)
