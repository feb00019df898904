"""Judges 10,000 simulated runs of known truth, writes the table of verdicts: `python -m tests.simulation`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from chaos_locust.judge.judge import judge
from chaos_locust.judge.verdict import Outcome
from tests.simulation.kinds import FAILED, HELD, KINDS, UNKNOWN

RUNS = 10_000
PAGE = Path(__file__).parents[2] / "docs" / "judge-proof.md"
HEAD = """\
# Proof of the judge

`python -m tests.simulation` simulates runs request by request, with a known truth, and has them judged. This
is its table for {runs:,} runs (seed {seed}). Nothing in it is typed.

- A *wrong pass*: UPHELD though the system failed, or though it cannot be known whether it did.
- A *wrong fail*: DEVIATED though everything held, or though it cannot be known.
- INCONCLUSIVE is never wrong, but of no use where the truth lies clear of every bound: kinds "near the
  bound" and those of recovery and outage draw their truth close to it on purpose.

| kind of truth | truth | runs | UPHELD | DEVIATED | INCONCLUSIVE | wrong pass | wrong fail | wrong exit |
|---|---|---|---|---|---|---|---|---|
"""


@dataclass
class Row:
    """Of one kind and truth."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    wrong_pass: list[int] = field(default_factory=list)
    wrong_fail: list[int] = field(default_factory=list)
    wrong_exit: list[int] = field(default_factory=list)


Table = dict[tuple[str, str], Row]


def simulate(seeds: Sequence[int]) -> Table:
    """Judges one run for each seed; the kinds take turns. Rows list the seeds that went wrong."""
    table: Table = {}
    names = list(KINDS)
    for seed in seeds:
        name = names[seed % len(names)]
        case = KINDS[name](Random(seed))
        verdict = judge(case.plan, case.recording)
        row = table.setdefault((name, case.truth), Row())
        row.outcomes[verdict.outcome] += 1
        if verdict.outcome is Outcome.UPHELD and case.truth != HELD:
            row.wrong_pass.append(seed)
        if verdict.outcome is Outcome.DEVIATED and case.truth != FAILED:
            row.wrong_fail.append(seed)
        expected = {Outcome.UPHELD: 0, Outcome.DEVIATED: 3, Outcome.INCONCLUSIVE: 4}[verdict.outcome]
        if verdict.exit_code != (expected if case.exit_code is None else case.exit_code):
            row.wrong_exit.append(seed)
    return table


def merged(tables: Sequence[Table]) -> Table:
    total: Table = {}
    for table in tables:
        for key, part in table.items():
            row = total.setdefault(key, Row())
            row.outcomes += part.outcomes
            row.wrong_pass += part.wrong_pass
            row.wrong_fail += part.wrong_fail
            row.wrong_exit += part.wrong_exit
    order = {truth: i for i, truth in enumerate((HELD, FAILED, UNKNOWN))}
    names = list(KINDS)
    return dict(sorted(total.items(), key=lambda item: (names.index(item[0][0]), order[item[0][1]])))


def page(table: Table, runs: int, seed: int) -> str:
    lines = []
    sums: Counter[str] = Counter()
    for (name, truth), row in table.items():
        counts = [
            row.outcomes[outcome] for outcome in (Outcome.UPHELD, Outcome.DEVIATED, Outcome.INCONCLUSIVE)
        ]
        wrong = [len(row.wrong_pass), len(row.wrong_fail), len(row.wrong_exit)]
        figures = [sum(counts), *counts, *wrong]
        lines.append(f"| {name} | {truth} | {' | '.join(map(str, figures))} |")
        sums.update({str(i): figure for i, figure in enumerate(figures)})
    total = " | ".join(f"**{sums[str(i)]}**" for i in range(7))
    return HEAD.format(runs=runs, seed=seed) + "\n".join(lines) + f"\n| **all** | | {total} |\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.runs)
    parts = [seeds[i :: given.jobs * 8] for i in range(given.jobs * 8)]
    with ProcessPoolExecutor(given.jobs) as pool:
        table = merged(list(pool.map(simulate, parts)))
    text = page(table, given.runs, given.seed)
    print(text)
    for (name, truth), row in table.items():
        for what in ("wrong_pass", "wrong_fail", "wrong_exit"):
            if getattr(row, what):
                print(f"{what} of '{name}' ({truth}): seeds {sorted(getattr(row, what))[:20]}")
    if given.runs == RUNS:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
    wrong = sum(len(row.wrong_pass) + len(row.wrong_fail) + len(row.wrong_exit) for row in table.values())
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
