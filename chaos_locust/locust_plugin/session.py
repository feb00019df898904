"""Everything that chaos-locust is in one Locust process that is not a worker: checks, signals, runs, exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from chaos_locust.errors import ChaosError, InvalidPlan, PreflightFailed, Problem
from chaos_locust.judge.verdict import EXIT_CRASH, EXIT_CODES, EXIT_DIRTY, EXIT_USAGE, Outcome
from chaos_locust.backends.preflight import preflight
from chaos_locust.locust_plugin.run import ChaosRun, new_folder
from chaos_locust.locust_plugin.shapes import PlanShape
from chaos_locust.locust_plugin.users import adopt_requests
from chaos_locust.locust_plugin.webui import ChaosTab
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import load_plan, parse_load_option
from chaos_locust.plan.model import Plan
from chaos_locust.reports.live import LiveLine

logger = logging.getLogger("chaos_locust")

WORST_FIRST = (EXIT_DIRTY, EXIT_CRASH, EXIT_CODES[Outcome.DEVIATED], EXIT_CODES[Outcome.INCONCLUSIVE], 0)
SEND_HOME_LIMIT_S = 5.0


class Session:
    """One per process. `open` ends the process with code 2 when the plan or the world is not as it must be."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        self.environment = environment
        self.runner = environment.runner
        self.options = environment.parsed_options
        self.run: ChaosRun | None = None
        self.plan: Plan | None = None
        self._exit_codes: list[int] = []
        self._live = LiveLine(sys.stderr)
        self._tab: ChaosTab | None = None

    def open(self) -> None:
        """Listener of `init`. Without a plan and without a load from the options nothing changes."""
        if self.options.chaos_plan is None and self.options.chaos_load is None:
            return
        try:
            self.plan = self._checked_plan()
        except ChaosError as error:
            self._refuse(error)
            return
        self._set_up(self.plan)

    # -- before anything starts -----------------------------------------------------------------------

    def _checked_plan(self) -> Plan:
        """Raises InvalidPlan and PreflightFailed, each with every problem that can be found now."""
        plan = self._read_plan()
        self._one_source_of_load(plan)
        checked = check_plan(plan)
        for warning in checked.warnings:
            logger.warning("%s", warning)
        if checked.problems:
            raise InvalidPlan(checked.problems)
        preflight(plan, Path(self.options.chaos_results))
        return plan

    def _read_plan(self) -> Plan:
        options = self.options
        if options.chaos_plan is not None:
            plan = load_plan(Path(options.chaos_plan), os.environ)
        else:
            plan = Plan(name="load from the options", host=self.environment.host)
        changes: dict[str, Any] = {}
        if options.chaos_load is not None:
            if plan.load is not None:
                raise InvalidPlan([Problem("--chaos-load", "the plan has a load of its own (load:); give one of the two")])
            changes["load"] = parse_load_option(options.chaos_load)
        if self.environment.host:
            changes["host"] = self.environment.host  # what was typed counts more than the plan
        if changes:
            plan = plan.model_copy(update=changes)
        if plan.host is None:
            hosts = {user.host for user in self.environment.user_classes if user.host}
            if not hosts:
                raise InvalidPlan([Problem("host", "missing; give it in the plan, with --host, or in the User class")])
            plan = plan.model_copy(update={"host": sorted(hosts)[0]})
        return plan

    def _one_source_of_load(self, plan: Plan) -> None:
        if plan.load is None:
            return
        sources = []
        if self.environment.shape_class is not None:
            sources.append(f"the shape {type(self.environment.shape_class).__name__} in the locustfile")
        typed = {"--users": "num_users", "--spawn-rate": "spawn_rate", "--run-time": "run_time"}
        sources += [option for option, name in typed.items() if getattr(self.options, name, None) is not None]
        if sources:
            raise InvalidPlan(
                [Problem("load", f"the plan's load and {', '.join(sources)} are two sources of load; give one of them")]
            )

    def _refuse(self, error: ChaosError) -> None:
        """Nothing was started: says why, sends waiting workers home, and ends the process with 2."""
        for line in str(error).splitlines():
            print(f"chaos-locust: {line}", file=sys.stderr)
        if isinstance(self.runner, MasterRunner):
            expected = self.options.expect_workers
            give_up = time.monotonic() + SEND_HOME_LIMIT_S
            while len(self.runner.clients.ready) < expected and time.monotonic() < give_up:
                gevent.sleep(0.1)
            self.runner.quit()
        sys.exit(EXIT_USAGE)

    # -- wiring ---------------------------------------------------------------------------------------

    def _set_up(self, plan: Plan) -> None:
        environment, events = self.environment, self.environment.events
        environment.host = plan.host
        environment.stop_timeout = plan.timeout_s
        if plan.requests:
            adopt_requests(environment, plan.requests)
        if plan.load is not None:
            environment.shape_class = PlanShape(self._drive)
            environment.shape_class.runner = self.runner
        else:
            events.test_start.add_listener(lambda **_: gevent.spawn(self._drive))
        events.test_stopping.add_listener(lambda **_: self._finish("stopped"))
        events.quitting.add_listener(lambda **_: self._quit())
        for number in (signal.SIGTERM, signal.SIGHUP):
            gevent.signal_handler(number, self._on_signal, number)
        if environment.web_ui is not None:
            self._tab = ChaosTab(environment.web_ui, self)

    def _drive(self) -> None:
        """A whole run: called by the shape for a load of the plan, at `test_start` for a load of Locust's own."""
        assert self.plan is not None
        try:
            folder = new_folder(Path(self.options.chaos_results))
            limit_s = self.plan.load.duration_s if self.plan.load is not None else float("inf")
            self.run = ChaosRun(self.environment, self.plan, folder, limit_s, self._show)
            self.run.drive()
        except ChaosError as error:
            print(f"chaos-locust: {error}", file=sys.stderr)
            self._exit_codes.append(EXIT_USAGE if self.run is None or self.run.watch is None else EXIT_CRASH)
        except Exception:
            logger.exception("chaos-locust failed; what it had injected is undone")
            self._exit_codes.append(EXIT_CRASH)
        self._finish("crashed")

    def _finish(self, detail: str) -> None:
        """Ends the current run, if there is one. Called from wherever a run can end; only the first call acts."""
        run = self.run
        if run is None:
            return
        try:
            run.interrupt("interrupted", detail)
            verdict = run.finish()
            if verdict is not None:
                self._exit_codes.append(verdict.exit_code)
        except Exception as error:
            print(f"chaos-locust: {error}", file=sys.stderr)
            logger.debug("the end of a run failed", exc_info=True)
            self._exit_codes.append(EXIT_CRASH)
        finally:
            self._live.close()
            self._set_exit_code()

    def _quit(self) -> None:
        self._finish("quit")
        self._set_exit_code()

    def _set_exit_code(self) -> None:
        """Locust's own rule counts failed requests, which faults are expected to cause: so always set it."""
        codes = self._exit_codes or [EXIT_CODES[Outcome.INCONCLUSIVE]]
        worst_first = [code for code in (EXIT_USAGE, *WORST_FIRST) if code in codes]
        self.environment.process_exit_code = worst_first[0]

    def _on_signal(self, number: int) -> None:
        """Ctrl-C reaches Locust by itself; on SIGTERM and SIGHUP a headless Locust would just die."""
        logger.info("Got %s, ending the run", signal.Signals(number).name)
        self._finish(signal.Signals(number).name)
        self.runner.quit()

    def _show(self, run: ChaosRun) -> None:
        assert self.plan is not None and run.watch is not None
        step = self.plan.load.step_at(run.now_s) if self.plan.load is not None else None
        self._live.update(
            now_s=run.now_s,
            duration_s=run.duration_s,
            step=step.name if step is not None else "",
            faults=run.active_faults,
            figures=run.watch.figures(run.now_s),
        )


