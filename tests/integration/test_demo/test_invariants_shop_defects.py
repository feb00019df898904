"""Each planted defect of the demo shop breaks its invariant.

That a search finds the sequence is the business of the bench (`python -m bench.invariants_shop`).
"""

from __future__ import annotations

import pytest

from invariants.targets.shop import BINDINGS
from tests.servers.shop_sequences import KNOWN, addressed, known, prepared


@pytest.mark.parametrize("defect", KNOWN)
def test_each_defect_breaks_its_invariant_again_and_again(start_shop, defect):
    name = KNOWN[defect][0]
    with addressed(start_shop(defect)):
        invariant = prepared(name, BINDINGS[name])
        replayed = invariant.replay(known(defect), tries=2)
    assert replayed.failed > 0
