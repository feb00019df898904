"""Documentation pages as sessions: their code blocks, and a shell that runs them in order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK = re.compile(
    r"^(?P<comment><!-- exits (?P<code>\d+) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_FILE = re.compile(r"# file: (\S+)\n")
BLOCK_LIMIT_S = 180.0


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. line: of its first line in the page. exits: the code that it has to end with."""

    language: str
    text: str
    line: int
    exits: int

    @property
    def file(self) -> str | None:
        """The name that its first line (`# file: NAME`) gives."""
        match = _FILE.match(self.text)
        return match[1] if match else None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        found.append(Block(match["language"], match["text"], line, int(match["code"] or 0)))
    fences = len(re.findall(r"^\s*(```|~~~)", text, re.M))
    assert fences == 2 * len(found), f"{page.name} has a code block that is not closed, or indented"
    return found


class Shell:
    """Runs blocks one after the other in one folder; what one exports the next one has.

    Processes that a block leaves in the background live until the end of the `with` block.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self._environ = environ
        self._groups: list[int] = []
        self._exported = folder / ".exported"
        self._exported.write_text("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGTERM)
            except ProcessLookupError:
                continue

    def bash(self, text: str) -> tuple[int, str]:
        """Exit code and output. The block ends at the first command that fails."""
        script = f". ./{self._exported.name}\n{text}\nexport -p > {self._exported.name}\n"
        return self._run(["bash", "-e", "-o", "pipefail", "-c", script])

    def python(self, text: str) -> tuple[int, str]:
        return self._run([sys.executable, "-c", text])

    def _run(self, command: list[str]) -> tuple[int, str]:
        output = self.folder / f".output-{len(self._groups)}"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._groups.append(process.pid)
            try:
                code = process.wait(BLOCK_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        return code, output.read_text(encoding="utf-8", errors="replace")
