"""The one line in a locustfile: `import chaos_locust; chaos_locust.register()`."""

from __future__ import annotations

from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from chaos_locust.locust_plugin.options import add_options
from chaos_locust.locust_plugin.session import Session
from chaos_locust.locust_plugin.worker import LoadWorker, hold_back_users


def register() -> None:
    """Adds chaos-locust to this Locust process. Calling it again (several locustfiles) changes nothing.

    Without `--chaos-plan` or `--chaos-load` on the master, Locust runs as it always does.
    """
    if add_options in events.init_command_line_parser._handlers:
        return
    hold_back_users()
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(_on_init)


def _on_init(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        LoadWorker(environment).listen()
    elif environment.parsed_options is not None:
        Session(environment).open()
