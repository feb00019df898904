"""A run as the reports meet it, made once for all tests."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Verdict

Run = tuple[Verdict, Recording]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    path = Path(__file__).parents[2] / "synthetic_run.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def run(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Deviated: a slow database and a killed service."""
    folder = tmp_path_factory.mktemp("run")
    synthetic.make_run(folder)
    verdict, recording = synthetic.judged(folder)
    return verdict, recording


HOSTILE = "</script><script>alert(1)</script>|`<img src=x onerror=alert(2)>`\x1b[31m@everyone \u202e]]>"


@pytest.fixture(scope="session")
def hostile_run(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every text that comes from outside is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    synthetic.make_run(folder, {"name": HOSTILE}, {"GET /products": HOSTILE})
    verdict, recording = synthetic.judged(folder)
    findings = tuple(
        replace(f, text=f.text + HOSTILE, reason=HOSTILE, subject=HOSTILE) for f in verdict.findings
    )
    faults = tuple(replace(f, effect=HOSTILE, detail=HOSTILE) for f in verdict.faults)
    for (_, name), window in recording.windows.items():
        if name == HOSTILE and window.ok:
            window.failed[HOSTILE] = 1
            window.errors_sample[HOSTILE] = HOSTILE
    sentence = f"DEVIATED: {HOSTILE}"
    return replace(verdict, findings=findings, faults=faults, sentence=sentence), recording
