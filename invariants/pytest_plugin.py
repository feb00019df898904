"""The fixture `verify_invariant` for pytest: a test fails with the steps that broke the invariant.

    def test_no_order_is_lost(verify_invariant):
        verify_invariant(StateInvariant.queue_never_loses_messages(Orders()).with_iterations(50))

Nothing but pytest is imported until a test uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from invariants.result import Result
    from invariants.state_invariant import StateInvariant

SECTION = "test file that fails until it is mended"


class VerifyInvariant(Protocol):
    """Runs `verify()` and gives its result. Fails the test when it is DEVIATED, and when it is INCONCLUSIVE
    unless that is allowed: a test that tells nothing is not one that passed."""

    def __call__(self, invariant: StateInvariant, *, allow_inconclusive: bool = False) -> Result: ...


@pytest.fixture
def verify_invariant(request: pytest.FixtureRequest) -> VerifyInvariant:
    def verify(invariant: StateInvariant, *, allow_inconclusive: bool = False) -> Result:
        result = invariant.verify()
        if result.outcome == "DEVIATED":
            _keep_tests(request.node, result)
            pytest.fail(_told(result), pytrace=False)
        if result.outcome == "INCONCLUSIVE" and not allow_inconclusive:
            pytest.fail(f"INCONCLUSIVE {result.invariant}: {result.inconclusive}", pytrace=False)
        return result

    return verify


def _told(result: Result) -> str:
    from invariants.reports.words import facts_of, numbers_of, steps_of

    lines = [f"DEVIATED {result.invariant}: {result.statement}"]
    for found in result.violations:
        lines += [found.title, "; ".join(facts_of(found)), *(f"  {step}" for step in steps_of(found))]
    lines.append(numbers_of(result))
    lines.append(
        "To see it again: this test begins with the sequences that failed before; or the file below."
    )
    return "\n".join(lines)


def _keep_tests(item: pytest.Item, result: Result) -> None:
    from chaos_locust.errors import ChaosError

    for found in result.violations:
        try:
            text = found.to_pytest()
        except ChaosError as error:
            text = f"there is none: {error}"
        item.add_report_section("call", SECTION, text)
