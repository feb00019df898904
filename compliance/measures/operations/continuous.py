"""Continuous monitoring: whether the target is audited again and again, by the audits that were kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.history import DOCUMENT, documents_in, read_document
from compliance.measurement import digest
from compliance.measures.base import Measure, SideEffect
from compliance.measures.operations.documents import A_DAY
from compliance.site import Site
from compliance.target import ContinuousMonitoring, Target

A_YEAR = timedelta(days=366)


class EarlierAudits(Measure):
    name = "earlier_audits"
    says = "how long ago the target was audited before, by what was kept of it"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("continuous_monitoring",)
    fields: ClassVar[Mapping[str, str]] = {
        "in_a_year": "audits of this target in the last 366 days in which something could be measured",
        "age_days": "of the last one; none: there is none",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        """Of documents that are as the audit wrote them. Raises ChangedDocument."""
        assert site.target.continuous_monitoring is not None
        folder = site.target.continuous_monitoring.audits
        documents = [read_document(path) for path in documents_in(folder)]
        ages = [
            site.now() - datetime.fromisoformat(each["audited_at"])
            for each in documents
            if each["target"] == site.target.name and _saw_something(each)
        ]
        site.note(f"{folder}: {len(documents)} audits, {len(ages)} of them of {site.target.name}")
        if any(age < -A_DAY for age in ages):
            raise ChaosError(f"{folder} has an audit of a day that is yet to come")
        return {
            "in_a_year": sum(age <= A_YEAR for age in ages),
            "age_days": max(round(min(ages) / timedelta(days=1), 2), 0.0) if ages else None,
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """Audited once, long ago."""
        document = {
            "target": "bad",
            "audited_at": "2000-01-01T00:00:00+00:00",
            "measurements": {"tls": {"status": "ok"}},
        }
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "20000101_000000" / DOCUMENT
            file.parent.mkdir()
            file.write_text(json.dumps({**document, "sha256": digest(document)}))
            monitoring = ContinuousMonitoring(audits=Path(folder))
            yield Target(name="bad", continuous_monitoring=monitoring)


def _saw_something(document: Mapping[str, Any]) -> bool:
    """Of a target that was down nothing was monitored."""
    return any(each["status"] == "ok" for each in document["measurements"].values())


MEASURES = (EarlierAudits,)
