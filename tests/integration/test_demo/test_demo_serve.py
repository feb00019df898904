"""The supervisor: what dies is started again, and nothing is left at the end, however it comes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

from chaos_locust.demo.settings import Ports
from chaos_locust.demo.state import StateInUse, claim

SERVE = [sys.executable, "-m", "chaos_locust.demo", "serve"]


def gone(process: psutil.Process) -> bool:
    try:  # a zombie has ended too, only nobody has waited for it yet
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def shared_memory_of(pid: int) -> list[str]:
    """System V segments that a process made."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return [row for row in rows if int(row.split()[4]) == pid]


@pytest.mark.parametrize("name", ["payments", "identity", "cache", "postgres", "proxy", "shop"])
def test_a_killed_process_is_started_again(shop, until, name):
    acknowledged = shop.order(idempotency_key=f"before the kill of {name}").json()["id"]
    before = shop.pid(name)
    os.kill(before, signal.SIGKILL)
    assert until(lambda: not (shop.state / f"{name}.pid").exists())
    assert until(lambda: (shop.state / f"{name}.pid").exists() and shop.pid(name) != before)
    assert psutil.Process(shop.pid(name)).is_running()

    def works() -> bool:
        try:
            parts = shop.http.get("/health/ready").json()["parts"]
            return all(part["ok"] for part in parts.values()) and shop.orders_work()
        except httpx.HTTPError:
            return False

    assert until(works, timeout_s=20)
    assert shop.read_order(acknowledged).status_code == 200
    again = shop.order(idempotency_key=f"before the kill of {name}")
    assert (again.status_code, again.json()["id"]) == (200, acknowledged)
    assert len(shop.charges(again.json()["payment_reference"])) == 1


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_supervisor_ends(start_shop, until, signal_number):
    shop = start_shop()
    assert shop.orders_work()
    processes = shop.processes()
    postgres = psutil.Process(shop.pid("postgres"))
    back_end = next(process for process in processes if process.ppid() == postgres.pid)
    assert {process["pid"] for process in shop.ready["processes"]} < {process.pid for process in processes}
    for stopped in (shop.pid("cache"), shop.pid("payments"), back_end.pid, postgres.pid):
        os.kill(stopped, signal.SIGSTOP)
    assert shared_memory_of(postgres.pid)
    assert "/dev/shm/" not in Path(f"/proc/{postgres.pid}/maps").read_text()  # nothing could clean that up
    os.kill(shop.supervisor.pid, signal_number)
    code = shop.supervisor.wait(30)
    assert code == (0 if signal_number != signal.SIGKILL else -signal.SIGKILL)
    assert until(lambda: not shop.state.exists(), timeout_s=15)
    assert until(lambda: all(map(gone, processes)), timeout_s=15)
    assert not shared_memory_of(postgres.pid)
    if signal_number != signal.SIGKILL:
        assert not shop.ready_file.exists()


def test_back_ends_that_outlive_a_killed_postmaster_are_ended_too(start_shop, until):
    shop = start_shop()
    postgres = psutil.Process(shop.pid("postgres"))
    backends = postgres.children()
    for backend in backends:
        backend.suspend()
    os.kill(postgres.pid, signal.SIGKILL)
    assert until(lambda: all(backend.ppid() != postgres.pid for backend in backends))
    os.kill(shop.supervisor.pid, signal.SIGKILL)
    assert until(lambda: all(map(gone, backends)), timeout_s=15)
    assert until(lambda: not shop.state.exists())
    assert not shared_memory_of(postgres.pid)


@pytest.mark.parametrize(
    "reached",
    [
        ".",
        "lock",
        "settings.json",
        "proxy.pid",
        "postgres",
        "postgres/PG_VERSION",
        "postgres.pid",
        "shop.pid",
    ],
)
def test_nothing_is_left_when_the_supervisor_is_killed_while_it_starts(until, reached):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)  # PostgreSQL runs as another user when we are root
        command = [*SERVE, "--ports", "free"]
        supervisor = subprocess.Popen(
            command, env={**os.environ, "TMPDIR": folder}, stdout=subprocess.DEVNULL
        )
        try:
            pattern = f"chaos-locust-shop-*/{reached}"
            assert until(lambda: any(Path(folder).glob(pattern)), timeout_s=30, every_s=0.002)
        finally:
            supervisor.kill()
            supervisor.wait()

        def left() -> list[psutil.Process]:
            attributes = ["cwd", "cmdline", "status"]
            return [
                process
                for process in psutil.process_iter(attributes)
                if folder in f"{process.info['cwd']} {process.info['cmdline']}" and not gone(process)
            ]

        assert until(lambda: not left(), timeout_s=15)
        assert until(lambda: os.listdir(folder) == [], timeout_s=15)


def test_only_its_own_processes_are_ended(start_shop, until):
    shop = start_shop()
    bystander = subprocess.Popen(["sleep", "60"], cwd=shop.state)
    try:
        os.kill(shop.supervisor.pid, signal.SIGKILL)
        assert until(lambda: not shop.state.exists(), timeout_s=15)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_port_in_use_is_named_and_nothing_is_started():
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", Ports().shop))
            taken.listen()
        except OSError:
            pass  # somebody else has it; that will do as well
        result = subprocess.run(SERVE, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert re.fullmatch(r"port \d+ is in use; .*--ports free\n", result.stderr)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--defect", "x"], "--defect: there is no 'x'"), (["--ports", "x"], "--ports: 'x' is not allowed")],
)
def test_bad_options_are_refused_with_what_is_allowed(options, message):
    result = subprocess.run([*SERVE, *options], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert "allowed: " in result.stderr


def test_the_folder_of_a_dead_shop_is_replaced_and_that_of_a_living_one_is_not(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "shop.pid").write_text("1")
    with claim(folder):
        assert not (folder / "shop.pid").exists()
        with (
            pytest.raises(StateInUse, match="belongs to a shop that is running"),
            claim(folder, patience_s=0),
        ):
            pass
        assert folder.exists()
    assert not folder.exists()


def test_a_folder_that_is_not_a_shops_is_left_alone(tmp_path):
    file = tmp_path / "mine"
    file.touch()
    with pytest.raises(StateInUse, match="is not a shop's"), claim(tmp_path, patience_s=0):
        pass
    assert file.exists()
