"""The measures of a plan's `compliance:`, taken again and again while its run goes on, in a process of its
own.

python -m compliance.during JOB: one JSON object {target, framework, controls, checks, every_s,
allow_disruptive, start_epoch_s, file}. Each measurement is a JSON line in `file`, with the seconds of the
run in which it was taken. When its standard input ends the round is finished, and the positive controls are
taken: a pass is believed only with one. Those go on at the same time, but for those of measures that must be
taken alone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_locust.errors import ChaosError
from compliance.auditor import AT_ONCE, Auditor
from compliance.catalogue import load
from compliance.checks import Check, bindings, checks
from compliance.measurement import Measurement
from compliance.measures.registry import measures
from compliance.target import load_target


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement, and from when until when of the run it was taken. on_bad: it is a positive control."""

    measurement: Measurement
    from_s: float
    to_s: float
    on_bad: bool = False


def checks_of(framework: str, controls: Sequence[str], only: Sequence[str] = ()) -> dict[str, list[Check]]:
    """What tells of each of these controls. only: of these checks; empty: of all."""
    bound = bindings(framework)
    return {
        control: [checks()[each.check] for each in bound.get(control, ()) if not only or each.check in only]
        for control in controls
    }


def measures_of(checks: Mapping[str, Sequence[Check]]) -> list[str]:
    """The names of all measures that these need, each once."""
    return list(dict.fromkeys(check.measure for each in checks.values() for check in each))


def main(job: dict[str, Any]) -> None:
    load(job["framework"])
    names = measures_of(checks_of(job["framework"], job["controls"], job["checks"]))
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    target = load_target(Path(job["target"]), os.environ)
    auditor = Auditor(target, allow_disruptive=job["allow_disruptive"])
    with Path(job["file"]).open("a", encoding="utf-8", buffering=1) as file:

        def line(name: str, take: Callable[[str], Measurement], on_bad: bool) -> str:
            from_s = time.time() - job["start_epoch_s"]
            measurement = take(name)
            to_s = time.time() - job["start_epoch_s"]
            told = {"from_s": from_s, "to_s": to_s, "on_bad": on_bad, "measurement": measurement.to_json()}
            return json.dumps(told) + "\n"

        while not over.is_set():
            began_s = time.monotonic()
            for name in names:
                if not over.is_set():
                    file.write(line(name, auditor.measure, False))
            over.wait(max(0.0, began_s + job["every_s"] - time.monotonic()))
        alone = [name for name in names if measures()[name].beside == "nothing"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            together = (name for name in names if name not in alone)
            for each in pool.map(lambda name: line(name, auditor.measure_on_bad, True), together):
                file.write(each)
        for name in alone:
            file.write(line(name, auditor.measure_on_bad, True))


def read_taken(path: Path) -> Iterator[Taken]:
    """What a run has left. A last line that was cut is left out. Raises ChaosError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise ChaosError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            return
        try:
            told = json.loads(line)
            given = told["measurement"]
            digest = given.pop("sha256")
            measurement = Measurement(**{**given, "evidence": tuple(given["evidence"])})
            if measurement.sha256 != digest:
                raise ValueError("its digest does not fit")
            yield Taken(measurement, told["from_s"], told["to_s"], told["on_bad"])
        except (ValueError, KeyError, TypeError) as error:
            raise ChaosError(f"{path}, line {number}: {error}") from None


def _wait_for_end(over: threading.Event) -> None:
    """Its parent holds the other end: it ends too when the parent is killed."""
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
