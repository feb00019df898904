"""What people wrote down: the security policy and the runbook for incidents.

How old a document is, is what its description says of its approval: the time of the file is that of a copy.
What the description says is held against the file where that can be seen: by its hash, and in a text by its
words.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.site import Site, Unreachable
from compliance.target import Target
from compliance.target_documents import Approved, Documents, Runbook

A_DAY = timedelta(days=1)  # as far as a calendar may be ahead of that of UTC
_LONG_AGO = date(2000, 1, 1)
_HEADING = re.compile(r"[\s#*\d.)]*(?P<text>.*?)[\s:*#]*")


class SecurityPolicy(Measure):
    name = "security_policy"
    says = "whether there is a security policy, approved, as it was approved, and when that was"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("documents",)
    fields: ClassVar[Mapping[str, str]] = {
        "is_there": "whether the file is there, and not empty",
        "is_signed": "whether it is said who approved it and when, the SHA-256 of what was approved is the "
        "file's, and, in a text, the name is in it",
        "age_days": "since it was approved; none: it is not said",
        "is_overdue": "whether more days have gone by than its own review_every_days; false where that says "
        "nothing",
        "missing_sections": "headings that it must have and has not; none: it is no text",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        document = _documents(site).security_policy
        if document is None:
            raise Unsupported("the target's documents name no security_policy")
        return _seen(site, document, read(site, document.file))

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """One that is empty, that nobody has approved for long, and that nobody ever signed."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "policy.md"
            file.touch()
            policy = Approved(file=file, approved=_LONG_AGO, review_every_days=365, sections=("Scope",))
            yield Target(name="bad", documents=Documents(security_policy=policy))


class IncidentRunbook(Measure):
    name = "incident_runbook"
    says = "whether there is a runbook for incidents, approved, with a contact, and drilled at all"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("documents",)
    fields: ClassVar[Mapping[str, str]] = {
        **SecurityPolicy.fields,
        "has_contact": "whether it is said whom to turn to, and, in a text, that is in it",
        "was_drilled": "whether it is said when it was drilled",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        runbook = _runbook(site)
        content = read(site, runbook.file)
        return {
            **_seen(site, runbook, content),
            "has_contact": bool(content) and bool(runbook.contact) and _has(content, runbook.contact),
            "was_drilled": runbook.drilled is not None,
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "runbook.md"
            file.touch()
            runbook = Runbook(file=file, approved=_LONG_AGO, review_every_days=365, sections=("Contacts",))
            yield Target(name="bad", documents=Documents(incident_runbook=runbook))


class IncidentDrill(Measure):
    name = "incident_drill"
    says = "how long ago the response to incidents was drilled"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("documents",)
    fields: ClassVar[Mapping[str, str]] = {"age_days": "since the last drill"}

    def take(self, site: Site) -> Mapping[str, Any]:
        drilled = _runbook(site).drilled
        if drilled is None:
            raise Unsupported("no drill is named (documents.incident_runbook.drilled)")
        return {"age_days": days_since(site, drilled, "documents.incident_runbook.drilled")}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        runbook = Runbook(file=Path("runbook.md"), drilled=_LONG_AGO)
        yield Target(name="bad", documents=Documents(incident_runbook=runbook))


def read(site: Site, file: Path) -> bytes:
    """Its content; empty where there is no such file, or only blanks. Raises Unreachable."""
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        site.note(f"{file}: {error.strerror}")
        return b""
    except OSError as error:
        raise Unreachable(f"{file}: {error.strerror}") from None
    site.note(f"{file}: {len(content)} bytes, SHA-256 {sha256(content).hexdigest()}")
    return content if content.strip() else b""


def days_since(site: Site, day: date, place: str) -> int:
    """Whole days by the calendar of UTC. Raises ChaosError where the day is yet to come."""
    today = site.now().date()
    if day > today + A_DAY:
        raise ChaosError(f"{place}: {day} is yet to come")
    return max((today - day).days, 0)


def text_of(content: bytes) -> str | None:
    """None: it is no text, but a PDF or something else."""
    if content.startswith(b"%PDF") or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _documents(site: Site) -> Documents:
    assert site.target.documents is not None
    return site.target.documents


def _runbook(site: Site) -> Runbook:
    runbook = _documents(site).incident_runbook
    if runbook is None:
        raise Unsupported("the target's documents name no incident_runbook")
    return runbook


def _seen(site: Site, document: Approved, content: bytes) -> dict[str, Any]:
    age_days = None
    if document.approved is not None:
        age_days = days_since(site, document.approved, f"the approval of {document.file.name}")
    every = document.review_every_days
    text = text_of(content)
    headings = {_heading(line) for line in (text or "").splitlines()}
    site.note(f"by its description approved {document.approved} by {document.approved_by or 'nobody'}")
    return {
        "is_there": bool(content),
        "is_signed": _is_signed(document, content),
        "age_days": age_days,
        "is_overdue": None if age_days is None else every is not None and age_days > every,
        "missing_sections": [each for each in document.sections if _heading(each) not in headings]
        if text is not None or not document.sections
        else None,
    }


def _is_signed(document: Approved, content: bytes) -> bool:
    if not (content and document.approved and document.approved_by and document.sha256):
        return False
    return sha256(content).hexdigest() == document.sha256 and _has(content, document.approved_by)


def _has(content: bytes, words: str) -> bool:
    """Of what is no text, the description is taken at its word."""
    text = text_of(content)
    return text is None or _plain(words) in _plain(text)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _heading(line: str) -> str:
    found = _HEADING.fullmatch(line)
    return _plain(found["text"]) if found else ""


MEASURES = (SecurityPolicy, IncidentRunbook, IncidentDrill)
