"""Tests in a real cluster, the one that KUBECONFIG names; without it all of them are skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.servers.kubernetes_rig import Space, admin, namespace

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    if os.environ.get("KUBECONFIG"):
        return
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason="needs a Kubernetes cluster: KUBECONFIG is not set"))


@pytest.fixture(scope="module")
def api() -> Any:
    return admin()


@pytest.fixture(scope="module")
def space(api: Any) -> Iterator[Space]:
    """A namespace with a deployment `web` of three pods, and its service."""
    with namespace(api) as found:
        found.configure()
        found.apply("deployment", "web")
        found.service()
        yield found
