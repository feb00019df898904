"""Which findings a reader needs first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaos_locust.faults.registry import KINDS
from chaos_locust.judge.verdict import FaultRecord, Finding, Outcome, Verdict
from chaos_locust.reports.text import count, duration, plain, share

_RANK = {Outcome.DEVIATED: 0, Outcome.INCONCLUSIVE: 1, Outcome.UPHELD: 2}


def failures_first(findings: Sequence[Finding]) -> list[Finding]:
    """What is not upheld first: errors before warnings, deviated before inconclusive before not run."""

    def rank(finding: Finding) -> tuple[bool, bool, int, bool]:
        upheld = finding.outcome is Outcome.UPHELD
        return upheld, finding.severity == "warn", _RANK[finding.outcome], finding.not_run

    return sorted(findings, key=rank)


def title(finding: Finding) -> str:
    """The objective as typed; with the request it was judged for when the text does not name it."""
    if finding.subject and finding.subject not in finding.text:
        return f"{finding.text} [{finding.subject}]"
    return finding.text


def word(finding: Finding) -> str:
    """One word for the outcome, as shown in lists."""
    if finding.not_run:
        return "NOT RUN"
    if finding.severity == "warn" and finding.outcome is not Outcome.UPHELD:
        return "WARNING"
    return finding.outcome.value


def tally(findings: Sequence[Finding]) -> str:
    """`1 deviated, 2 inconclusive, 7 upheld, 1 warning`."""
    words = [word(finding) for finding in findings]
    named = {
        "DEVIATED": "deviated",
        "INCONCLUSIVE": "inconclusive",
        "NOT RUN": "not run",
        "UPHELD": "upheld",
        "WARNING": "warned",
    }
    return ", ".join(f"{count(words.count(key))} {name}" for key, name in named.items() if key in words)


def ready_again(fault: FaultRecord) -> str:
    """Recovery in Kubernetes' sense, beside that of the users; empty: nobody looked."""
    if fault.ready_again_s is None:
        return ""
    since = "its start" if fault.reverted_s is None else "its end"
    if math.isinf(fault.ready_again_s):
        return "not as many pods ready as before when the run ended"
    if not fault.ready_again_s:
        return "always as many pods ready as before"
    return f"as many pods ready as before {duration(fault.ready_again_s)} after {since}"


def state_of(fault: FaultRecord) -> str:
    """How far a fault got; one without an end of its own is `done` once it was active."""
    cls = KINDS.get(fault.kind)
    instant = cls is not None and cls.instant
    return "done" if instant and fault.state == "active" else plain(fault.state)


def trust_line(verdict: Verdict) -> str:
    """How far the generator itself can be trusted, in one line."""
    trust = verdict.trust
    lateness = f"lateness p99 {duration(trust.lateness_p99_s)}"
    if trust.lateness_limit_s is not None:
        lateness += f" (limit {duration(trust.lateness_limit_s)})"
    workers = f"{trust.workers} worker{'' if trust.workers == 1 else 's'}"
    if trust.workers_lost:
        workers += f", {trust.workers_lost} lost"
    return "; ".join(
        (
            lateness,
            f"{share(trust.dropped_share)} dropped",
            f"CPU at most {share(trust.max_cpu_share)} of a core",
            workers,
            f"clocks within {duration(trust.clock_error_s)}",
        )
    )
