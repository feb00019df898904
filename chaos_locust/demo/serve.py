"""The supervisor: starts all parts of the shop, starts again what dies, ends everything at the end."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from threading import Event
from time import monotonic

from chaos_locust.demo.accounts import write_private
from chaos_locust.demo.audit_target import target_file, variables, write_target
from chaos_locust.demo.backups import Backups
from chaos_locust.demo.certificates import Certificates
from chaos_locust.demo.children import Child, Reaper, Specification, logged_tail
from chaos_locust.demo.gateway import answers, make_proxies, ready
from chaos_locust.demo.logins import Logins, cache_users
from chaos_locust.demo.servers import (
    MissingPackage,
    Postgres,
    check_packages,
    minimal_environment,
    postgres,
    valkey_command,
)
from chaos_locust.demo.settings import DEFECTS, HOST, LAPSES, Ports, Settings, free_ports, state_folder
from chaos_locust.demo.state import StateInUse

KNOWN_DEFECTS = {**DEFECTS, **LAPSES}
BACKUPS = "backups"  # the child that has no port
POLL_S = 0.1
STARTUP_S = 60
SHUTDOWN_S = 5


class StartFailed(Exception):
    """The shop could not be started; the text says why."""


def serve(defect: str | None, ready_file: Path | None, ports: str, clock: bool = False) -> int:
    """Run the shop until SIGTERM, SIGINT or SIGHUP; 0 then, 1 if it could not start, 2 for bad input.

    `defect` is one of settings.DEFECTS or settings.LAPSES; `ports` is `default` or `free`. Once everything
    answers, `ready_file` is written, for its owner alone: JSON with `shop` and `proxy_api` (URLs),
    `processes` (name, pid, address, pidfile) and `env` (the variables that plans and audits read). With
    `clock`, the shop runs under a clock that faults can set; `env` then has its file as SHOP_CLOCK.
    """
    if defect is not None and defect not in KNOWN_DEFECTS:
        return _refuse(f"--defect: there is no {defect!r}; allowed: {', '.join(KNOWN_DEFECTS)}")
    if ports not in ("default", "free"):
        return _refuse(f"--ports: {ports!r} is not allowed; allowed: default, free")
    chosen = free_ports(SystemRandom()) if ports == "free" else Ports()
    taken = chosen.in_use()
    if taken is not None:
        return _refuse(f"port {taken} is in use; end what uses it, or take --ports free")
    try:
        check_packages()
        settings = Settings(state_folder(chosen.shop), chosen, defect)
        with _stop_signals() as stop, Reaper(settings.state) as reaper:
            settings.write()
            try:
                Supervisor(settings, reaper, stop, clock).run(ready_file)
            finally:
                if ready_file:
                    ready_file.unlink(missing_ok=True)
    except StateInUse as error:
        return _refuse(str(error))
    except (StartFailed, MissingPackage) as error:
        print(f"the shop could not start: {error}", file=sys.stderr)
        return 1
    return 0


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


@contextmanager
def _stop_signals() -> Iterator[Event]:
    """An event that is set by SIGTERM, SIGINT and SIGHUP meanwhile."""
    stop = Event()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Supervisor:
    """All the processes of one shop."""

    def __init__(self, settings: Settings, reaper: Reaper, stop: Event, clock: bool) -> None:
        self._settings = settings
        self._clock = settings.state / "clock" if clock else None
        self._stop = stop
        self._database = postgres(settings.state)
        cache = valkey_command(settings.ports.cache, cache_users(settings.state))
        self._reaper = reaper
        reaper.watch_programs(self._database.programs)
        self._untold = False  # whether a new proxy still has to be told what to forward
        self._children: list[Child] = []
        for specification in specifications(settings, self._database, cache, self._clock):
            self._children.append(Child(specification, settings.state, self._reaper))

    def run(self, ready_file: Path | None) -> None:
        """Start, wait until all answers, supervise until told to stop. Raises StartFailed."""
        try:
            self._start()
            self._announce(ready_file)
            while not self._stop.wait(POLL_S):
                self._mend()
        finally:
            self._end()

    def _start(self) -> None:
        Certificates.of(self._settings.state).make()
        Backups(self._settings.state).folder.mkdir(mode=0o700)
        logins = Logins.make()
        logins.write(self._settings.state, open_cache=self._settings.has("open-cache"))
        database, *others = self._children
        for child in others:  # they start while the database is being prepared
            child.start()
        try:
            self._database.initialise(
                logins,
                deletable_log=self._settings.has("log-deletable"),
                trusting=self._settings.has("trusting-database"),
            )
        except (subprocess.CalledProcessError, OSError) as error:
            detail = getattr(error, "stderr", "") or str(error)
            raise StartFailed(f"PostgreSQL could not be prepared: {detail.strip()}") from error
        database.start()
        self._wait("the proxy", lambda: answers(self._settings))
        make_proxies(self._settings)
        self._wait("the shop", lambda: ready(self._settings))
        if not self._settings.has("no-backups"):
            self._wait("the first backup", lambda: bool(Backups(self._settings.state).all()))

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = monotonic() + STARTUP_S
        while not condition():
            for child in self._children:
                if not child.running():
                    log = logged_tail(self._settings, child.name)
                    raise StartFailed(f"{child.name} ended at once\n{log}")
            if monotonic() > deadline:
                raise StartFailed(f"{what} did not answer within {STARTUP_S} s")
            if self._stop.wait(POLL_S):
                raise StartFailed("stopped")

    def _mend(self) -> None:
        """Start again what died a while ago. A new proxy knows no proxies and must be told."""
        for child in self._children:
            if child.restarted_if_due() and child.name == "proxy":
                self._untold = True
        if self._untold and answers(self._settings):
            make_proxies(self._settings)
            self._untold = False

    def _announce(self, ready_file: Path | None) -> None:
        settings = self._settings
        shop, api = settings.url("shop"), settings.url("proxy")
        write_target(settings, self._database.programs)
        environment = variables(settings)
        if self._clock:
            environment["SHOP_CLOCK"] = str(self._clock)
        exports = settings.state / "env"
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        write_private(exports, "".join(lines))
        processes = [
            {
                "name": child.name,
                "pid": child.pid,
                "address": f"{HOST}:{settings.ports.of(child.name)}",
                "pidfile": str(child.pidfile),
            }
            for child in self._children
            if child.name != BACKUPS
        ]
        if ready_file:
            content = {"shop": shop, "proxy_api": api, "processes": processes, "env": environment}
            write_private(ready_file, json.dumps(content, indent=2))
        if settings.defect:
            print(f"planted defect {settings.defect}: {KNOWN_DEFECTS[settings.defect]}")
        print(f"the shop: {shop} (routes: {shop}/openapi.json)")
        print(f"the proxy's API, for faults: {api}")
        print(f"over TLS: {settings.url('shop_tls')}; for an audit: {target_file(settings)}")
        print(f"pid files and logs: {settings.state}")
        print(f"the variables that plans and audits read, passwords too: . {shlex.quote(str(exports))}")
        print(f"to stop: Ctrl-C, or kill {os.getpid()}", flush=True)

    def _end(self) -> None:
        shop = self._children[-1]
        shop.terminate(SHUTDOWN_S)  # it finishes its requests while what it needs is still there
        self._reaper.finish()
        for child in self._children:
            child.wait()
        if self._clock:
            _remove_shared_memory(shop.pids)


def _remove_shared_memory(pids: list[int]) -> None:
    """What libfaketime leaves behind of a process that was killed."""
    for pid in pids:
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            (Path("/dev/shm") / name).unlink(missing_ok=True)


def specifications(
    settings: Settings, database: Postgres, cache: list[str], clock: Path | None
) -> list[Specification]:
    """What to run; the database first, the shop last. clock: the file that sets the shop's, if it has one."""
    ports, state = settings.ports, settings.state
    python = [sys.executable, "-m"]
    proxy = [*python, "chaos_locust.proxy", "-host", HOST, "-port", str(ports.proxy), "-proxy-metrics"]
    shop = [*python, "chaos_locust.demo.shop", str(state)]
    backups = [*python, "chaos_locust.demo.backing_up", str(state), str(database.programs)]
    if clock:
        command = [sys.executable, "-c", "from chaos_locust.cli import main; main()", "clock"]
        shop = [*command, str(clock), "--", *shop]
    return [
        Specification(
            "postgres", database.command(ports.postgres), database.data, database.user, minimal_environment()
        ),
        Specification("proxy", proxy, state),
        Specification("cache", cache, state),
        Specification("payments", [*python, "chaos_locust.demo.payments", str(state)], state),
        Specification("identity", [*python, "chaos_locust.demo.identity", str(state)], state),
        *([] if settings.has("no-backups") else [Specification(BACKUPS, backups, state)]),
        Specification("shop", shop, state),
    ]
