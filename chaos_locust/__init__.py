"""Does it hold under load while things break? Faults, objectives and one verdict for Locust.

Importing this package loads neither Locust nor gevent (which would patch the whole process): its public
names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos_locust.experiments import ChaosExperiment
    from chaos_locust.injection import chaos_inject, inject
    from chaos_locust.load_test.builder import LoadTest
    from chaos_locust.locust_plugin.lean.user import LeanHttpUser
    from chaos_locust.locust_plugin.operations import operation
    from chaos_locust.locust_plugin.refusals import must_refuse
    from chaos_locust.locust_plugin.register import register
    from chaos_locust.locust_plugin.shapes import RampShape, SoakShape, SpikeShape, StepsShape, StressShape
    from chaos_locust.plan.documents import load_plan
    from chaos_locust.plan.model import Plan
    from chaos_locust.plan.parts import Target

__version__ = "0.1.0"

_HOMES = {
    "ChaosExperiment": "chaos_locust.experiments",
    "LoadTest": "chaos_locust.load_test.builder",
    "chaos_inject": "chaos_locust.injection",
    "inject": "chaos_locust.injection",
    "LeanHttpUser": "chaos_locust.locust_plugin.lean.user",
    "must_refuse": "chaos_locust.locust_plugin.refusals",
    "operation": "chaos_locust.locust_plugin.operations",
    "register": "chaos_locust.locust_plugin.register",
    "RampShape": "chaos_locust.locust_plugin.shapes",
    "SoakShape": "chaos_locust.locust_plugin.shapes",
    "SpikeShape": "chaos_locust.locust_plugin.shapes",
    "StepsShape": "chaos_locust.locust_plugin.shapes",
    "StressShape": "chaos_locust.locust_plugin.shapes",
    "Plan": "chaos_locust.plan.model",
    "Target": "chaos_locust.plan.parts",
    "load_plan": "chaos_locust.plan.documents",
}

__all__ = [
    "ChaosExperiment",
    "LeanHttpUser",
    "LoadTest",
    "Plan",
    "RampShape",
    "SoakShape",
    "SpikeShape",
    "StepsShape",
    "StressShape",
    "Target",
    "__version__",
    "chaos_inject",
    "inject",
    "load_plan",
    "must_refuse",
    "operation",
    "register",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)  # from now on without us
    return found
