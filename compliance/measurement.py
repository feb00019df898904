"""What a measure found: values to be judged, evidence to be shown. The judging is done elsewhere."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from compliance.guesses import ORDINARY_WORDS

MeasurementStatus = Literal["ok", "error", "unreachable", "unsupported"]
"""error: the measure itself failed, or its positive control did not show what it must. unreachable: the
target did not answer. unsupported: the target's description lacks a part that the measure needs, or it was
not allowed."""


@dataclass(frozen=True)
class Measurement:
    """One measure on one target. value: by field, JSON; empty unless the status is ok. evidence: what was
    sent and seen, without secrets. reason: of a status other than ok. taken_at: ISO 8601, UTC."""

    measure: str
    status: MeasurementStatus
    value: Mapping[str, Any]
    evidence: tuple[str, ...]
    reason: str
    taken_at: str
    took_s: float

    @property
    def sha256(self) -> str:
        """Of all of it as canonical JSON, so that what a report shows can be held against the trail."""
        return digest(asdict(self))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "evidence": list(self.evidence), "sha256": self.sha256}


def digest(document: Any) -> str:
    """SHA-256 of canonical JSON: keys sorted, no spaces, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Secrets:
    """What must not be shown: passwords of the target's description, and tokens as they are given out. For
    use by several threads."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def add(self, secret: str) -> str:
        """Short ones are left alone, and words that anybody would try: to blot out every `a` or `admin` would
        blot out everything."""
        if len(secret) >= 4 and secret not in ORDINARY_WORDS:
            with self._lock:
                self._known.add(secret)
        return secret

    def redacted(self, text: str) -> str:
        with self._lock:
            known = sorted(self._known, key=len, reverse=True)
        for secret in known:
            text = text.replace(secret, "***")
        return text

    def redacted_json(self, document: Any) -> Any:
        """Every text in it, keys included."""
        match document:
            case str():
                return self.redacted(document)
            case Mapping():
                return {self.redacted(str(key)): self.redacted_json(each) for key, each in document.items()}
            case list() | tuple():
                return [self.redacted_json(each) for each in document]
        return document
