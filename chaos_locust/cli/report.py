"""`chaos-locust report RUN`: judge a run again from its journal and write its reports anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The run's folder, results/<date>_<time>.")],
) -> None:
    """Make the verdict and the reports of a run again from its journal."""
    from chaos_locust.companions import companion_findings
    from chaos_locust.journal import read_journal
    from chaos_locust.judge.judge import judge
    from chaos_locust.plan.model import Plan
    from chaos_locust.reports.terminal import print_verdict
    from chaos_locust.reports.write import write_all

    recording = read_journal(run)
    plan = Plan.from_json(recording.header.plan)
    verdict = judge(plan, recording, companion_findings(plan, recording))
    folder = run if run.is_dir() else run.parent
    write_all(folder, verdict, recording)
    print_verdict(sys.stdout, verdict, recording, folder)
    raise typer.Exit(verdict.exit_code)
