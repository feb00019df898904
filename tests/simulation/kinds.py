"""The kinds of truth: for each a function that makes one run of that kind, and says what is true of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from chaos_locust.events import ClockOffset, FaultEvent, Recording, WorkerEvent
from chaos_locust.plan.model import Plan
from tests.simulation.world import Request, World, fail, fated, fault_events, late, slow, stall_until

HELD, FAILED, UNKNOWN = "held", "failed", "not to be known"


@dataclass(frozen=True, slots=True)
class Case:
    """A run whose truth is known. exit_code: when it has to be a certain one."""

    plan: Plan
    recording: Recording
    truth: str
    exit_code: int | None = None


Kind = Callable[[Random], Case]
KINDS: dict[str, Kind] = {}


def kind(name: str) -> Callable[[Kind], Kind]:
    def add(make: Kind) -> Kind:
        KINDS[name] = make
        return make

    return add


def plan_of(rate: float, seconds: float, objectives: list[Any], **more: Any) -> Plan:
    load = more.pop("load", [{"step": "base", "rate": f"{rate:g}/s", "for": f"{seconds:g}s"}])
    targets = {"postgres": {"proxy": "postgres"}, "payments": {"pidfile": "/run/payments.pid"}}
    host = "http://127.0.0.1:8000"
    return Plan(name="simulated", host=host, targets=targets, load=load, objectives=objectives, **more)


def latency_fault(at: float, seconds: float, name: str = "slow-db") -> dict[str, Any]:
    return {
        "name": name,
        "kind": "latency",
        "target": "postgres",
        "latency": "300ms",
        "at": f"{at:g}s",
        "for": f"{seconds:g}s",
    }


def kill_fault(at: float) -> dict[str, Any]:
    return {"name": "kill", "kind": "kill", "target": "payments", "at": f"{at:g}s"}


def truth(held: bool) -> str:
    return HELD if held else FAILED


STEADY = ["error_rate < 2%", "p95 < 100ms"]


# -- without faults ---------------------------------------------------------------------------------------


@kind("healthy")
def healthy(rng: Random) -> Case:
    rate = rng.uniform(15, 50)
    poisson = rng.random() < 0.5
    objectives = [
        "p99 < 100ms during run",
        "error_rate < 1% during run",
        "throughput >= 95% of offered during run",
    ]
    plan = plan_of(rate, 60, objectives, arrivals="poisson" if poisson else "constant")
    world = World(rng, rate, 60, poisson)
    return Case(plan, world.recording(plan), HELD)


@kind("healthy, closed workload")
def healthy_closed(rng: Random) -> Case:
    load = [{"step": "base", "users": 20, "for": "50s"}]
    plan = plan_of(0, 50, ["p95 of each request < 100ms during run"], load=load)
    world = World(rng, 30, 50)
    bad = rng.random() < 0.5
    if bad:
        world.spoil(20, 40, slow(0.2), 0.5)
    return Case(plan, world.recording(plan, arrivals=False), truth(not bad))


@kind("warm-up noise")
def warm_up_noise(rng: Random) -> Case:
    rate = rng.uniform(15, 50)
    plan = plan_of(rate, 50, ["p99 < 100ms during run", "error_rate < 1% during run"])
    world = World(rng, rate, 50)
    world.spoil(0, rng.uniform(3, 9.9), slow(0.5), 0.7)
    world.spoil(0, rng.uniform(3, 9.9), fail(), 0.4)
    return Case(plan, world.recording(plan), HELD)


@kind("a share is slow (near the bound)")
def slow_share(rng: Random) -> Case:
    plan = plan_of(40, 60, ["p95 < 100ms during run"])
    world = World(rng, 40, 60)
    world.spoil(0, 60, slow(rng.uniform(0.08, 0.5)), rng.uniform(0.02, 0.08))
    return Case(plan, world.recording(plan), truth(world.quantile(0.95, 10, 60) < 0.1))


@kind("a share fails (near the bound)")
def failing_share(rng: Random) -> Case:
    plan = plan_of(30, 60, ['error_rate of "POST /orders" <= 5% during run'])
    world = World(rng, 30, 60)
    world.spoil(
        0, 60, fail(rng.choice(["HTTP 500", "timeout", "connection refused"])), rng.uniform(0.02, 0.08)
    )
    return Case(plan, world.recording(plan), truth(world.error_rate(10, 60, "POST /orders") <= 0.05))


@kind("refused at once, which must not flatter p99")
def refused(rng: Random) -> Case:
    plan = plan_of(30, 60, ["p99 < 100ms during run"])
    world = World(rng, 30, 60)
    world.spoil(10, 60, fail("connection refused", 0.001), rng.uniform(0.03, 0.5))
    return Case(plan, world.recording(plan), FAILED)


@kind("a stall")
def stall(rng: Random) -> Case:
    plan = plan_of(30, 60, ["p99 < 100ms during run"])
    world = World(rng, 30, 60)
    at_s = rng.uniform(15, 45)
    end_s = at_s + rng.uniform(1, 8)
    world.spoil(at_s, end_s, stall_until(end_s))
    return Case(plan, world.recording(plan), truth(world.quantile(0.99, 10, 60) < 0.1))


@kind("one request of two fails")
def one_of_two(rng: Random) -> Case:
    plan = plan_of(40, 60, ["p95 of each request < 100ms during run"])
    world = World(rng, 40, 60)
    share = rng.uniform(0.02, 0.08)
    for request in world.between(0, 60, "POST /orders"):
        if rng.random() < share:
            fail("timeout", 10)(request)
    return Case(plan, world.recording(plan), truth(world.quantile(0.95, 10, 60, "POST /orders") < 0.1))


@kind("never answered")
def unanswered(rng: Random) -> Case:
    plan = plan_of(30, 50, ["error_rate < 5% during run", "p95(ok) < 100ms during run"])
    world = World(rng, 30, 50)
    world.spoil(rng.uniform(12, 40), 50, fated("unanswered"))
    return Case(plan, world.recording(plan), FAILED)


@kind("a burst of errors, in every 5 s")
def burst(rng: Random) -> Case:
    plan = plan_of(30, 60, ["error_rate < 50% in every 5s during run"])
    world = World(rng, 30, 60)
    at_s, length_s = rng.uniform(15, 50), rng.uniform(1, 6)
    world.spoil(at_s, at_s + length_s, fail())
    worst = max(world.error_rate(s, s + 5) for s in range(10, 56))
    return Case(plan, world.recording(plan), truth(worst < 0.5))


@kind("only a warning deviates")
def warning(rng: Random) -> Case:
    warn = {"expect": "p95 < 100ms during run", "severity": "warn"}
    plan = plan_of(30, 50, ["error_rate < 1% during run", warn])
    world = World(rng, 30, 50)
    world.spoil(0, 50, slow(0.2))
    return Case(plan, world.recording(plan), HELD)


@kind("few samples, healthy")
def few_healthy(rng: Random) -> Case:
    rate = rng.uniform(0.2, 1.0)
    plan = plan_of(rate, 60, ["p95 < 100ms during run"])
    world = World(rng, rate, 60)
    return Case(plan, world.recording(plan), UNKNOWN)


@kind("few samples, all fail")
def few_failing(rng: Random) -> Case:
    rate = rng.uniform(0.3, 1.0)
    plan = plan_of(rate, 60, ["p95 < 100ms during run", "error_rate < 20% during run"])
    world = World(rng, rate, 60)
    world.spoil(0, 60, fail("timeout", 10))
    return Case(plan, world.recording(plan), FAILED)


# -- faults -----------------------------------------------------------------------------------------------


def with_latency(
    rng: Random, objectives: list[Any], seconds: float = 100, **more: Any
) -> tuple[Plan, World, float, float]:
    """A fault from about 40 s to 55 s."""
    rate = rng.uniform(20, 50)
    asked_s = 40 + rng.uniform(0, 0.05)
    ends_s = 55 + rng.uniform(0, 0.05)
    plan = plan_of(rate, seconds, objectives, faults=[latency_fault(40, 15)], **more)
    return plan, World(rng, rate, seconds), asked_s, ends_s


@kind("a fault is borne")
def borne(rng: Random) -> Case:
    objectives = [
        "p99 < 100ms during baseline",
        "p95 < 500ms during slow-db",
        "recovery < 5s after slow-db ends",
    ]
    explicit = {"steady_state": STEADY} if rng.random() < 0.5 else {}
    plan, world, asked_s, ends_s = with_latency(rng, objectives, **explicit)
    world.spoil(asked_s - 0.01, ends_s, slow(0.3))
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), HELD)


@kind("a fault is not borne")
def not_borne(rng: Random) -> Case:
    plan, world, asked_s, ends_s = with_latency(
        rng, ["error_rate < 10% during slow-db", "p99 < 100ms during baseline"]
    )
    world.spoil(asked_s, ends_s, fail(rng.choice(["HTTP 500", "timeout"])), rng.uniform(0.15, 1))
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), FAILED)


@kind("only requests shortly before the onset meet it")
def boundary(rng: Random) -> Case:
    errors = rng.random() < 0.5
    objective = "error_rate < 1% during baseline" if errors else "p99 < 100ms during baseline"
    plan, world, asked_s, ends_s = with_latency(rng, [objective])
    if errors:  # they had been waiting, at most the request time-out of 10 s
        world.spoil(asked_s - rng.uniform(0.5, 9.5), ends_s, fail("connection reset", 9.5), 0.3)
    else:
        world.spoil(asked_s - 0.095, ends_s, slow(0.4))
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), HELD)


@kind("the baseline deviates")
def bad_baseline(rng: Random) -> Case:
    rate = rng.uniform(20, 50)
    plan = plan_of(rate, 100, ["p95 < 100ms during baseline", "error_rate < 5% during slow-db"],
                   faults=[latency_fault(45, 15)])  # fmt: skip
    world = World(rng, rate, 46)
    world.spoil(0, 46, slow(0.2), rng.uniform(0.1, 0.9))
    events = [FaultEvent(45.0, "slow-db", "skipped", "the baseline deviated")]
    return Case(plan, world.recording(plan, events, "baseline_deviated"), FAILED)


@kind("compared with the baseline")
def relative(rng: Random) -> Case:
    plan, world, asked_s, ends_s = with_latency(rng, ["p95 < baseline + 50ms during slow-db"])
    world.spoil(asked_s, ends_s, slow(rng.uniform(0.02, 0.08)))
    before = world.quantile(0.95, 10, 39)
    during = world.quantile(0.95, math.ceil(asked_s + 0.02), math.floor(ends_s))
    return Case(
        plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), truth(during < before + 0.05)
    )


@kind("recovered, but a share stays slow")
def stays_slow(rng: Random) -> Case:
    objectives = ["recovery < 5s after slow-db ends", "p95 < 100ms after slow-db"]
    plan, world, asked_s, ends_s = with_latency(rng, objectives, steady_state=STEADY)
    world.spoil(asked_s, ends_s, slow(0.3))
    share = rng.choice([0.0, 0.15])
    world.spoil(ends_s, 100, slow(0.15), share)
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), truth(share == 0))


@kind("a fault without effect")
def no_effect(rng: Random) -> Case:
    plan, world, asked_s, ends_s = with_latency(rng, ["error_rate < 10% during slow-db"])
    if rng.random() < 0.5:
        world.spoil(asked_s, ends_s, fail(), 0.5)
    seen = rng.choice([(False, True), (True, False), (None, True), (True, None), (False, False)])
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s, seen)), UNKNOWN)


@kind("a fault that could not be injected")
def not_injected(rng: Random) -> Case:
    plan, world, asked_s, _ = with_latency(
        rng, ["error_rate < 10% during slow-db", "error_rate < 1% during baseline"]
    )
    events = [
        FaultEvent(asked_s, "slow-db", "asked"),
        FaultEvent(asked_s + 1, "slow-db", "failed", "refused"),
    ]
    return Case(plan, world.recording(plan, events), UNKNOWN)


@kind("a fault that could not be undone")
def dirty(rng: Random) -> Case:
    plan, world, asked_s, ends_s = with_latency(rng, ["error_rate < 10% during slow-db"])
    events = [e for e in fault_events("slow-db", asked_s, ends_s) if getattr(e, "state", "") != "reverted"]
    if rng.random() < 0.5:
        events.append(FaultEvent(ends_s + 5, "slow-db", "dirty", "the proxy is gone"))
    return Case(plan, world.recording(plan, events), UNKNOWN, exit_code=5)


# -- recovery and outage ----------------------------------------------------------------------------------


def bad_until(world: World, since_s: float, until_s: float) -> None:
    """A plainly bad time: errors or slowness, all of it or much of it."""
    if world.rng.random() < 0.5:
        world.spoil(
            since_s, until_s, fail(world.rng.choice(["HTTP 503", "timeout"])), world.rng.uniform(0.3, 1)
        )
    else:
        world.spoil(since_s, until_s, slow(0.4), world.rng.uniform(0.5, 1))


def last_bad_s(world: World) -> float:
    """When the last request was due that was no quick success."""
    return max((r.due_s for r in world.requests if r.response_s > 0.1), default=0.0)


def recovering(rng: Random, seconds: float = 100) -> tuple[Plan, World, float, float, float]:
    bound_s = rng.choice([3, 5, 8])
    explicit = {"steady_state": STEADY} if rng.random() < 0.5 else {}
    objectives = [f"recovery < {bound_s}s after slow-db ends"]
    return (*with_latency(rng, objectives, seconds, **explicit), bound_s)


@kind("recovers, early or late")
def recovers(rng: Random) -> Case:
    plan, world, asked_s, ends_s, bound_s = recovering(rng)
    bad_until(world, asked_s, ends_s + rng.uniform(0, 2 * bound_s))
    took_s = last_bad_s(world) - ends_s
    events = fault_events("slow-db", asked_s, ends_s)
    return Case(plan, world.recording(plan, events), truth(took_s < bound_s))


@kind("recovers as a queue drains")
def drains(rng: Random) -> Case:
    plan, world, asked_s, ends_s, bound_s = recovering(rng)
    rate = len(world.requests) / world.duration_s
    capacity = rate * rng.uniform(1.5, 6)
    free_s = 0.0
    for request in world.requests:
        if request.due_s >= asked_s:
            begins_s = max(request.due_s, free_s, ends_s if request.due_s < ends_s else 0.0)
            free_s = begins_s + 1 / capacity
            request.service_s += begins_s - request.due_s
    took_s = last_bad_s(world) - ends_s
    recording = world.recording(plan, fault_events("slow-db", asked_s, ends_s))
    return Case(plan, recording, truth(took_s < bound_s))


@kind("relapses")
def relapses(rng: Random) -> Case:
    plan, world, asked_s, ends_s, _ = recovering(rng)
    bad_until(world, asked_s, ends_s + 1)
    again_s = ends_s + rng.uniform(17, 30)
    bad_until(world, again_s, again_s + rng.uniform(3, 8))
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), FAILED)


@kind("never recovers")
def never_recovers(rng: Random) -> Case:
    plan, world, asked_s, ends_s, _ = recovering(rng)
    bad_until(world, asked_s, 100)
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), FAILED)


@kind("never recovers quite (6 % still fail)")
def never_quite(rng: Random) -> Case:
    plan, world, asked_s, ends_s, _ = recovering(rng)
    world.spoil(asked_s, ends_s, fail())
    world.spoil(ends_s, 100, fail(), 0.06)
    return Case(plan, world.recording(plan, fault_events("slow-db", asked_s, ends_s)), FAILED)


@kind("the run ends before recovery can be seen")
def cut_off(rng: Random) -> Case:
    seconds = 55 + rng.randint(6, 13)
    plan, world, asked_s, ends_s, bound_s = recovering(rng, seconds)
    bad_until(world, asked_s, ends_s + rng.uniform(0, 2))
    took_s = last_bad_s(world) - ends_s
    recording = world.recording(plan, fault_events("slow-db", asked_s, ends_s))
    return Case(plan, recording, FAILED if took_s >= bound_s else UNKNOWN)


@kind("an outage after a kill")
def outage(rng: Random) -> Case:
    rate = rng.uniform(20, 50)
    plan = plan_of(
        rate, 90, ["outage < 6s during kill", "recovery < 10s after kill starts"], faults=[kill_fault(42)]
    )
    world = World(rng, rate, 90)
    back_s = 42.03 + rng.uniform(0.5, 14)
    world.spoil(42.03, back_s, fail("connection refused", 0.001))
    held = world.longest_outage_s(42, 90) < 6 and last_bad_s(world) - 42.02 < 10
    return Case(plan, world.recording(plan, fault_events("kill", 42.0, None)), truth(held))


@kind("two faults, the second is not borne")
def two_faults(rng: Random) -> Case:
    plan = plan_of(
        30,
        120,
        ["p95 < 500ms during slow-db", "recovery < 5s after slow-db ends", "error_rate < 20% during kill"],
        faults=[latency_fault(45, 10), kill_fault(90)],
    )
    world = World(rng, 30, 120)
    world.spoil(45, 55, slow(0.3))
    bad = rng.random() < 0.5
    world.spoil(90.01, 90 + (rng.uniform(10, 20) if bad else rng.uniform(0.5, 3)), fail())
    events = [*fault_events("slow-db", 45.0, 55.0), *fault_events("kill", 90.0, None)]
    return Case(plan, world.recording(plan, events), truth(not bad))


# -- the run itself cannot be trusted ---------------------------------------------------------------------

SIMPLE = ["p99 < 100ms during run", "error_rate < 1% during run"]


@kind("arrivals dropped for lack of users")
def dropped(rng: Random) -> Case:
    plan = plan_of(30, 60, [*SIMPLE, "throughput >= 95% of offered during run"])
    world = World(rng, 30, 60)
    world.spoil(10, 60, fated("dropped"), rng.uniform(0.03, 0.3))
    return Case(plan, world.recording(plan), UNKNOWN)


@kind("a slow generator, healthy target")
def slow_generator(rng: Random) -> Case:
    plan = plan_of(30, 60, SIMPLE)
    world = World(rng, 30, 60)
    world.spoil(10, 60, late(rng.uniform(0.03, 0.4)), rng.uniform(0.03, 0.6))
    if rng.random() < 0.3:
        world.spoil(10, 60, fail("timeout", 10), 0.02)
    return Case(plan, world.recording(plan), UNKNOWN)


@kind("a slow generator, the target answers with errors")
def slow_generator_errors(rng: Random) -> Case:
    plan = plan_of(30, 60, SIMPLE)
    world = World(rng, 30, 60)
    world.spoil(10, 60, late(rng.uniform(0.03, 0.4)), 0.3)
    world.spoil(10, 60, fail("HTTP 500"), rng.uniform(0.05, 0.5))
    return Case(plan, world.recording(plan), FAILED)


@kind("a worker is lost, healthy target")
def worker_lost(rng: Random) -> Case:
    plan = plan_of(30, 60, SIMPLE)
    world = World(rng, 30, 60)
    at_s = rng.uniform(15, 50)
    world.spoil(at_s, at_s + rng.uniform(0, 4), fated("lost"), 0.5)
    state = rng.choice(["lost", "silent", "raised", "refused"])
    return Case(plan, world.recording(plan, [WorkerEvent(at_s, "w2", state)]), UNKNOWN)  # type: ignore[arg-type]


@kind("a worker is lost, the target fails")
def worker_lost_failing(rng: Random) -> Case:
    plan = plan_of(30, 60, SIMPLE)
    world = World(rng, 30, 60)
    at_s = rng.uniform(15, 50)
    world.spoil(at_s, at_s + 2, fated("lost"), 0.5)
    world.spoil(10, 60, fail(rng.choice(["HTTP 500", "timeout"])), rng.uniform(0.05, 0.5))
    return Case(plan, world.recording(plan, [WorkerEvent(at_s, "w2", "lost")]), FAILED)


@kind("tasks raised, a listener failed, or the recording breaks off")
def raised(rng: Random) -> Case:
    plan = plan_of(30, 50, SIMPLE)
    world = World(rng, 30, 50)
    if rng.random() < 0.5:
        return Case(plan, world.recording(plan, exceptions=rng.randint(1, 9)), UNKNOWN)
    return Case(plan, world.recording(plan, complete=False), UNKNOWN)


@kind("clocks that cannot be compared")
def clocks(rng: Random) -> Case:
    plan, world, asked_s, ends_s = with_latency(rng, ["error_rate < 10% during slow-db"])
    shift_s = rng.uniform(0.6, 5)
    world.spoil(asked_s + shift_s, ends_s + shift_s, fail(), rng.choice([0.0, 0.12]))
    events = [ClockOffset(1.0, "w1", 0.0, shift_s), *fault_events("slow-db", asked_s, ends_s)]
    return Case(plan, world.recording(plan, events), UNKNOWN)


# -- ended early ------------------------------------------------------------------------------------------


@kind("aborted by its condition")
def aborted(rng: Random) -> Case:
    plan = plan_of(30, 100, SIMPLE, abort=["error_rate > 60% for 5s"])
    world = World(rng, 30, 50)
    world.spoil(43, 50, fail())
    return Case(plan, world.recording(plan, reason="aborted"), FAILED)


@kind("interrupted while healthy")
def interrupted(rng: Random) -> Case:
    plan = plan_of(30, 100, SIMPLE)
    world = World(rng, 30, rng.uniform(12, 90))
    return Case(plan, world.recording(plan, reason="interrupted"), UNKNOWN)


@kind("interrupted when the baseline had failed already")
def interrupted_failed(rng: Random) -> Case:
    objectives = ["error_rate < 5% during baseline", "error_rate < 9% during slow-db"]
    plan, world, asked_s, _ = with_latency(rng, objectives)
    world.stop_at(47)
    world.spoil(10, 40, fail("HTTP 500"), 0.3)
    events = fault_events("slow-db", asked_s, 47)
    return Case(plan, world.recording(plan, events, reason="interrupted"), FAILED)


@kind("our own crash")
def crashed(rng: Random) -> Case:
    plan = plan_of(30, 100, SIMPLE)
    return Case(plan, World(rng, 30, 60).recording(plan, reason="crashed"), UNKNOWN, exit_code=1)


# -- stress -----------------------------------------------------------------------------------------------


@kind("stress: breaks below or above what is wanted")
def stress(rng: Random) -> Case:
    breaks_at, wanted = rng.choice([20, 30, 40]), rng.choice([15, 25, 35])
    load = {
        "stress": {"from": "10/s", "to": "40/s", "step": "10/s", "every": "20s", "at_least": f"{wanted}/s"}
    }
    plan = plan_of(0, 0, ["p95 < 100ms during run"], load=load)
    world = World(rng, 10, 20)
    world.duration_s = 80
    for i, level in enumerate((20, 30, 40), start=1):
        for j in range(level * 20):
            world.add(i * 20 + j / level)
        if level >= breaks_at:
            world.spoil(i * 20, i * 20 + 20, slow(rng.uniform(0.2, 2)))
            if level > breaks_at:
                world.spoil(i * 20, i * 20 + 20, fated("dropped"), 0.2)
    world.requests.sort(key=lambda request: request.due_s)
    reached = breaks_at - 10
    return Case(plan, world.recording(plan), truth(reached >= wanted))


__all__ = ["FAILED", "HELD", "KINDS", "UNKNOWN", "Case", "Request"]
