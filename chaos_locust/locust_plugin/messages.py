"""What master and workers say to each other: dicts over Locust's own messages, locally and distributed.

Every message carries `say` (what it is) and `run` (which run it belongs to; stale ones are ignored).

master to worker                                       worker to master
  greet                                                  hello: version, name
  clock: sent_s                                          clock: sent_s, remote_s
  prepare: plan                                          ready | refused: detail
  go: start_epoch_s, from_s, share, max_users
  share: from_s, share, max_users                        users: t_s (a closed workload's users changed)
  stop: at_s                                             report: windows, operations, covered_s, in_flight,
  abandon                                                        steps, sample, exceptions, listener_failed,
                                                                 final
"""

from __future__ import annotations

import time
from collections.abc import Callable

TO_WORKER = "chaos-locust-to-worker"
TO_MASTER = "chaos-locust-to-master"

Clock = Callable[[], float]


def epoch_clock() -> Clock:
    """Seconds since the epoch that never jump: the wall clock now, moved on by the monotonic one."""
    base_s = time.time() - time.monotonic()
    return lambda: base_s + time.monotonic()
