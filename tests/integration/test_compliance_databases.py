"""What is said of PostgreSQL and Redis, against real servers that are set up well and badly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_port
from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.stores.database import AppRole, Logins, Settings, StoredPasswords
from compliance.measures.stores.redis_server import DANGEROUS, RedisSettings, Strangers
from compliance.site import Site, Unreachable
from compliance.target import Postgres, Redis, Target
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.redis import server as running_redis

HBA = """
host all all 127.0.0.1/32 scram-sha-256
"""
SECRET = "k3-Qw9vZ-long-and-random"


def site_of(**parts: Any) -> Site:
    return Site(Target(name="test", **parts), Secrets())


def outcome(check: str, value: Any) -> str:
    found = checks()[check]
    return judge(found, Measurement(found.measure, "ok", value, (), "", "", 0.0), {}).answer


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def site(postgres: PostgresServer) -> Site:
    return site_of(postgres=Postgres(url=postgres.admin, app_role="app"))


@pytest.fixture
def with_passwords(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Nobody is let in without, and everybody has a good one."""
    rules = postgres.data / "pg_hba.conf"
    before = rules.read_text()
    for role in ("postgres", "app"):
        postgres.ask(f"ALTER ROLE {role} PASSWORD '{SECRET}'")
    rules.write_text(HBA)
    postgres.ask("SELECT pg_reload_conf()")
    yield postgres
    rules.write_text(before)
    postgres.ask("SELECT pg_reload_conf()", url_with(postgres.admin))


def url_with(url: str, password: str = SECRET) -> str:
    return url.replace("@", f":{password}@")


def test_a_role_of_its_own_has_no_powers(postgres: PostgresServer, site: Site) -> None:
    postgres.ask("ALTER DATABASE shop OWNER TO postgres")
    value = AppRole().take(site)
    assert value == {"powers": [], "owns": []}
    assert outcome("database-role", value) == outcome("database-ownership", value) == "held"


@pytest.mark.parametrize(
    ("give", "take", "power"),
    [
        ("ALTER ROLE app SUPERUSER", "ALTER ROLE app NOSUPERUSER", "superuser"),
        ("ALTER ROLE app CREATEROLE", "ALTER ROLE app NOCREATEROLE", "makes roles"),
        ("ALTER ROLE app BYPASSRLS", "ALTER ROLE app NOBYPASSRLS", "passes by row security"),
        ("GRANT pg_read_server_files TO app", "REVOKE pg_read_server_files FROM app", "pg_read_server_files"),
        (
            "CREATE ROLE boss SUPERUSER; GRANT boss TO app",
            "REVOKE boss FROM app; DROP ROLE boss",
            "superuser",
        ),
    ],
)
def test_powers_are_found(postgres: PostgresServer, site: Site, give: str, take: str, power: str) -> None:
    postgres.ask(give)
    try:
        value = AppRole().take(site)
    finally:
        postgres.ask(take)
    assert power in value["powers"]
    assert outcome("database-role", value) == "failed"


def test_the_owner_of_a_database_is_found(postgres: PostgresServer, site: Site) -> None:
    postgres.ask("ALTER DATABASE shop OWNER TO app")
    try:
        value = AppRole().take(site)
    finally:
        postgres.ask("ALTER DATABASE shop OWNER TO postgres")
    assert "database shop" in value["owns"]
    assert outcome("database-ownership", value) == "failed"


def test_whoever_is_trusted_is_let_in_without_a_password(site: Site) -> None:
    value = Logins().take(site)
    assert value == {"without_password": ["app", "postgres"], "guessed": []}
    assert outcome("database-password-needed", value) == "failed"


