"""A target's `tls`: what may stand there, and what is told of what may not."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target, read_targets

LINK = {"upstream": "api.example.com:443", "listen": "127.0.0.1:8443"}
PAIR = {"certificate": "/etc/tls/web.pem", "key": "/etc/tls/web-key.pem"}


def target(tls: Any, **more: Any) -> Target:
    return read_targets({"web": {**LINK, **more, "tls": tls}})["web"]


@pytest.mark.parametrize("tls", [PAIR, {**PAIR, "upstream_ca": "/etc/tls/ca.pem"}, {**PAIR, "verify": False}])
def test_it_reads_back(tls: dict[str, Any]) -> None:
    plan = Plan.from_json({"name": "p", "targets": {"web": {**LINK, "tls": tls}}})
    assert Plan.from_json(plan.to_json()) == plan
    found = plan.targets["web"].tls
    assert found is not None
    assert found.model_dump(exclude_none=True) == {"verify": True} | tls


@pytest.mark.parametrize(("tls", "words"), [
    ({"certificate": "/a.pem"}, "web.tls.key: is missing"),
    ({**PAIR, "key": "web-key.pem"}, "web.tls.key: 'web-key.pem' is not allowed"),
    ({**PAIR, "kay": "/k"}, "web.tls.kay: 'kay' is no key here; did you mean key?"),
    ({**PAIR, "upstream_ca": "/ca.pem", "verify": False}, "web.tls.upstream_ca: has no effect with verify"),
    ("yes", "web.tls: 'yes' is not a mapping"),
])  # fmt: skip
def test_mistakes(tls: Any, words: str) -> None:
    with pytest.raises(InvalidPlan) as told:
        target(tls)
    assert words in str(told.value)


def test_a_proxy_that_is_there_cannot_be_made_to_speak_tls() -> None:
    with pytest.raises(InvalidPlan, match=r"web\.tls: has no effect without upstream"):
        read_targets({"web": {"proxy": "web", "tls": PAIR}})
