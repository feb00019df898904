"""What chaos-locust adds to Locust's command line."""

from __future__ import annotations

from locust.argument_parser import LocustArgumentParser


def add_options(parser: LocustArgumentParser) -> None:
    """Listener of `init_command_line_parser`."""
    parser.add_argument(
        "--chaos-plan",
        metavar="<file>",
        default=None,
        env_var="LOCUST_CHAOS_PLAN",
        help="The plan: load, faults, objectives. Only the master (or the local process) needs it.",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--chaos-load",
        metavar="<shape>",
        default=None,
        env_var="LOCUST_CHAOS_LOAD",
        help="A load shape, for example 'spike base=10/s peak=100/s before=10s for=30s after=20s'.",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--chaos-results",
        metavar="<folder>",
        default="results",
        env_var="LOCUST_CHAOS_RESULTS",
        help="Where each run gets a folder of its own for its journal, verdict and report.",
        include_in_web_ui=False,
    )
