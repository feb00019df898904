"""The demo shop keeps what is bound to it, and bears what shows the planted defects."""

from __future__ import annotations

import pytest

from chaos_locust.demo.settings import DEFECTS
from invariants import StateInvariant
from invariants.state_invariant import InvalidSetting
from invariants.targets.shop import BINDINGS
from tests.servers.shop_sequences import KNOWN, addressed, known, prepared


def test_there_is_an_invariant_for_every_defect():
    assert set(KNOWN) == set(DEFECTS)
    assert {name for name, _ in KNOWN.values()} <= set(BINDINGS)


@pytest.mark.parametrize("name", BINDINGS)
def test_the_healthy_shop_keeps_what_is_bound_to_it(shop, name):
    bound = BINDINGS[name]
    with addressed(shop):
        iterations = (bound.iterations or 100) if bound.faults is None else 6
        result = prepared(name, bound).with_iterations(iterations).with_budget("120s").verify()
    assert not result.violations, result.violations[0].title
    assert result.iterations > 0


@pytest.mark.parametrize("defect", KNOWN)
def test_the_healthy_shop_bears_what_shows_the_defects(shop, defect):
    name = KNOWN[defect][0]
    with addressed(shop):
        replayed = prepared(name, BINDINGS[name]).replay(known(defect), tries=1)
    assert replayed.failed == 0


def test_where_no_shop_is_nothing_is_said(tmp_path):
    nobody = {"SHOP_URL": "http://127.0.0.1:9"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_URL", nobody["SHOP_URL"])
        result = prepared("error_rate_limited", BINDINGS["error_rate_limited"]).verify()
    assert result.outcome == "INCONCLUSIVE"
    assert "chaos-locust demo serve" in result.inconclusive


def test_options_are_those_of_the_invariant():
    with pytest.raises(InvalidSetting, match="tries"):
        StateInvariant.named("requests_are_answered", BINDINGS["requests_are_answered"].target, limit=1)
