"""Reports of scans and tests: whether there is one, and how old it is by what it says itself.

The time of the file counts only where it makes a report older: a copy is younger than what was copied. A
report says when it was made where it is a log of clamscan, SARIF, or JSON of Trivy or Grype; else its
description does (`made`).
"""

from __future__ import annotations

import json
import re
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, ClassVar

import psutil

from chaos_locust.errors import ChaosError
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.operations.documents import A_DAY, read, text_of
from compliance.site import Site, at
from compliance.target import Target
from compliance.target_documents import Documents, MalwareScan, Scan

_LONG_AGO = date(2000, 1, 1)
_CLAMSCAN = re.compile(r"^End Date: +(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)\s*$", re.M)


class Malware(Measure):
    name = "malware_scan"
    says = "whether a scanner for malware runs here, or how old its last report is"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("documents",)
    fields: ClassVar[Mapping[str, str]] = {
        "is_there": "whether the scanner's process runs, or its report is there and not empty",
        "age_days": "of the report; 0 while the process runs; none: the report does not say when it was made",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.documents is not None
        scan = site.target.documents.malware_scan
        if scan is None:
            raise Unsupported("the target's documents name no malware_scan")
        if scan.process is not None and _runs(site, scan.process):
            return {"is_there": True, "age_days": 0.0}
        if scan.file is None:
            return {"is_there": False, "age_days": None}
        return _report(site, Scan(file=scan.file, made=scan.made))

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "clamscan.log"
            file.touch()
            scan = MalwareScan(file=file, made=_LONG_AGO, process="no-such-scanner")
            yield Target(name="bad", documents=Documents(malware_scan=scan))


class _Report(Measure):
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("documents",)
    fields: ClassVar[Mapping[str, str]] = {
        "is_there": "whether the report is there, and not empty",
        "age_days": "since it was made; none: it does not say when",
    }

    @abstractmethod
    def _named(self, documents: Documents) -> Scan | None: ...

    @abstractmethod
    def _with(self, scan: Scan) -> Documents: ...

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.documents is not None
        scan = self._named(site.target.documents)
        if scan is None:
            raise Unsupported(f"the target's documents name no {self.name}")
        return _report(site, scan)

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.json"
            file.touch()
            yield Target(name="bad", documents=self._with(Scan(file=file, made=_LONG_AGO)))


class VulnerabilityScan(_Report):
    name = "vulnerability_scan"
    says = "whether there is a report of a scan for vulnerabilities, and how old it is"

    def _named(self, documents: Documents) -> Scan | None:
        return documents.vulnerability_scan

    def _with(self, scan: Scan) -> Documents:
        return Documents(vulnerability_scan=scan)


class PenetrationTest(_Report):
    name = "penetration_test"
    says = "whether there is a report of a penetration test, and how old it is"

    def _named(self, documents: Documents) -> Scan | None:
        return documents.penetration_test

    def _with(self, scan: Scan) -> Documents:
        return Documents(penetration_test=scan)


def said_in(content: bytes) -> datetime | None:
    """When a report says that it was made, the oldest of its runs; None: not in a form that is known."""
    text = text_of(content) or ""
    if logged := _CLAMSCAN.findall(text):
        year, month, day, clock = logged[-1]
        return _moment(f"{year}-{month}-{day}T{clock}", local=True)
    try:
        document = json.loads(text)
    except ValueError:
        return None
    said = [at(document, "CreatedAt"), at(document, "descriptor.timestamp")]
    for run in _list(at(document, "runs")):
        said += [at(each, "endTimeUtc") for each in _list(at(run, "invocations"))]
    found = [moment for each in said if (moment := _moment(each)) is not None]
    return min(found, default=None)


def _report(site: Site, scan: Scan) -> dict[str, Any]:
    content = read(site, scan.file)
    known = [said_in(content)] if content else []
    if scan.made is not None:
        known.append(datetime.combine(scan.made, time(), UTC))
    stated = [each for each in known if each is not None]
    site.note(f"made, by what is said: {', '.join(each.isoformat() for each in stated) or 'nothing is'}")
    if not stated:
        return {"is_there": bool(content), "age_days": None}
    if content:
        stated.append(datetime.fromtimestamp(scan.file.stat().st_mtime, UTC))
    made = min(stated)
    age = site.now() - made
    if age < -A_DAY:
        raise ChaosError(f"{scan.file.name} was made {made.isoformat()}, which is yet to come")
    return {"is_there": bool(content), "age_days": round(max(age / timedelta(days=1), 0.0), 2)}


def _runs(site: Site, process: str) -> bool:
    pids = [each.pid for each in psutil.process_iter(["name"]) if each.info["name"] == process]
    site.note(f"processes called {process}: {pids or 'none'}")
    return bool(pids)


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _moment(text: Any, local: bool = False) -> datetime | None:
    """Without an offset it is one of UTC, or of this machine."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None and not local:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone()


MEASURES = (Malware, VulnerabilityScan, PenetrationTest)
