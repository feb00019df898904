"""Whether a cluster's API answers at all: a watch that is cut off looks like one in which nothing happens."""

from __future__ import annotations

import threading
from collections.abc import Callable

from chaos_locust.errors import BackendError

EVERY_S = 1.0
ANSWER_S = 2.0
SILENT_S = 3.0
"""What was seen by watches counts as known for so long after the last answer."""


class Pulse:
    """ping: asks the API, and raises BackendError where it does not answer in time. clock: seconds that never
    go back."""

    def __init__(self, ping: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._ping, self._clock = ping, clock
        self._answered_s, self._why = clock(), ""

    def start(self) -> None:
        threading.Thread(target=self._beat, daemon=True).start()

    def problem(self) -> str:
        """Empty: it has answered just now."""
        since_s = self._clock() - self._answered_s
        return f"no answer for {since_s:.1f} s: {self._why}" if since_s > SILENT_S else ""

    def ask(self) -> None:
        try:
            self._ping(ANSWER_S)
        except BackendError as error:
            self._why = str(error)
        else:
            self._answered_s, self._why = self._clock(), ""

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            self.ask()
            pause.wait(EVERY_S)
