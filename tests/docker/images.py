"""The images of docker/Dockerfile, built by a Docker daemon of our own on stand-ins for their bases."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.docker import root
from tests.servers.docker import Daemon, NoDocker, check_docker

ROOT = Path(__file__).parents[2]
SIZE = "size=4g"
BASE = "chaos-locust-test-python:1"
TAGS = {"chaos-locust": "chaos-locust:0.1.0", "shop": "chaos-locust-shop:0.1.0"}


@contextmanager
def docker_or_skip() -> Iterator[Daemon]:
    """In memory: a disk may take minutes to delete the many files of an image."""
    with tempfile.TemporaryDirectory(prefix="chaos-docker-") as folder, contextlib.ExitStack() as stack:
        try:
            check_docker()
            mount = ["mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", folder]
            if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
                raise NoDocker("no tmpfs can be mounted")
            stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            found = Daemon(Path(folder))
        except NoDocker as error:
            pytest.skip(f"no Docker: {error}")
        stack.callback(found.stop)
        yield found


def packages_or_skip() -> None:
    """The image is made of packages of an index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*command, "--dest", folder, "pathspec"], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("no package index: pip downloads nothing")


def build(found: Daemon) -> None:
    """All that is in the file, once for both targets."""
    bring_in(found, BASE, root.python(), ["ENV " + root.PATH])
    for target, tag in TAGS.items():
        try:
            found.client.images.build(
                path=str(ROOT), dockerfile="docker/Dockerfile", target=target, tag=tag,
                buildargs={"PYTHON": BASE}, network_mode="host", rm=True, pull=False,
            )  # fmt: skip
        except docker.errors.BuildError as error:
            told = "".join(str(each.get("stream", each.get("error", ""))) for each in error.build_log)
            raise AssertionError(told[-4000:]) from None


def bring_in(found: Daemon, tag: str, data: bytes, changes: list[str]) -> None:
    repository, _, version = tag.partition(":")
    found.client.api.import_image_from_data(data, repository=repository, tag=version, changes=changes)


def run(found: Daemon, tag: str, *command: str, **more: Any) -> tuple[int, str]:
    """As Kubernetes runs it: a root file system that is read-only, with a /tmp. Exit code and output."""
    container = found.client.containers.run(
        tag, list(command), detach=True, read_only=True, tmpfs={"/tmp": ""}, network_mode="none",
        cap_drop=["ALL"], security_opt=["no-new-privileges"], **more,
    )  # fmt: skip
    try:
        code = container.wait(timeout=120)["StatusCode"]
        return code, container.logs().decode()
    finally:
        container.remove(force=True)
