"""`cleanup --at kubernetes://`: what we may not look at is told, and does not hide what was found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.servers.kubernetes_api import Answer, FakeApi, refusal, served

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
NOT_LOOKED = "Not looked at: chaos_mesh: we may not list "


def forbidden(*parts: str) -> FakeApi:
    """A server that lets nobody list what has one of these in its path."""

    def trouble(method: str, path: str, query: Mapping[str, str]) -> Answer | None:
        return refusal(403, f"forbidden: {path}") if any(part in path for part in parts) else None

    api = FakeApi()
    api.trouble = trouble
    return api


def cleanup(api: FakeApi, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with served(api, folder) as config:
        environ = {**os.environ, "KUBECONFIG": config, "XDG_STATE_HOME": str(folder / "state")}
        return subprocess.run(
            [*COMMAND, "cleanup", *arguments], env=environ, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip


@pytest.mark.parametrize("place", ["kubernetes://", "kubernetes://fake", "kubernetes://?namespace=shop"])
def test_without_the_right_to_list_experiments(tmp_path: Path, place: str) -> None:
    done = cleanup(forbidden("chaos-mesh.org"), tmp_path, "--at", place)
    assert done.returncode == 0, done.stderr
    (told,) = done.stderr.splitlines()
    assert told.startswith(NOT_LOOKED)
    assert told.endswith("in the namespace shop" if "shop" in place else "in all namespaces")
    assert "Nothing to undo." in done.stdout


def test_what_may_be_listed_is_undone_all_the_same(tmp_path: Path) -> None:
    """Here one kind of them."""
    api = forbidden("/podchaos")
    mark = {"chaos-locust/mark": "chaos-dead-it"}
    about = {"name": "chaos-dead-it", "namespace": "shop", "labels": mark}
    api.add("networkchaos", {"metadata": about, "spec": {}, "status": {}})
    done = cleanup(api, tmp_path, "--at", "kubernetes://")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"{NOT_LOOKED}podchaos of Chaos Mesh in all namespaces"]
    assert "undone: the NetworkChaos shop/chaos-dead-it" in done.stdout
    assert ("networkchaos", "shop", "chaos-dead-it") not in api.objects


def test_without_the_right_to_list_what_faults_change_it_fails(tmp_path: Path) -> None:
    done = cleanup(forbidden("/deployments"), tmp_path, "--at", "kubernetes://")
    assert done.returncode == 5
    assert "403" in done.stderr
