"""A real PostgreSQL server out of its Python wheel, for tests: on loopback, in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.ports import free_port
from chaos_locust.demo.servers import as_user, minimal_environment, postgres

START_S = 60.0
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


class PostgresServer:
    """`admin` is the URL of the database `shop` as superuser, `app` as the role that owns it."""

    def __init__(self, folder: Path, max_connections: int = 30) -> None:
        self._postgres = postgres(folder)
        self.data, self.port = folder / "postgres", free_port()
        self._max_connections = max_connections
        self._process: subprocess.Popen[bytes] | None = None
        self.admin = f"postgresql://postgres@127.0.0.1:{self.port}/shop"
        self.app = f"postgresql://app@127.0.0.1:{self.port}/shop"
        self.home = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        self._make_folder()
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync",
                 "--encoding=UTF8", "--no-locale")  # fmt: skip

    def copy_of(self, primary: PostgresServer) -> None:
        """Becomes a standby of that running server."""
        self._make_folder()
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres", "-D", str(self.data)]
        self.run("pg_basebackup", *source, "--checkpoint=fast", "--no-sync", "--write-recovery-conf")

    def run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._postgres.programs / program), *arguments], **as_user(self._postgres.user),
            cwd=self.data.parent, env=minimal_environment(), check=True, capture_output=True,
        )  # fmt: skip

    def start(self) -> None:
        options = OPTIONS | {"max_connections": str(self._max_connections), "port": str(self.port)}
        with (self.data.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._postgres.programs / "postgres"), "-D", str(self.data),
                 *(f"--{name}={value}" for name, value in options.items())],
                **as_user(self._postgres.user), cwd=self.data, env=minimal_environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline_s = time.monotonic() + START_S
        while True:
            with contextlib.suppress(psycopg.Error):
                psycopg.connect(self.home).close()
                return
            assert self._process.poll() is None, (self.data.parent / "log").read_text()
            assert time.monotonic() < deadline_s, "PostgreSQL did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """At once: nothing of it is needed any more."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT ends all its children too
            self._process.wait(30)

    def ask(self, query: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """What a new session is told; statements in a row are told apart by semicolons."""
        with psycopg.connect(url or self.admin, autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def _make_folder(self) -> None:
        self.data.mkdir(mode=0o700)
        if self._postgres.user:
            self.data.parent.chmod(0o755)
            shutil.chown(self.data, self._postgres.user)


@contextmanager
def running_postgres(max_connections: int = 30) -> Iterator[PostgresServer]:
    """With a database `shop` of the role `app`."""
    with _folder() as folder:
        server = PostgresServer(folder, max_connections)
        server.initialise()
        try:
            server.start()
            server.ask("CREATE ROLE app LOGIN", server.home)
            server.ask("CREATE DATABASE shop OWNER app", server.home)
            yield server
        finally:
            server.stop()


@contextmanager
def running_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    with _folder() as folder:
        server = PostgresServer(folder)
        server.copy_of(primary)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="chaos-locust-postgres-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
