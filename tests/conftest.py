"""What is skipped is told, and only what is on the list `tests/skips.toml` may be: a skip is no pass."""

from __future__ import annotations

import fcntl
import tempfile
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import hypothesis
import pytest

# A busy machine must not make a test fail: no example has a time limit.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

SKIPS = Path(__file__).with_name("skips.toml")


@pytest.fixture
def fixed_ports() -> Iterator[None]:
    """For tests that need ports everybody knows: one at a time, though several processes run tests."""
    with (Path(tempfile.gettempdir()) / "chaos-locust-tests-fixed-ports").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class ListOfSkips:
    """[[skip]] entries: `test`, a pattern for its id; `reason`, a pattern for what it says; `needs`."""

    def __init__(self, path: Path) -> None:
        self.entries = tomllib.loads(path.read_text(encoding="utf-8"))["skip"]

    def needs(self, test: str, reason: str) -> str | None:
        """What would have to be there for this test to run; None: it is not on the list."""
        for entry in self.entries:
            if fnmatchcase(test, entry["test"]) and fnmatchcase(reason, entry["reason"]):
                return str(entry["needs"])
        return None


def skips_of(terminal: pytest.TerminalReporter) -> list[tuple[str, str]]:
    """(test, reason) of every skip and expected failure of this run."""
    found = []
    for report in terminal.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found.append((report.nodeid, reason.removeprefix("Skipped: ")))
    for report in (*terminal.stats.get("xfailed", []), *terminal.stats.get("xpassed", [])):
        found.append((report.nodeid, f"expected to fail: {getattr(report, 'wasxfail', '')}"))
    return sorted(found)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    listed = ListOfSkips(SKIPS)
    skips = skips_of(terminalreporter)
    terminalreporter.section("not run on this machine")
    for test, reason in skips:
        needs = listed.needs(test, reason)
        terminalreporter.write_line(f"{test}: {reason} [{needs or 'NOT ON THE LIST tests/skips.toml'}]")
    terminalreporter.write_line(f"{len(skips)} skipped")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(terminal, pytest.TerminalReporter):
        return
    listed = ListOfSkips(SKIPS)
    unlisted = [test for test, reason in skips_of(terminal) if listed.needs(test, reason) is None]
    if unlisted and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
