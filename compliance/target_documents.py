"""What people wrote and what scanners reported, as `documents` of `target.yaml` names it.

One that is named and is not there fails; one that is not named is not assessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from chaos_locust.data import Data, nested_in
from chaos_locust.errors import Problem


class Approved(Data):
    """A text (Markdown, ...) or a PDF. approved: the day of the last approval. sha256: of what was approved.
    review_every_days: by its own words. sections: headings that it must have."""

    file: Path
    approved: date | None = None
    approved_by: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    review_every_days: int | None = Field(default=None, gt=0)
    sections: tuple[str, ...] = ()


class Runbook(Approved):
    """contact: whom it says to turn to. drilled: the day of the last drill."""

    contact: str = ""
    drilled: date | None = None


class Scan(Data):
    """made: the day of the scan or the test, where the report does not say it in a form that is known."""

    file: Path
    made: date | None = None


class MalwareScan(Data):
    """file: the scanner's last report. process: its name, where the audit runs. One of them is enough."""

    file: Path | None = None
    made: date | None = None
    process: str | None = Field(default=None, min_length=1)

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        named = data.get("file") or data.get("process")
        return [] if named else [Problem("", "names neither a file nor a process; one is needed")]


class Documents(Data):
    security_policy: Annotated[Approved | None, nested_in(Approved)] = None
    incident_runbook: Annotated[Runbook | None, nested_in(Runbook)] = None
    malware_scan: Annotated[MalwareScan | None, nested_in(MalwareScan)] = None
    vulnerability_scan: Annotated[Scan | None, nested_in(Scan)] = None
    penetration_test: Annotated[Scan | None, nested_in(Scan)] = None
