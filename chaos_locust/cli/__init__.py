"""The command `chaos-locust`: one thin file per command. Exit codes: see `chaos_locust.judge.verdict`."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    from chaos_locust.cli.app import run

    sys.exit(run(sys.argv[1:]))
