"""The command `chaos-locust`: one thin file per command. Exit codes: see `chaos_locust.judge.verdict`."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    from chaos_locust.errors import ChaosError

    try:
        from chaos_locust.cli.app import run
    except ChaosError as error:  # a fault kind of an installed package that cannot be loaded
        print(f"chaos-locust: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
