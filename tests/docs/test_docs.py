"""Every code block of the documentation is run: what the pages say is what happens.

A page is one session in a fresh folder. Blocks that begin with `# file: NAME` become files of it, other YAML
is a part of a plan that has to load, Python and bash are run in order. `<!-- exits N -->` before a bash block
says with which code it ends. Blocks of `console` need a cluster or a registry: tests/docker/test_page.py
looks that what they name is there.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaos_locust.plan.documents import parse_plan, read_yaml

from .pages import Shell, blocks_of
from .services import database, demo_shop, listening, service

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = ("running-in-kubernetes.md",)
README_PORTS = (5432, 8080, 15432, 8474)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.fixture(scope="module")
def shop() -> Iterator[Mapping[str, str]]:
    """The variables of a running demo shop, which all pages but the README share."""
    with tempfile.TemporaryDirectory(prefix="docs-shop-") as folder, demo_shop(Path(folder)) as env:
        yield env


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own, which the database's user could not get through to."""
    with tempfile.TemporaryDirectory(prefix="docs-page-") as name:
        yield Path(name)


def environ(folder: Path) -> dict[str, str]:
    """The project's commands on the PATH; leases go into the session's own folder."""
    state = folder / ".state"
    state.mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with socket.socket() as free:  # not Locust's default port, at which somebody else may listen
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ours = {"LOCUST_MASTER_NODE_PORT": port, "LOCUST_MASTER_BIND_PORT": port, "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **ours, "PATH": path, "XDG_STATE_HOME": str(state)}


def run_page(page: Path, folder: Path, env: Mapping[str, str]) -> None:
    with Shell(folder, env) as shell:
        for block in blocks_of(page):
            place = f"{page.name}:{block.line}"
            if block.file is not None:
                (folder / block.file).write_text(block.text)
            elif block.language == "console":
                assert page.name in NOT_RUN, f"{place}: nothing looks at a block of console"
            elif block.language == "yaml":
                _load_fragment(block.text, place)
            else:
                assert block.language in ("bash", "python"), (
                    f"{place}: nothing runs a block of {block.language!r}"
                )
                code, output = (shell.bash if block.language == "bash" else shell.python)(block.text)
                assert code == block.exits, (
                    f"{place}: exit code {code}, not {block.exits}:\n{block.text}\n{output}"
                )


def _load_fragment(text: str, place: str) -> None:
    """A part of a plan: keys of a plan, each as the real loader takes it."""
    data = read_yaml(text)
    assert isinstance(data, dict), f"{place}: is no part of a plan"
    parse_plan({"name": place, **data}, {})


def test_pages_are_there() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "plans.md", "verdict.md", "faults.md", "locust.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_are_used_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks_of(page):
        if block.file is not None:
            later = text[text.index(block.text) + len(block.text) :]
            assert Path(block.file).stem in later, f"{page.name}: nothing uses {block.file}"
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing, f"{page.name} links to what is not there: {missing}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name
)
def test_page(page: Path, folder: Path, shop: Mapping[str, str]) -> None:
    run_page(page, folder, {**environ(folder), **shop})


def test_readme(folder: Path, fixed_ports: None) -> None:
    """Against a database and a service where the README has them, and `make demo` as in a checkout."""
    taken = [port for port in README_PORTS if listening(port)]
    if taken:
        pytest.skip(f"the README's ports are in use on this machine: {taken}")
    _checkout(folder)
    url = re.search(r"DATABASE_URL=(\S+)", (ROOT / "README.md").read_text())
    assert url is not None
    with ExitStack() as services, tempfile.TemporaryDirectory(prefix="docs-db-") as data:
        services.enter_context(database(Path(data), 5432))
        services.enter_context(service(8080, url[1]))
        run_page(ROOT / "README.md", folder, environ(folder))


def _checkout(folder: Path) -> None:
    """What `make` needs of one, with the environment that runs this test as the one that it had made."""
    shutil.copy2(ROOT / "Makefile", folder)
    for name in ("pyproject.toml", "requirements-dev.lock"):
        shutil.copy2(ROOT / name, folder)
    (folder / "locustfiles").symlink_to(ROOT / "locustfiles")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv" / "installed").touch()
