"""A security policy and a runbook for incidents, for audits of the demo shop: examples, and they say so.

Who answers for a real system writes its own; the days of approval and drill are those on which the shop was
started.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

POLICY, RUNBOOK = "security-policy.md", "incident-runbook.md"
APPROVER = "Example Officer of the demo shop"
CONTACT = "security@shop.example"
_NOTE = "An example, written by the program that starts the demo shop: nobody works by it."
_POLICY = f"""# Security policy

{_NOTE}

## Scope

The demo shop, its identity service, its database, its cache, and who works on them.

## Access

Each user has an account and a role of their own, and may do what the role needs. Log-ins lock after wrong
passwords; sessions end; what is done is written to the audit log, which nobody may change.

## Data

What goes over a network is encrypted. Backups are made daily or more often, and restored to test them.

## Review

Every year, and after each incident.

Approved by {APPROVER}.
"""
_RUNBOOK = f"""# Runbook for incidents

{_NOTE}

## Contact

{CONTACT}, at all times.

## Steps

1. Write down when it was noticed, by whom, and what was seen.
2. Keep the evidence: the audit log, the logs of the services, a backup.
3. Contain it: lock accounts, end sessions, cut links.
4. Tell those who are affected, in the time that the law gives.
5. Restore, and test what was restored.

## Drill

Once a year an incident is played through by these steps.

Approved by {APPROVER}.
"""


def write_documents(folder: Path) -> None:
    for name, text in ((POLICY, _POLICY), (RUNBOOK, _RUNBOOK)):
        (folder / name).write_text(text, encoding="utf-8")


def documents(folder: Path) -> dict[str, Any]:
    """As target.yaml tells of them."""
    today = datetime.now(UTC).date().isoformat()

    def approved(name: str, text: str, *sections: str) -> dict[str, Any]:
        return {
            "file": str(folder / name),
            "approved": today,
            "approved_by": APPROVER,
            "review_every_days": 365,
            "sha256": sha256(text.encode()).hexdigest(),
            "sections": list(sections),
        }

    return {
        "security_policy": approved(POLICY, _POLICY, "Scope", "Access", "Data", "Review"),
        "incident_runbook": {
            **approved(RUNBOOK, _RUNBOOK, "Contact", "Steps", "Drill"),
            "contact": CONTACT,
            "drilled": today,
        },
    }
