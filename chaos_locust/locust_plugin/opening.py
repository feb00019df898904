"""From the command line, the plan and the locustfile to one checked plan, before anything starts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from gevent.monkey import is_module_patched
from locust.env import Environment

from chaos_locust.backends.preflight import preflight
from chaos_locust.companions import companion_problems
from chaos_locust.errors import InvalidPlan, PreflightFailed, Problem
from chaos_locust.leases.claims import refuse_taken
from chaos_locust.locust_plugin.shapes import LoadShape
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import load_plan
from chaos_locust.plan.load import Load
from chaos_locust.plan.model import Plan
from chaos_locust.plan.steps import parse_load_option

logger = logging.getLogger("chaos_locust")


def is_wanted(environment: Environment) -> bool:
    """Without a plan, a load from the options or a shape of ours, Locust runs as it always does."""
    options = environment.parsed_options
    given = getattr(options, "chaos_plan", None) or getattr(options, "chaos_load", None)
    return given is not None or isinstance(environment.shape_class, LoadShape)


def checked_plan(environment: Environment) -> Plan:
    """Raises InvalidPlan and PreflightFailed, each with every problem that can be found now."""
    assert environment.parsed_options is not None
    if not is_module_patched("time"):  # signals, messages and the guardian's death would go unheard
        text = "is set; a run needs gevent's patches, so unset it"
        raise PreflightFailed([Problem("LOCUST_SKIP_MONKEY_PATCH", text)])
    plan = _read_plan(environment)
    checked = check_plan(plan)
    for warning in checked.warnings:
        logger.warning("%s", warning)
    if problems := (*checked.problems, *companion_problems(plan)):
        raise InvalidPlan(problems)
    refuse_taken(plan, os.environ)
    preflight(plan, Path(environment.parsed_options.chaos_results))
    return plan


def _read_plan(environment: Environment) -> Plan:
    assert environment.parsed_options is not None
    file = environment.parsed_options.chaos_plan
    plan = load_plan(Path(file), os.environ) if file is not None else Plan(name="load without a plan")
    loads = _loads(environment, plan)
    if len(loads) > 1:
        text = f"{' and '.join(loads)} are more than one source of load; give one of them"
        raise InvalidPlan([Problem("load", text)])
    load = next(iter(loads.values()), None)
    if load is not None and environment.parsed_options.class_picker:  # it takes our shape away at each start
        text = f"cannot be given together with {next(iter(loads))}"
        raise InvalidPlan([Problem("--class-picker", text)])
    # what was typed counts more than the plan, the plan more than the User classes, which may differ
    environment.host = environment.host or plan.host
    hosts = sorted({user.host for user in environment.user_classes if user.host})
    host = environment.host or next(iter(hosts), None)
    if host is None:
        text = "missing; give it in the plan, by --host, or in the User class"
        raise InvalidPlan([Problem("host", text)])
    return plan.model_copy(update={"load": load, "host": host})


def _loads(environment: Environment, plan: Plan) -> dict[str, Load | None]:
    """Every source of load that was given, by how a person would call it. None: Locust's own."""
    options, shape = environment.parsed_options, environment.shape_class
    assert options is not None
    loads: dict[str, Load | None] = {}
    if plan.load is not None:
        loads["load: in the plan"] = plan.load
    if options.chaos_load is not None:
        loads["--chaos-load"] = parse_load_option(options.chaos_load)
    if shape is not None:
        load = shape.load if isinstance(shape, LoadShape) else None
        loads[f"the shape {type(shape).__name__} in the locustfile"] = load
    typed = {"--users": "num_users", "--spawn-rate": "spawn_rate", "--run-time": "run_time"}
    given = [option for option, name in typed.items() if getattr(options, name, None) is not None]
    if given:
        loads["/".join(given)] = None
    return loads
