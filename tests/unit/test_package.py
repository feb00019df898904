"""The package as users import it, and the tree as they get it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import chaos_locust

ROOT = Path(__file__).parents[2]
HEAVY = ("gevent", "locust", "pydantic", "requests", "yaml")
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(work|root|home/\w+|Users/\w+|tmp/venv|opt/\w+)/")
SECRETS = re.compile(
    r"://[^/\s:@]+:[^/\s:@${}]+@(?!\w+\.(?:test|example)\b)[\w-]+\.[\w.-]+"
    r"|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY"
)


def test_importing_it_loads_nothing_heavy() -> None:
    """gevent would patch the whole process, and the others cost time."""
    program = f"import sys, chaos_locust; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    """In a process of its own, for the shapes load Locust."""
    program = "import chaos_locust as c; print(*[getattr(c, name) for name in c.__all__], sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(set(chaos_locust.__all__)) == len(chaos_locust.__all__)
    assert chaos_locust.__all__ == sorted(chaos_locust.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(chaos_locust, "no_such_name")


def test_it_is_typed() -> None:
    assert (files("chaos_locust") / "py.typed").is_file()


def test_no_file_names_a_place_on_somebodys_machine_or_a_secret() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert len(tracked) > 100
    found = []
    for path in tracked:
        if not path.is_file() or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATHS.search(line) or SECRETS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_a_mistake_on_the_command_line_is_one_message_and_code_2() -> None:
    program = "from chaos_locust.cli import main; main()"
    for arguments in (
        ["no-such-command"],
        ["run"],
        ["check", "--no-such-option", "plan.yaml"],
        ["run", "no-such-plan.yaml"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr, arguments
        assert done.stderr.strip(), arguments
