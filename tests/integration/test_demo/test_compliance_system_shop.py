"""The shipped test of a system's compliance: it passes on the hardened shop, and fails on a weak one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from compliance.catalogue import load

ROOT = Path(__file__).parents[3]
LIMIT_S = 600


@pytest.fixture
def decisions(tmp_path: Path) -> Path:
    """An attestation for every control: for what of it cannot be measured."""
    item = {
        "framework": "soc2",
        "controls": list(load("soc2").profile().controls),
        "statement": "An example: what cannot be measured is in order.",
        "owner": "A. Owner",
        "approver": "B. Approver",
        "decided_on": "2020-01-01",
        "expires_on": "2099-12-31",
    }
    file = tmp_path / "decisions.yaml"
    file.write_text(yaml.safe_dump({"attestations": [item]}))
    return file


def outcome_of(shop: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    command += ["--pyargs", "compliance.test_system_compliance"]
    target = {"COMPLIANCE_TARGET": shop.ready["env"]["SHOP_TARGET"], "COMPLIANCE_FRAMEWORK": "soc2"}
    return subprocess.run(
        command, cwd=shop.state, env={**os.environ, "PYTHONPATH": str(ROOT), **target, **environment},
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def test_it_passes_on_the_hardened_shop_and_fails_on_a_weak_one(shop: Any, decisions: Path) -> None:
    hardened = outcome_of(shop, COMPLIANCE_DECISIONS=str(decisions))
    assert hardened.returncode == 0, hardened.stdout
    assert "1 passed" in hardened.stdout
    shop.plant("idor")
    weak = outcome_of(shop, COMPLIANCE_DECISIONS=str(decisions))
    assert weak.returncode == 1
    assert "non_compliant_controls == 0" in weak.stdout
    assert "CC6.3" in weak.stdout, "what is to be done is told"


def test_without_attestations_what_cannot_be_measured_is_not_compliant(shop: Any) -> None:
    shop.plant(None)
    done = outcome_of(shop)
    assert done.returncode == 1
    assert "CC1.1 not_assessed: nothing that can be measured tells of it" in done.stdout


def test_what_it_needs_is_said(shop: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--pyargs", "compliance.test_system_compliance"],
        cwd=shop.state, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "needed in the environment: COMPLIANCE_FRAMEWORK, COMPLIANCE_TARGET" in done.stdout
