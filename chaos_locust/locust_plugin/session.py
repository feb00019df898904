"""What chaos-locust is in a Locust process that is not a worker: checks, signals, runs, exit code."""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path

import gevent
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner

from chaos_locust.errors import ChaosError
from chaos_locust.judge.verdict import EXIT_CODES, EXIT_CRASH, EXIT_DIRTY, EXIT_USAGE, Outcome
from chaos_locust.locust_plugin.opening import checked_plan, is_wanted
from chaos_locust.locust_plugin.run import ChaosRun
from chaos_locust.locust_plugin.shapes import LoadShape, PlanShape
from chaos_locust.locust_plugin.users import adopt_requests
from chaos_locust.locust_plugin.webui import ChaosTab
from chaos_locust.plan.model import Plan
from chaos_locust.reports.folder import new_folder
from chaos_locust.reports.live import LiveLine

logger = logging.getLogger("chaos_locust")

WORST_FIRST = (EXIT_DIRTY, EXIT_CRASH, EXIT_CODES[Outcome.DEVIATED], EXIT_CODES[Outcome.INCONCLUSIVE], 0)
SEND_HOME_LIMIT_S = 5.0


class Session:
    """One per process. `open` ends the process with 2 when the plan or the world is not as it must be."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        assert environment.parsed_options is not None
        self.environment = environment
        self.runner = environment.runner
        self.options = environment.parsed_options
        self.run: ChaosRun | None = None
        self.plan: Plan | None = None
        self.report: Path | None = None  # of the last run that has one
        self.problem = ""  # why the last run could not begin or not end
        self._exit_codes: list[int] = []
        self._ending = False
        self._live = LiveLine(sys.stderr)
        self._tab: ChaosTab | None = None

    def open(self) -> None:
        """Listener of `init`. Without a plan, a load from the options or a shape of ours nothing changes."""
        if not is_wanted(self.environment):
            return
        try:
            self.plan = checked_plan(self.environment)
        except ChaosError as error:
            self._refuse(error)
            return
        self._set_up(self.plan)

    # -- before anything starts -----------------------------------------------------------------------

    def _refuse(self, error: ChaosError) -> None:
        """Nothing was started: says why, sends waiting workers home, and ends the process with 2."""
        for entry in error.entries:
            print(f"chaos-locust: {entry}", file=sys.stderr)
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
        environment.stop_timeout = plan.timeout_s
        if plan.requests:
            adopt_requests(environment, plan.requests)
        if plan.load is not None:
            if not isinstance(environment.shape_class, LoadShape):
                environment.shape_class = PlanShape()
            environment.shape_class.drive = self._drive
            environment.shape_class.runner = self.runner
        else:
            events.test_start.add_listener(lambda **_: self._begin_beside())
        events.test_stopping.add_listener(lambda **_: self._stopped())
        events.quitting.add_listener(lambda **_: self._quit())
        numbers = [signal.SIGINT, signal.SIGHUP]
        if environment.web_ui is not None:  # then SIGTERM makes Locust fire `quitting`
            self._tab = ChaosTab(environment.web_ui, self)
        else:
            numbers.append(signal.SIGTERM)
        for number in numbers:
            gevent.signal_handler(number, self._on_signal, number)

    def _drive(self) -> None:
        """A whole run with a load of the plan: called by the shape."""
        self._begin()
        self._conduct()

    def _begin(self) -> None:
        """Makes the run and starts it; what hinders that ends Locust's test too."""
        assert self.plan is not None
        self.run, self.problem = None, ""
        limit_s = self.plan.load.duration_s if self.plan.load is not None else float("inf")
        try:
            folder = new_folder(Path(self.options.chaos_results))
            self.run = ChaosRun(self.environment, self.plan, folder, limit_s, self._show)
            self.run.begin()
        except ChaosError as error:
            self._tell(error)
            stopped = self.run is not None and self.run.ended_s is not None
            self._exit_codes.append(EXIT_CODES[Outcome.INCONCLUSIVE] if stopped else EXIT_USAGE)
            self._finish("could not begin")
        except Exception as error:
            self._crashed(error)

    def _conduct(self) -> None:
        """Returns when the run is over, judged and reported."""
        if self.run is None or self.run.watch is None:
            return
        try:
            self.run.conduct()
        except Exception as error:
            self._crashed(error)
        self._finish("the load ended")

    def _crashed(self, error: Exception) -> None:
        """Ends the run. What the world did to it, such as a full disk, is no fault of the program's."""
        own = not isinstance(error, ChaosError)
        logger.error("chaos-locust failed (%s); what it had injected is undone", error, exc_info=own)
        self._exit_codes.append(EXIT_CRASH)
        if self.run is not None:
            self.run.interrupt("crashed", "chaos-locust failed")
        self._finish("chaos-locust failed")

    def _begin_beside(self) -> None:
        """Locust starts a load of its own: listener of `test_start`, before the first user exists."""
        self._begin()
        gevent.spawn(self._conduct_beside)

    def _conduct_beside(self) -> None:
        self._conduct()
        if self.runner.state in (STATE_SPAWNING, STATE_RUNNING):  # our run ended first, or never began
            if self.options.headless:
                self.runner.quit()
            else:
                self.runner.stop()

    def _finish(self, detail: str) -> None:
        """Ends the current run, if there is one. Called from wherever a run can end; the first call acts."""
        run = self.run
        if run is None:
            return
        try:
            run.interrupt("interrupted", detail)
            verdict = run.finish()
            if verdict is not None:
                self._exit_codes.append(verdict.exit_code)
                self.report = run.folder / "report.html"
        except Exception as error:
            self._tell(error)
            logger.debug("the end of a run failed", exc_info=True)
            self._exit_codes.append(EXIT_CRASH)
        finally:
            self._live.close()
            self._set_exit_code()

    def _tell(self, error: Exception) -> None:
        self.problem = str(error)
        print(f"chaos-locust: {error}", file=sys.stderr)

    def _stopped(self) -> None:
        """Locust's test ends: the usual end of a load of Locust's own, if all faults have had their turn."""
        run = self.run
        if run is not None and run.plan.load is None and run.all_faults_over:
            run.interrupt("finished", "")
        self._finish("stopped")

    def _quit(self) -> None:
        self._finish("quit")
        self._set_exit_code()

    def _set_exit_code(self) -> None:
        """Locust's own rule counts failed requests, which faults are expected to cause: so always set it."""
        if not self._exit_codes and not self.options.headless:
            return  # nobody pressed start
        codes = self._exit_codes or [EXIT_CODES[Outcome.INCONCLUSIVE]]
        worst_first = [code for code in (EXIT_USAGE, *WORST_FIRST) if code in codes]
        self.environment.process_exit_code = worst_first[0]

    def _on_signal(self, number: int) -> None:
        """A headless Locust would just die of SIGTERM and SIGHUP; Ctrl-C could hit any greenlet of ours."""
        name = signal.Signals(number).name
        if self._ending:
            logger.info("Got %s again; what was injected is being undone", name)
            return
        self._ending = True
        logger.info("Got %s, ending the run", name)
        self._finish(name)
        self.runner.quit()
        if self.run is None:  # Locust may be waiting for its workers, for ever
            self._set_exit_code()
            sys.exit(self.environment.process_exit_code or 0)
        if self.environment.web_ui is not None:
            self.environment.web_ui.stop()  # what Locust waits for

    def _show(self, run: ChaosRun) -> None:
        assert self.plan is not None
        assert run.watch is not None
        step = self.plan.load.step_at(run.now_s) if self.plan.load is not None else None
        self._live.update(
            now_s=run.now_s,
            duration_s=run.duration_s,
            step=step.name if step is not None else "",
            faults=run.active_faults,
            figures=run.watch.figures(run.now_s),
        )
