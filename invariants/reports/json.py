"""`result.json`, and a file for each violation that `chaos-locust invariants replay` reads."""

from __future__ import annotations

from typing import Any

from chaos_locust.redact import redact, redact_text
from invariants.options import options_to_json
from invariants.result import Found
from invariants.suite import Case, Suite


def suite_to_json(suite: Suite) -> dict[str, Any]:
    """Without secrets."""
    return {
        "run_id": suite.run_id,
        "target": suite.target,
        "outcome": suite.word,
        "exit_code": suite.exit_code,
        "seed": suite.seed,
        "command": suite.command,
        "started_epoch_s": suite.started_epoch_s,
        "elapsed_s": round(suite.elapsed_s, 3),
        "invariants": [case_to_json(case) for case in suite.cases],
    }


def case_to_json(case: Case) -> dict[str, Any]:
    data: dict[str, Any] = {
        "invariant": case.invariant,
        "statement": case.statement,
        "reason": case.reason,
        "outcome": case.word,
        "note": "" if case.bound is None else case.bound.note,
        "inconclusive": case.doubt,
    }
    if case.ended is None:
        return data
    result = {} if case.ended.result is None else redact(case.ended.result.to_json())
    return {**result, **data, "dirty": case.ended.dirty, "no_test_file": case.ended.no_tests}


def violation_to_json(case: Case, found: Found) -> dict[str, Any]:
    """What it takes to run its steps again."""
    assert case.job is not None
    assert case.bound is not None
    return {
        "invariant": case.invariant,
        "target": redact_text(case.job.target),
        "options": redact(options_to_json(case.bound.options)),
        # The target's own faults come with the target again.
        "faults": None if case.job.faults is None else str(case.job.faults),
        **redact({key: value for key, value in found.to_json().items() if key != "faults"}),
        "fault_bands": [list(band) for band in found.history.faults],
    }
