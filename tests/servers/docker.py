"""A Docker daemon of our own: its own socket, data and image, no firewall rules, gone at the end.

It needs root, Debian's docker.io and busybox-static.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

START_S = 30.0
IMAGE = "chaos-locust-test"
NETWORK = "front"
_SUBNETS = 8
_BUSYBOX = Path("/bin/busybox")
_DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM")
_PROGRAMS = ("sh", "httpd", "sleep", "dd", "mkdir")


class NoDocker(Exception):
    """It cannot run here; the text says why."""


class Daemon:
    """`host` is for DOCKER_HOST; `client` asks it; `address` is free in the network `front`."""

    def __init__(self, folder: Path) -> None:
        self.host = f"unix://{folder}/docker.sock"
        self.address = ""
        self._folder = folder
        self._output = (folder / "output").open("wb")
        options = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-H", self.host]
        options += ["-p", f"{folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        self._process = subprocess.Popen(
            [*_DIES_WITH_US, "dockerd", *options, "--ip-forward=false", "--ip-masq=false"],
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )
        try:
            self.client = self._connect()
            self._import_image()
            self._make_network()
        except BaseException:
            self.stop()
            raise

    def _connect(self) -> docker.DockerClient:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                return docker.DockerClient(base_url=self.host, version="auto", timeout=20)
            except (docker.errors.DockerException, OSError):
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    lines = (self._folder / "output").read_text(errors="replace").splitlines()
                    raise NoDocker(f"dockerd does not start: {lines[-1][:200] if lines else ''}") from None
            time.sleep(0.05)

    def _import_image(self) -> None:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as image:
            image.add(_BUSYBOX.resolve(), "bin/busybox")
            for name in _PROGRAMS:
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                image.addfile(link)
        self.client.api.import_image_from_data(data.getvalue(), repository=IMAGE)

    def _make_network(self) -> None:
        """Daemons of other processes have taken subnets too."""
        for attempt in range(_SUBNETS):
            net = f"10.213.{(os.getpid() + attempt) % 250}"
            pool = docker.types.IPAMPool(subnet=f"{net}.0/24")
            try:
                ipam = docker.types.IPAMConfig(pool_configs=[pool])
                self.client.networks.create(NETWORK, driver="bridge", ipam=ipam)
            except docker.errors.APIError as error:
                if attempt == _SUBNETS - 1:
                    raise NoDocker(f"dockerd makes no network: {error.explanation}") from None
            else:
                self.address = f"{net}.9"
                return

    def stop(self) -> None:
        with contextlib.suppress(AttributeError, docker.errors.DockerException, OSError):
            for container in self.client.containers.list(all=True):
                container.remove(force=True)
            for network in self.client.networks.list(names=[NETWORK]):
                network.remove()
            self.client.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


class _Shared:
    """The daemon of this process, for as long as anybody uses it."""

    def __init__(self) -> None:
        self.lock, self.users = threading.Lock(), 0
        self.daemon: Daemon | None = None
        self.folder = ""


_SHARED = _Shared()


@contextmanager
def daemon() -> Iterator[Daemon]:
    """DOCKER_HOST points to it meanwhile. Raises NoDocker."""
    with _SHARED.lock:
        if _SHARED.daemon is None:
            check_docker()
            _SHARED.folder = tempfile.mkdtemp(prefix="chaos-docker-", dir="/var/tmp")
            try:
                _SHARED.daemon = Daemon(Path(_SHARED.folder))
            except BaseException:
                _end()
                raise
            os.environ["DOCKER_HOST"] = _SHARED.daemon.host
        _SHARED.users += 1
        found = _SHARED.daemon
    try:
        yield found
    finally:
        with _SHARED.lock:
            _SHARED.users -= 1
            if _SHARED.users == 0:
                _end()


def _end() -> None:
    if _SHARED.daemon is not None:
        _SHARED.daemon.stop()
    _SHARED.daemon = None
    os.environ.pop("DOCKER_HOST", None)
    shutil.rmtree(_SHARED.folder, ignore_errors=True)


def check_docker() -> None:
    """Raises NoDocker."""
    if os.geteuid() != 0:
        raise NoDocker("a Docker daemon of our own needs root")
    missing = [name for name in ("dockerd", "containerd", "runc", "setpriv") if shutil.which(name) is None]
    if missing or not _BUSYBOX.exists():
        raise NoDocker("a Docker daemon of our own needs docker.io and busybox-static")


@contextmanager
def web_server(daemon: Daemon, work: str = ":", **more: Any) -> Iterator[Any]:
    """A container that serves /index.html after `work`, in the network `front`. Its first process takes
    SIGTERM."""
    script = f"trap 'exit 0' TERM; {work}; echo hello > /index.html; httpd -f -p 80 -h / & wait"
    container = daemon.client.containers.run(
        IMAGE, ["sh", "-c", script], detach=True, network=NETWORK, **more
    )
    try:
        yield container
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True)


def inspect(container: Any) -> dict[str, Any]:
    container.reload()
    return dict(container.attrs)


def address_of(container: Any) -> str:
    """Empty: it is not in the network."""
    networks = inspect(container)["NetworkSettings"]["Networks"]
    return str(networks[NETWORK]["IPAddress"]) if NETWORK in networks else ""
