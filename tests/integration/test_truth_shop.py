"""Every number of verdict.json, computed anew from the shop's access log and the schedule.

The n-th request carries n, so its due time is known from the plan's rates alone, and with it the second and
the phase that it belongs to: counts have to agree to the last request. Times cannot: the shop's log ends a
request when the shop is done with it, our number when Locust has read the answer. So each quantile has to
lie between what the shop's log says and what the locustfile's own clock says, which stops a little later;
2 % (our buckets are up to 1 % wide) and 5 ms are allowed at both ends, for the shop writes its line just
after it has sent the answer.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .locust_processes import Locust, finding, number, quantile
from .servers.shop import Seen, Shop, Witness

STEPS = (("base", 40, 14), ("peak", 80, 6), ("after", 40, 22))  # requests/s, s
WARM_UP_S, TIMEOUT_S = 3, 2
PLANNED = sum(rate * length_s for _, rate, length_s in STEPS)
LENGTH_S = sum(length_s for _, _, length_s in STEPS)
NAMES = ("GET /products", "GET /products/[id]", "POST /orders")
PLAN = {
    "name": "the truth about the shop",
    "host": "${SHOP_URL}",
    "proxy_api": "${PROXY_API}",
    "targets": {"postgres": {"proxy": "postgres"}, "payments": {"proxy": "payments"}},
    "load": [{"step": name, "rate": f"{rate}/s", "for": f"{length_s}s"} for name, rate, length_s in STEPS],
    "warm_up": f"{WARM_UP_S}s",
    "baseline": "5s",
    "timeout": f"{TIMEOUT_S}s",
    "steady_state": ["error_rate < 2%"],
    "faults": [
        {
            "name": "slow-db",
            "kind": "latency",
            "target": "postgres",
            "latency": "60ms",
            "at": "9s",
            "for": "4s",
        },
        {"name": "no-payments", "kind": "down", "target": "payments", "at": "20.3s", "for": "4s"},
    ],
    "objectives": [
        "p95 < 500ms during baseline",
        "error_rate < 5% during baseline",
        "p50 < baseline + 500ms during slow-db",
        "p95(ok) < 1s during slow-db",
        "p95 < 500ms after slow-db",
        "mean < 1s during slow-db",
        "max < 2s during slow-db",
        'error_rate of "POST /orders" < 10% during slow-db',
        "throughput >= 95% of offered during peak",
        "throughput > 10/s during peak",
        "dropped < 5% during run",
        "availability > 60% during no-payments",
        'error_rate of "POST /orders" > 50% during no-payments',
        'outage of "POST /orders" < 10s during no-payments',
        "error_rate < 50% in every 2s during no-payments",
        "recovery < 12s after no-payments ends",
    ],
}


def due_times() -> Iterator[float]:
    """Arrivals of a constant rate are due in the middle of their intervals."""
    begins_s = 0
    for _, rate, length_s in STEPS:
        for index in range(rate * length_s):
            yield begins_s + (index + 0.5) / rate
        begins_s += length_s


@dataclass(frozen=True)
class Request:
    """One request. low: times that the shop's log gives, high: the locustfile's clock; in seconds."""

    name: str
    due_s: float
    ok: bool
    status: int | None
    low_s: float
    high_s: float
    low_service_s: float
    high_service_s: float


@dataclass(frozen=True)
class Truth:
    verdict: dict[str, Any]
    code: int
    requests: tuple[Request, ...]
    logins: int
    lateness_s: tuple[float, ...]
    start_epoch_s: float
    witness: dict[str, Seen]

    def within(self, seconds: range, name: str | None = None) -> list[Request]:
        """Due in these seconds."""
        return [r for r in self.requests if math.floor(r.due_s) in seconds and name in (None, r.name)]

    def fault(self, name: str) -> dict[str, Any]:
        (found,) = (fault for fault in self.verdict["faults"] if fault["name"] == name)
        result: dict[str, Any] = found
        return result


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("shop")
    locustfile, times = Path(__file__).parent / "servers" / "shopper.py", folder / "times.json"
    with Shop(folder) as shop:
        environ = shop.env | {"TRUTH_LOG": str(times), "XDG_STATE_HOME": str(folder)}
        with (
            Witness(shop.env["PROXY_API"], ("postgres", "payments")) as witness,
            Locust(folder / "locust", PLAN, locustfile, environ=environ) as run,
        ):
            code = run.wait()
            verdict = run.verdict()
        lines = shop.log(lambda named: len(named) >= verdict["totals"]["sent"])
    assert not verdict["trust"]["reasons"], "the machine could not bear the load; nothing can be compared"
    due = list(due_times())
    clock = {index: (sent_s, ended_s) for index, sent_s, ended_s in json.loads(times.read_text())}
    start_s = min(sent_s - due[index] for index, (sent_s, _) in clock.items())
    requests = []
    for line in lines:
        if line["id"] == "login":
            continue
        index = int(line["id"])
        sent_s, ended_s = clock[index]
        path = "/products/[id]" if line["path"].startswith("/products/") else line["path"]
        ok = line["status"] is not None and line["status"] < 400
        requests.append(
            Request(
                f"{line['method']} {path}",
                due[index],
                ok,
                line["status"],
                line["ended"] - start_s - due[index],
                ended_s - start_s - due[index],
                line["ended"] - line["started"],
                ended_s - sent_s,
            )
        )
    return Truth(
        verdict,
        code,
        tuple(requests),
        sum(line["id"] == "login" for line in lines),
        tuple(sent_s - start_s - due[index] for index, (sent_s, _) in clock.items()),
        start_s,
        witness.seen,
    )


def between(value: Any, low_s: float, high_s: float) -> bool:
    """Whether a reported time is in [low, high], with the tolerance that is explained above."""
    seconds = number(value)
    if math.isinf(low_s) or math.isinf(seconds):
        return seconds == low_s == high_s
    return low_s * 0.98 - 0.005 <= seconds <= high_s * 1.02 + 0.005


def check_quantile(value: Any, requests: list[Request], q: float, service: bool = False) -> None:
    """Failed requests are infinitely slow."""
    if service:
        lows, highs = [r.low_service_s for r in requests], [r.high_service_s for r in requests]
    else:
        lows = [r.low_s if r.ok else math.inf for r in requests]
        highs = [r.high_s if r.ok else math.inf for r in requests]
    low_s, high_s = quantile(lows, q), quantile(highs, q)
    assert between(value, low_s, high_s), f"p{q * 100:g}: {value} is not within {low_s} to {high_s}"


def whole_seconds(starts_s: float, ends_s: float) -> range:
    return range(math.ceil(round(starts_s, 6)), math.floor(round(ends_s, 6)))


def stretch_of(truth: Truth, label: str) -> range:
    """The whole seconds of a label, without what is transition: from confirmed to asked."""
    slow, none = truth.fault("slow-db"), truth.fault("no-payments")
    error_s = truth.verdict["trust"]["clock_error_s"]
    stretches = {
        "run": (WARM_UP_S, LENGTH_S),
        "baseline": (WARM_UP_S, slow["asked_s"] - error_s),
        "slow-db": (slow["active_s"] + error_s, slow["revert_asked_s"] - error_s),
        "after slow-db": (slow["reverted_s"] + error_s, none["asked_s"] - error_s),
        "no-payments": (none["active_s"] + error_s, none["revert_asked_s"] - error_s),
        "peak": (14, 20),
    }
    return whole_seconds(*stretches[label])


def guarded(truth: Truth, label: str, guard_s: float) -> range:
    """Without what was due so shortly before a fault that it can have met it."""
    seconds = stretch_of(truth, label)
    for fault in truth.verdict["faults"]:
        onset_s = fault["asked_s"] - truth.verdict["trust"]["clock_error_s"]
        if onset_s >= seconds.stop - 1e-6:
            return range(seconds.start, min(seconds.stop, math.floor(round(onset_s - guard_s, 6))))
    return seconds


def test_the_run_was_upheld_and_its_log_is_whole(truth: Truth) -> None:
    assert truth.code == truth.verdict["exit_code"] == 0, truth.verdict["sentence"]
    assert truth.verdict["outcome"] == "UPHELD"
    assert len(truth.requests) == PLANNED
    assert {request.name for request in truth.requests} == set(NAMES)
    assert abs(truth.verdict["started_epoch_s"] - truth.start_epoch_s) < 0.1
    assert truth.verdict["seed"] == 1
    assert truth.verdict["duration_s"] >= LENGTH_S


def test_totals(truth: Truth) -> None:
    totals = truth.verdict["totals"]
    failed = [request for request in truth.requests if not request.ok]
    assert totals["offered"] == PLANNED
    assert (totals["dropped"], totals["lost"], totals["unanswered"]) == (0, 0, 0)
    assert totals["sent"] == PLANNED + truth.logins
    assert totals["ok"] == PLANNED - len(failed) + truth.logins
    assert totals["failed"] == len(failed)
    kinds = [f"HTTP {request.status}" if request.status else "timeout" for request in failed]
    assert totals["errors"] == {kind: kinds.count(kind) for kind in kinds}
    assert failed, "the fault was felt"


def test_fault_times_are_those_that_a_witness_saw(truth: Truth) -> None:
    """The witness looks every 20 ms; an answer of the API on a busy machine takes some more."""
    for name, proxy in (("slow-db", "postgres"), ("no-payments", "payments")):
        fault, seen = truth.fault(name), truth.witness[proxy]
        times_s = [fault[key] + truth.verdict["started_epoch_s"] for key in ("asked_s", "active_s")]
        ends_s = [fault[key] + truth.verdict["started_epoch_s"] for key in ("revert_asked_s", "reverted_s")]
        # it began between the last look without and the first look with it, and so say we
        assert times_s[0] <= seen.first_s, name
        assert seen.before_s <= times_s[1], name
        assert times_s[1] - times_s[0] < 0.5, name
        assert ends_s[0] <= seen.gone_s, name
        assert seen.last_s <= ends_s[1], name
        assert 0 <= fault["asked_s"] - fault["due_s"] < 0.1, name
        assert fault["state"] == "reverted"
        assert (fault["mechanism"], fault["use"]) == (True, True)


def test_phases(truth: Truth) -> None:
    phases = {(p["kind"], p["label"]): (p["starts_s"], p["ends_s"]) for p in truth.verdict["phases"]}
    begins_s = 0
    for name, _, length_s in STEPS:
        assert phases["step", name] == (begins_s, begins_s + length_s)
        begins_s += length_s
    slow, none = truth.fault("slow-db"), truth.fault("no-payments")
    error_s = truth.verdict["trust"]["clock_error_s"]
    assert phases["warm_up", "warm-up"] == (0, WARM_UP_S)
    assert phases["run", "run"] == (WARM_UP_S, LENGTH_S)
    assert phases["baseline", "baseline"] == (WARM_UP_S, pytest.approx(slow["asked_s"] - error_s))
    for fault in (slow, none):
        assert phases["fault", fault["name"]] == (fault["active_s"], fault["reverted_s"])
    after = (slow["reverted_s"] + error_s, none["asked_s"] - error_s)
    assert phases["after", "slow-db"] == pytest.approx(after)
    # the longest guard of each phase's objectives; nothing is left out where no fault comes next
    left_out = {(p["kind"], p["label"]): p["left_out"] for p in truth.verdict["phases"] if p["left_out"]}
    guards = {("baseline", "baseline"): ("baseline", TIMEOUT_S), ("after", "slow-db"): ("after slow-db", 0.5)}
    for phase, (label, guard_s) in guards.items():
        whole, kept = stretch_of(truth, label), guarded(truth, label, guard_s)
        assert left_out.pop(phase, 0) == len(truth.within(range(kept.stop, whole.stop))), phase
    assert left_out == {}


def test_every_row_of_the_table(truth: Truth) -> None:
    rows = truth.verdict["table"]
    phases = {
        f"after {p['label']}" if p["kind"] == "after" else p["label"]: whole_seconds(
            p["starts_s"], p["ends_s"]
        )
        for p in truth.verdict["phases"]
        if p["kind"] in ("run", "baseline", "fault", "after")
    }
    expected = {(name, label) for name in NAMES for label in phases}
    assert {(row["name"], row["phase"]) for row in rows} == expected
    for row in rows:
        seconds = phases[row["phase"]]
        requests = truth.within(seconds, row["name"])
        ok = [request for request in requests if request.ok]
        assert row["sent"] == len(requests), row
        assert (row["ok"], row["failed"], row["unanswered"]) == (len(ok), len(requests) - len(ok), 0), row
        assert row["rate_rps"] == pytest.approx(len(requests) / len(seconds)), row
        for q, key in ((0.5, "p50_s"), (0.95, "p95_s"), (0.99, "p99_s")):
            check_quantile(row[key], requests, q)
        if ok:
            check_quantile(row["p99_ok_s"], ok, 0.99)
            check_quantile(row["service_p99_s"], ok, 0.99, service=True)


def share_failed(requests: list[Request]) -> float:
    return sum(not request.ok for request in requests) / len(requests)


@pytest.mark.parametrize(
    ("text", "label", "guard_s", "expected"),
    [
        ("error_rate < 5% during baseline", "baseline", TIMEOUT_S, share_failed),
        ("error_rate < 2% (steady state)", "baseline", TIMEOUT_S, share_failed),
        ('error_rate of "POST /orders" < 10% during slow-db', "slow-db", TIMEOUT_S, share_failed),
        ("availability > 60% during no-payments", "no-payments", TIMEOUT_S, lambda r: 1 - share_failed(r)),
        ('error_rate of "POST /orders" > 50% during no-payments', "no-payments", TIMEOUT_S, share_failed),
        ("throughput >= 95% of offered during peak", "peak", TIMEOUT_S, lambda r: 1 - share_failed(r)),
        ("throughput > 10/s during peak", "peak", TIMEOUT_S, None),
        ("dropped < 5% during run", "run", TIMEOUT_S, lambda r: 0.0),
    ],
)
def test_shares_of_objectives(
    truth: Truth, text: str, label: str, guard_s: float, expected: Callable[[list[Request]], float] | None
) -> None:
    found, seconds = finding(truth.verdict, text), guarded(truth, label, guard_s)
    requests = truth.within(seconds, "POST /orders" if "POST /orders" in text else None)
    value = expected(requests) if expected else sum(r.ok for r in requests) / len(seconds)
    assert found["outcome"] == "UPHELD", found["reason"]
    assert found["samples"] == len(requests)
    assert found["value"] == pytest.approx(value)
    assert found["stretch"] == [seconds.start, seconds.stop]


@pytest.mark.parametrize(
    ("text", "label", "guard_s", "q", "ok_only"),
    [
        ("p95 < 500ms during baseline", "baseline", 0.5, 0.95, False),
        ("p50 < baseline + 500ms during slow-db", "slow-db", 0.5, 0.5, False),
        ("p95(ok) < 1s during slow-db", "slow-db", 1.0, 0.95, True),
        ("p95 < 500ms after slow-db", "after slow-db", 0.5, 0.95, False),
        ("max < 2s during slow-db", "slow-db", 2.0, 1.0, False),
    ],
)
def test_quantiles_of_objectives(
    truth: Truth, text: str, label: str, guard_s: float, q: float, ok_only: bool
) -> None:
    found, seconds = finding(truth.verdict, text), guarded(truth, label, guard_s)
    requests = [request for request in truth.within(seconds) if request.ok or not ok_only]
    assert found["outcome"] == "UPHELD", found["reason"]
    assert found["samples"] == len(requests)
    check_quantile(found["value"], requests, q)


def test_a_mean(truth: Truth) -> None:
    found = finding(truth.verdict, "mean < 1s during slow-db")
    requests = truth.within(stretch_of(truth, "slow-db"))
    low_s, high_s = (
        sum(times) / len(requests) for times in ([r.low_s for r in requests], [r.high_s for r in requests])
    )
    assert found["samples"] == len(requests)
    assert between(found["value"], low_s, high_s)


def test_the_bound_of_a_comparison_is_the_baselines_own_value(truth: Truth) -> None:
    found = finding(truth.verdict, "p50 < baseline + 500ms during slow-db")
    requests = truth.within(stretch_of(truth, "baseline"))
    check_quantile(found["bound"] - 0.5, requests, 0.5)


def test_the_worst_stretch(truth: Truth) -> None:
    found = finding(truth.verdict, "error_rate < 50% in every 2s during no-payments")
    seconds = stretch_of(truth, "no-payments")
    shares = {s: share_failed(truth.within(range(s, s + 2))) for s in range(seconds.start, seconds.stop - 1)}
    assert found["value"] == pytest.approx(max(shares.values()))
    assert shares[found["stretch"][0]] == pytest.approx(found["value"])
    assert found["stretch"][1] - found["stretch"][0] == 2


def test_an_outage(truth: Truth) -> None:
    """It is known to a tenth of a second, of the due times of orders."""
    found = finding(truth.verdict, 'outage of "POST /orders" < 10s during no-payments')
    fault = truth.fault("no-payments")
    ok_s = sorted(r.due_s for r in truth.requests if r.name == "POST /orders" and r.ok)
    gaps = [
        (after - before, before, after)
        for before, after in itertools.pairwise(ok_s)
        if before < fault["revert_asked_s"] and after > fault["active_s"]
    ]
    longest_s, before_s, after_s = max(gaps)
    inside_s = min(after_s, fault["revert_asked_s"]) - max(before_s, fault["active_s"])
    assert inside_s > 2, "orders did fail"
    low_s, high_s = found["interval"]
    assert abs(low_s - inside_s) <= 0.2
    assert longest_s <= high_s <= longest_s + 0.2


@pytest.mark.parametrize("name", ["slow-db", "no-payments"])
def test_a_recovery(truth: Truth, name: str) -> None:
    """By its definition: the first good 5 s after which all stay good for 10 s, moved by 1 s."""
    fault, ends_s = truth.fault(name), LENGTH_S
    if name == "slow-db":
        ends_s = math.floor(truth.fault("no-payments")["asked_s"] - TIMEOUT_S)
    good = {
        start: share_failed(truth.within(range(start, start + 5))) < 0.02
        for start in range(math.floor(fault["reverted_s"]), ends_s - 4)
    }
    low_s, high_s = (number(end) for end in fault["recovery"])
    held = [start for start in good if all(good.get(s, False) for s in range(start, start + 11))]
    if name == "slow-db":  # the next fault comes before it can have been good for 10 s
        assert held == []
        assert (low_s, high_s) == (0.0, math.inf)
        return
    found = finding(truth.verdict, "recovery < 12s after no-payments ends")
    assert found["outcome"] == "UPHELD", found["reason"]
    assert found["interval"] == fault["recovery"]
    assert found["value"] == high_s
    assert low_s <= max(0.0, held[0] - fault["reverted_s"]) <= high_s
    assert high_s - low_s <= 7, "a window of 5 s and its steps"


def test_what_is_said_of_the_generator(truth: Truth) -> None:
    trust = truth.verdict["trust"]
    judged = [t for t, r in zip(truth.lateness_s, sorted(due_times()), strict=True) if r >= WARM_UP_S]
    assert abs(trust["lateness_p99_s"] - quantile(judged, 0.99)) < 0.005
    assert trust["lateness_limit_s"] == pytest.approx(0.05)
    assert (trust["dropped_share"], trust["workers"], trust["workers_lost"]) == (0, 1, 0)


def test_no_number_of_the_verdict_is_forgotten_here(truth: Truth) -> None:
    """What is added to verdict.json has to be added to these tests."""
    assert {f["text"] for f in truth.verdict["findings"] if f["source"] == "objective"} == set(
        PLAN["objectives"]
    )
    assert set(truth.verdict["totals"]) == {
        *("offered", "dropped", "lost", "sent", "ok", "failed", "unanswered", "errors")
    }
    columns = ("name", "phase", "sent", "ok", "failed", "unanswered", "rate_rps", "p50_s", "p95_s", "p99_s")
    assert all(set(row) == {*columns, "p99_ok_s", "service_p99_s"} for row in truth.verdict["table"])
