"""A real server, a user of either class in front of it, and what Locust is told.

Locust must not change the standard library of the process in which the whole test suite runs.
"""

from __future__ import annotations

import os

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
import locust  # noqa: F401

del os.environ["LOCUST_SKIP_MONKEY_PATCH"]  # processes that other tests start are to be patched

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from locust import FastHttpUser
from locust.env import Environment

from chaos_locust import LeanHttpUser
from tests.integration.test_lean.server import Site

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as started:
        yield started


@pytest.fixture(params=[LeanHttpUser, FastHttpUser], ids=["lean", "fast"])
def make(request: pytest.FixtureRequest, site: Site) -> Make:
    """Makes a user of the class, with attributes as locustfiles set them; `reports` is what Locust heard."""
    return maker(request.param, site)


@pytest.fixture
def make_lean(site: Site) -> Make:
    return maker(LeanHttpUser, site)


def maker(base: type[Any], site: Site) -> Make:
    def make(**attributes: Any) -> Any:
        user_class = type("Visitor", (base,), {"host": site.url, "network_timeout": 20.0} | attributes)
        environment = Environment(user_classes=[user_class])
        user = user_class(environment)
        user.reports = []
        environment.events.request.add_listener(lambda **told: user.reports.append(told))
        return user

    return make
