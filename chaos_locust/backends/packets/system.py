"""What faults on packets need of this machine: nft in a network namespace, and who holds packets there."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos_locust.errors import BackendError

NAMESPACES = Path("/run/netns")
_PROGRAM = "from chaos_locust.backends.packets.holder import main; main()"

_PACKAGES = {"nft": "nftables", "nsenter": "util-linux"}
_NET_ADMIN, _NET_RAW, _SYS_ADMIN = 12, 13, 21
_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.005
_LOOK_LIMIT_S = 1.0


def missing_right(namespace: str | None) -> str:
    """What this process may not do that is needed; empty: nothing."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    if not effective >> _NET_ADMIN & effective >> _NET_RAW & 1:
        return "the rights CAP_NET_ADMIN and CAP_NET_RAW"
    if namespace is not None and not effective >> _SYS_ADMIN & 1:
        return "the right CAP_SYS_ADMIN (to enter a namespace)"
    return ""


def has_namespace(namespace: str | None) -> bool:
    return namespace is None or ("/" not in namespace and (NAMESPACES / namespace).exists())


def namespaces() -> list[str]:
    return sorted(os.listdir(NAMESPACES)) if NAMESPACES.is_dir() else []


def resolve(host: str) -> list[str]:
    """Its addresses, as this machine knows them. Raises BackendError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BackendError(f"the address of {host} is not known: {error.strerror or error}") from None
    return sorted({str(address[4][0]).partition("%")[0] for address in found})


def nft(namespace: str | None, arguments: Sequence[str], text: str = "") -> str:
    """Its output. Raises BackendError with its first line of complaint."""
    command = [*_within(namespace), "nft", *arguments]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except FileNotFoundError as error:
        package = _PACKAGES[error.filename]
        raise BackendError(
            f"the program {error.filename} is not there; install it (Debian: {package})"
        ) from None
    except subprocess.TimeoutExpired:
        raise BackendError(f"nft did not end within {_LIMIT_S:g} s") from None
    if done.returncode:
        complaint = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[0]
        raise BackendError(f"nft refuses: {complaint}")
    return done.stdout


def tables(namespace: str | None) -> list[tuple[str, str]]:
    """(family, name) of every table there. Raises BackendError."""
    listed = json.loads(nft(namespace, ["-j", "list", "tables"]))["nftables"]
    return [(item["table"]["family"], item["table"]["name"]) for item in listed if "table" in item]


def counters(namespace: str | None, families: Sequence[str], table: str) -> dict[str, int]:
    """Packets by the counter's name, of all families together. Raises BackendError."""
    found: dict[str, int] = {}
    for family in families:
        listed = json.loads(nft(namespace, ["-j", "list", "counters", "table", family, table]))["nftables"]
        for counter in (item["counter"] for item in listed if "counter" in item):
            found[counter["name"]] = found.get(counter["name"], 0) + counter["packets"]
    return found


def holders(beginning: str) -> dict[str, list[int]]:
    """Pids of the processes that hold packets, by their mark, of marks that begin so."""
    found: dict[str, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{entry}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if arguments[-2:-1] == [_PROGRAM.encode()] and arguments[-1].startswith(beginning.encode()):
                found.setdefault(arguments[-1].decode(), []).append(int(entry))
    return found


def end_holder(pid: int) -> None:
    """Lets it release what it holds, and returns when it is gone. Raises BackendError."""
    for number, limit_s in ((signal.SIGTERM, _LIMIT_S / 2), (signal.SIGKILL, _LIMIT_S / 2)):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(descriptor, number)
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            if ended.poll(limit_s * 1000):
                return
        except OSError as error:
            raise BackendError(
                f"process {pid}, which holds packets, takes no signal: {error.strerror}"
            ) from None
        finally:
            os.close(descriptor)
    raise BackendError(f"process {pid}, which holds packets, does not end")


class HolderProcess:
    """The process that holds packets, and ends when this object's process does."""

    def __init__(self, mark: str, namespace: str | None) -> None:
        root = str(Path(__file__).parents[3])
        # Without site packages, for it has to start in a few milliseconds.
        command = [*_within(namespace), sys.executable, "-S", "-c", _PROGRAM, mark]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PYTHONPATH": root, "PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise BackendError(f"{command[0]} cannot be started: {error.strerror}") from None
        self._lock = threading.Lock()
        self._unread = b""
        self._begun = False

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Returns when it holds the queues. Raises BackendError."""
        with self._lock:
            self._begun = True
            answer = self._ask(json.dumps(settings), _LIMIT_S)
        if answer is None or "error" in answer:
            self.close()
            reason = "it did not answer" if answer is None else answer["error"]
            raise BackendError(f"the kernel's packet queues (NFQUEUE) cannot be used: {reason}")

    def look(self) -> dict[str, float] | None:
        """What it has done so far; None: it is gone, or has not begun."""
        with self._lock:
            return self._ask("", _LOOK_LIMIT_S) if self._begun else None

    def close(self) -> None:
        """It releases what it holds, and is gone when this returns."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, line: str, limit_s: float) -> dict[str, Any] | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        deadline_s = time.monotonic() + limit_s
        try:
            os.write(self._process.stdin.fileno(), line.encode() + b"\n")
            output = self._process.stdout.fileno()
            while b"\n" not in self._unread:
                ready, _, _ = select.select([output], [], [], max(deadline_s - time.monotonic(), 0))
                read = os.read(output, 65536) if ready else b""
                if not read:
                    return None
                self._unread += read
        except (OSError, ValueError):  # it was closed meanwhile
            return None
        answer, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(answer)
        return found


def _within(namespace: str | None) -> list[str]:
    return [] if namespace is None else ["nsenter", f"--net={NAMESPACES / namespace}"]
