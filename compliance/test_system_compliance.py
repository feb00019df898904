"""Whether a system is compliant, as a test: `pytest --pyargs compliance.test_system_compliance`.

From the environment: COMPLIANCE_TARGET, its description, and COMPLIANCE_FRAMEWORK; where they are needed
COMPLIANCE_PROFILE and COMPLIANCE_DECISIONS, attestations for what cannot be measured.
"""

from __future__ import annotations

import os

from compliance import audit


def test_system_compliance() -> None:
    missing = {"COMPLIANCE_TARGET", "COMPLIANCE_FRAMEWORK"} - set(os.environ)
    assert not missing, f"needed in the environment: {', '.join(sorted(missing))}"
    result = audit(
        os.environ["COMPLIANCE_FRAMEWORK"],
        os.environ["COMPLIANCE_TARGET"],
        profile=os.environ.get("COMPLIANCE_PROFILE"),
        decisions=os.environ.get("COMPLIANCE_DECISIONS", ()),
    )
    assert result.non_compliant_controls == 0, result.remediation_summary()
    unmet = [
        f"{each.control.id} {each.state}: {each.detail}"
        for each in result.controls
        if each.state not in ("compliant", "not_applicable")
    ]
    assert result.is_compliant(), "\n".join(unmet)
