"""Two processes and the memory that they share: one publishes data under a flag, the other looks."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.queues import Queue
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Barrier, Lock

from invariants.history import History, Operation

LIMIT_S = 120.0
FLAG = 0
"""The word of the flag; the data of number n are word n."""

Told = tuple[str, list[tuple[int, int, float, float]]]
"""(kind, [(flag, data, start_s, end_s)]); data of what was published are the flag itself."""


def session(rounds: int, flag_first: bool) -> History:
    """So many numbers published by one process while another looks, which begin at the same time.

    flag_first: the mistake.
    """
    context = multiprocessing.get_context("spawn")
    guard, start, told = context.Lock(), context.Barrier(2), context.Queue()
    memory = SharedMemory(create=True, size=8 * (rounds + 1))
    try:
        processes = [
            context.Process(target=_publish, args=(memory.name, rounds, guard, start, told, flag_first)),
            context.Process(target=_look, args=(memory.name, rounds, guard, start, told)),
        ]
        for process in processes:
            process.start()
        answers = dict(told.get(timeout=LIMIT_S) for _ in processes)
        for process in processes:
            process.join(LIMIT_S)
    finally:
        memory.close()
        memory.unlink()
    published = [
        Operation("writer", n, "publish", None, flag, "ok", None, start_s, end_s)
        for n, (flag, _, start_s, end_s) in enumerate(answers["publish"])
    ]
    looks = [
        Operation("reader", n, "look", None, None, "ok", {"flag": flag or None, "data": data}, start_s, end_s)
        for n, (flag, data, start_s, end_s) in enumerate(answers["look"])
    ]
    return History((*published, *looks))


def _publish(
    name: str, rounds: int, guard: Lock, start: Barrier, told: Queue[Told], flag_first: bool
) -> None:
    memory, done = SharedMemory(name), []
    words = memory.buf.cast("Q")
    start.wait(LIMIT_S)
    for number in range(1, rounds + 1):
        start_s = time.monotonic()
        if not flag_first:
            words[number] = number
        # What is written before a lock is given back is seen by whoever takes it afterwards.
        with guard:
            words[FLAG] = number
        if flag_first:
            words[number] = number
        done.append((number, number, start_s, time.monotonic()))
    words.release()
    memory.close()
    told.put(("publish", done))


def _look(name: str, rounds: int, guard: Lock, start: Barrier, told: Queue[Told]) -> None:
    memory, looks, flag = SharedMemory(name), [], 0
    words = memory.buf.cast("Q")
    start.wait(LIMIT_S)
    while flag < rounds:
        start_s = time.monotonic()
        with guard:
            flag = words[FLAG]
        data = words[flag] if flag else 0
        looks.append((flag, data, start_s, time.monotonic()))
    words.release()
    memory.close()
    told.put(("look", looks))