def test_good_passwords_keep_everybody_out(
    with_passwords: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pgpass").write_text(f"*:*:*:*:{SECRET}\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    monkeypatch.setenv("PGPASSWORD", SECRET)
    secrets = Secrets()
    url = url_with(with_passwords.admin)
    site = Site(Target(name="test", postgres=Postgres(url=url, app_role="app")), secrets)
    value = Logins().take(site)
    assert value == {"without_password": [], "guessed": []}
    assert outcome("database-password-needed", value) == outcome("database-password-guessed", value) == "held"
    assert SECRET not in "".join(site.evidence)


@pytest.mark.parametrize("password", ["app", "changeme"])
def test_a_password_that_is_easy_to_guess_is_found(with_passwords: PostgresServer, password: str) -> None:
    url = url_with(with_passwords.admin)
    with_passwords.ask(f"ALTER ROLE app PASSWORD '{password}'", url)
    value = Logins().take(site_of(postgres=Postgres(url=url, app_role="app")))
    assert value == {"without_password": [], "guessed": ["app"]}
    assert outcome("database-password-guessed", value) == "failed"


def test_passwords_stored_by_md5_are_found(postgres: PostgresServer, site: Site) -> None:
    assert StoredPasswords().take(site) == {"encryption": "scram-sha-256", "weak": []}
    postgres.ask("SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'x'")
    try:
        value = StoredPasswords().take(site)
    finally:
        postgres.ask("DROP ROLE old")
    assert value == {"encryption": "scram-sha-256", "weak": ["old"]}
    assert outcome("database-password-storage", value) == "failed"


def test_what_we_may_not_see_is_not_known(postgres: PostgresServer) -> None:
    site = site_of(postgres=Postgres(url=postgres.app, app_role="app"))
    value = StoredPasswords().take(site)
    assert value["weak"] is None
    assert outcome("database-password-storage", value) == "not_known"


def test_settings_are_read_as_they_are(postgres: PostgresServer, site: Site) -> None:
    value = Settings().take(site)
    assert value == {
        "logs_connections": False,
        "logs_disconnections": False,
        "logs_ddl": False,
        "ssl": False,
        "plain_from_afar": False,  # it listens on loopback alone
    }
    for name, setting in (("log_connections", "on"), ("log_disconnections", "on"), ("log_statement", "ddl")):
        postgres.ask(f"ALTER SYSTEM SET {name} = '{setting}'")
    postgres.ask("SELECT pg_reload_conf()")
    value = Settings().take(site)
    assert outcome("database-logs-sessions", value) == outcome("database-logs-changes", value) == "held"


def test_a_database_that_is_down_says_nothing() -> None:
    site = site_of(postgres=Postgres(url=f"postgresql://app@127.0.0.1:{free_port()}/shop", app_role="app"))
    for measure in (AppRole(), Logins(), Settings(), StoredPasswords()):
        with pytest.raises(Unreachable):
            measure.take(site)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_redis_without_a_password_answers_strangers(kind: str) -> None:
    with running_redis(kind) as server:
        value = Strangers().take(site_of(redis=Redis(url=server.url)))
    assert value == {"may_read": True, "guessed": False}
    assert outcome("redis-password-needed", value) == "failed"


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize(("password", "guessed"), [(SECRET, False), ("foobared", True)])
def test_redis_with_a_password_does_not(kind: str, password: str, guessed: bool) -> None:
    with running_redis(kind, password=password) as server:
        site = site_of(redis=Redis(url=server.url))
        value = Strangers().take(site)
    assert value == {"may_read": False, "guessed": guessed}
    assert outcome("redis-password-guessed", value) == ("failed" if guessed else "held")


def test_a_user_of_everything_may_run_what_is_dangerous(tmp_path: Path) -> None:
    with running_redis("valkey", "--appendonly", "yes", "--dir", str(tmp_path), password=SECRET) as server:
        site = site_of(redis=Redis(url=server.url))
        value = RedisSettings().take(site)
        assert server.setting("maxmemory") == "0", "nothing is run"
    assert value == {"dangerous": sorted(DANGEROUS, key=list(DANGEROUS).index), "listens_everywhere": False,
                     "persists": True}  # fmt: skip
    assert outcome("redis-commands", value) == "failed"
    assert SECRET not in "".join(site.evidence)


def test_a_user_of_little_may_not() -> None:
    rights = ("on", f">{SECRET}", "~*", "+@all", "-@admin", "-@dangerous", "+acl|whoami", "+acl|dryrun")
    with running_redis("valkey") as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "shop", *rights)
        url = server.url.replace("//", f"//shop:{SECRET}@")
        value = RedisSettings().take(site_of(redis=Redis(url=url)))
    assert value == {"dangerous": [], "listens_everywhere": None, "persists": None}
    assert outcome("redis-commands", value) == "held"
    assert outcome("redis-bind", value) == "not_known"


def test_an_old_redis_does_not_tell_what_may_be_run() -> None:
    with running_redis("redis", "--bind", "0.0.0.0") as server:
        value = RedisSettings().take(site_of(redis=Redis(url=server.url)))
    assert value["dangerous"] is None
    assert value["listens_everywhere"] is True


def test_a_redis_that_is_down_says_nothing() -> None:
    site = site_of(redis=Redis(url=f"redis://127.0.0.1:{free_port()}"))
    for measure in (Strangers(), RedisSettings()):
        with pytest.raises(Unreachable):
            measure.take(site)
