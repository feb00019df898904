"""What is skipped is told, and only what is on the list `tests/skips.toml` may be: a skip is no pass.

What is marked `long` runs, unless `--quick` leaves it out, which is told as well.
"""

from __future__ import annotations

import fcntl
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import hypothesis
import pytest

# A busy machine must not make a test fail: no example has a time limit.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

SKIPS = Path(__file__).with_name("skips.toml")
LONG = "long: make test-long"
EXIT_NOT_ON_THE_LIST = 7
"""Of a run that skipped what it may not: none of pytest's own, so that nobody takes it for failures only."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out what is marked `long`")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    listed = tomllib.loads(SKIPS.read_text(encoding="utf-8"))["long"]
    for item in items:
        if matches(item.nodeid, listed["tests"]) and not matches(item.nodeid, listed["but"]):
            item.add_marker("long")
        if config.getoption("--quick") and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason=LONG))


def matches(test: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(test, pattern) for pattern in patterns)


@pytest.fixture
def fixed_ports() -> Iterator[None]:
    """For tests that need ports everybody knows: one at a time, though several processes run tests."""
    with (Path(tempfile.gettempdir()) / "chaos-locust-tests-fixed-ports").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class ListOfSkips:
    """[[skip]] entries: `test`, a pattern for its id; `reason`, a pattern for what it says; `needs`."""

    def __init__(self, entries: Sequence[Mapping[str, str]]) -> None:
        self.entries = entries

    def needs(self, test: str, reason: str) -> str | None:
        """What would have to be there for this test to run; None: it is not on the list."""
        for entry in self.entries:
            if fnmatchcase(test, entry["test"]) and fnmatchcase(reason, entry["reason"]):
                return entry["needs"]
        return None


def list_of_skips(config: pytest.Config) -> ListOfSkips:
    """What failed and is run again has to run: then nothing may be skipped."""
    if config.getoption("--last-failed", default=False):
        return ListOfSkips([])
    return ListOfSkips(tomllib.loads(SKIPS.read_text(encoding="utf-8"))["skip"])


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
    listed = list_of_skips(config)
    skips = skips_of(terminalreporter)
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for test, reason in skips:
        alike[test.partition("::")[0], reason].append(test)
    terminalreporter.section("not run")
    for (file, reason), tests in alike.items():
        needs = {listed.needs(test, reason) or "NOT ON THE LIST tests/skips.toml" for test in tests}
        what = tests[0] if len(tests) == 1 else f"{file}, {len(tests)} tests"
        terminalreporter.write_line(f"{what}: {reason} [{'; '.join(sorted(needs))}]")
    terminalreporter.write_line(f"{len(skips)} skipped")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(terminal, pytest.TerminalReporter):
        return
    listed = list_of_skips(session.config)
    unlisted = [test for test, reason in skips_of(terminal) if listed.needs(test, reason) is None]
    if unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        session.exitstatus = EXIT_NOT_ON_THE_LIST
