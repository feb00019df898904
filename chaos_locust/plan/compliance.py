"""`compliance:` of a plan: which controls are asserted before, during and after its faults.

Which frameworks and controls there are, the audit knows; here only the form is looked at.
"""

from __future__ import annotations

from pydantic import Field

from chaos_locust.data import Data, PositiveSeconds
from chaos_locust.plan.objectives import Severity


class AssertedControls(Data):
    """target: the file that describes what is audited. controls: ids of the framework. checks: of all that
    tells of these controls, only these; empty: all. profile: whose parameters hold; None: the framework's
    usual one. every_s: between the beginnings of two rounds of measures. allow_disruptive: measures too
    that lock the canary account out."""

    framework: str = Field(min_length=1)
    controls: tuple[str, ...] = Field(min_length=1)
    checks: tuple[str, ...] = ()
    target: str = Field(min_length=1)
    profile: str | None = None
    every_s: PositiveSeconds = Field(default=5.0, alias="every")
    allow_disruptive: bool = False
    severity: Severity = "error"
