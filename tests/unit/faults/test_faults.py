"""Fault kinds as data: units, mistakes, round trips, and kinds of other packages."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest

from chaos_locust.errors import ChaosError, InvalidPlan
from chaos_locust.faults.base import Fault
from chaos_locust.faults.conditions import When
from chaos_locust.faults.network import Bandwidth, Flap, GradualLatency, Latency, Slicer
from chaos_locust.faults.process import Kill, Pause
from chaos_locust.faults.registry import BUILT_IN, KINDS, find_kinds, parse_fault

COMMON = {"name": "x", "target": "db", "at": "40s", "for": "15s"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "latency": {"latency": "200ms", "jitter": "50ms", "direction": "both", "share": "25%"},
    "gradual_latency": {"latency": "1s", "from": "10ms", "jitter": "1ms"},
    "bandwidth": {"rate": "100KB/s", "direction": "upstream"},
    "timeout": {"after": "2s"},
    "reset": {"after": "100ms"},
    "slow_close": {"delay": "1s"},
    "slicer": {"size": "1KiB", "variation": "100B", "delay": "30us"},
    "limit": {"bytes": "10KB"},
    "down": {},
    "flap": {"down": "2s", "up": "500ms"},
    "http_status": {"status": 429, "route": "/orders/*", "method": "POST", "share": "10%"},
    "http_delay": {"delay": "1s"},
    "http_slow_body": {"rate": "1KB/s"},
    "http_truncate": {"bytes": "10B"},
    "http_header": {"response_headers": {"Content-Type": "text/plain", "ETag": None}},
    "http_body": {"body": "{}"},
    "packet_loss": {"share": "10%"},
    "packet_duplicate": {"share": "1%"},
    "packet_corrupt": {"share": "0.1%"},
    "packet_reorder": {"share": "5%"},
    "packet_delay": {"delay": "100ms"},
    "packet_bandwidth": {"rate": "100KB/s"},
    "kill": {"signal": "SIGTERM", "for": None},
    "pause": {"at": None, "when": "steady for 10s"},
    "restart_storm": {"every": "2s"},
    "cpu_throttle": {"limit": "25%"},
    "cpu_pressure": {"share": "50%"},
    "memory_pressure": {"level": "80%"},
    "memory_leak": {"rate": "10MB/s", "limit": "500MB"},
    "memory_limit": {"spare": "10MB"},
    "file_descriptors": {"limit": 64},
    "slow_io": {"latency": "100ms"},
    "clock_skew": {"offset": "2min"},
    "clock_jump": {"offset": "-1h"},
    "clock_drift": {"rate": "2%"},
    "file_missing": {"at": None, "when": "x active for 3s"},
    "container_kill": {"for": None},
    "container_cpu": {"cpus": 0.5},
    "container_memory": {"memory": "64MB"},
    "postgres_slow_connect": {"delay": "2s"},
    "postgres_slow_queries": {"table": "orders", "delay": "100ms"},
    "postgres_lock_table": {"table": "orders"},
    "postgres_lock_row": {"table": "products", "key": "id", "value": "1"},
    "postgres_drop_index": {"index": "orders_pkey"},
    "postgres_statement_timeout": {"limit": "10ms"},
    "postgres_serialization_failures": {"table": "orders", "share": "20%"},
    "chaos_mesh": {
        "manifest": {
            "apiVersion": "chaos-mesh.org/v1alpha1",
            "kind": "PodChaos",
            "spec": {"action": "pod-kill", "mode": "one", "selector": {"labelSelectors": {"app": "web"}}},
        }
    },
    "mesh_network": {"latency": "100ms", "jitter": "10ms", "correlation": "25%", "count": "50%"},
    "mesh_stress": {"cpu": 2, "load": "80%", "memory": "64MB"},
    "mesh_io": {"volume": "/data", "error": "EIO", "share": "10%"},
    "mesh_time": {"offset": "-1h"},
    "mesh_http": {"port": 8080, "status": 503},
    "redis_flush": {"for": None},
    "redis_slow": {"delay": "10ms"},
    "redis_expire": {"keys": "product:*", "ttl": "1s"},
    "redis_corrupt": {"keys": "product:*"},
    "jwks_slow": {"delay": "5s"},
    "pod_kill": {"count": "50%", "grace": "2s", "for": None},
    "pod_evict": {"count": 2, "for": None},
    "pod_signal": {"count": "all", "signal": "INT", "for": None},
    "pod_scale": {"replicas": 0},
    "rollout_restart": {"for": None},
    "pod_cpu": {"cpus": 0.2},
    "pod_partition": {"port": 8080},
    "pod_memory_pressure": {"level": "80%"},
    "pod_disk_full": {"path": "/data", "size": "1GB"},
    "config_change": {"secret": "password", "set": {"word": "wrong", "other": None}, "restart": True},
}


def document(kind: str, **changes: Any) -> dict[str, Any]:
    data = {"kind": kind, **COMMON, **EXAMPLES.get(kind, {}), **changes}
    return {key: value for key, value in data.items() if value is not None}


def told(data: object) -> list[str]:
    found = parse_fault(data, "faults[0]")
    assert isinstance(found, list), f"accepted: {found}"
    return [str(problem) for problem in found]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_back_as_it_was(kind: str) -> None:
    fault = parse_fault(document(kind), "faults[0]")
    assert isinstance(fault, KINDS[kind])
    assert parse_fault(json.loads(json.dumps(fault.to_json())), "x") == fault
    for text in (fault.kind, fault.summary, fault.family, fault.undo, fault.effect_text):
        assert text


def test_values_in_units_of_their_names() -> None:
    fault = parse_fault(document("latency"), "x")
    assert isinstance(fault, Latency)
    assert (fault.latency_s, fault.jitter_s, fault.share, fault.at_s, fault.duration_s) == (
        0.2,
        0.05,
        0.25,
        40,
        15,
    )
    pause = parse_fault(document("pause"), "x")
    assert isinstance(pause, Pause)
    assert (pause.when, pause.at_s) == (When("steady", for_s=10.0), None)
    slicer = parse_fault(document("slicer"), "x")
    assert isinstance(slicer, Slicer)
    assert (slicer.size_bytes, slicer.variation_bytes, slicer.delay_s) == (1024, 100, 3e-5)
    assert parse_fault(document("kill"), "x") == Kill(name="x", target="db", at="40s", signal="TERM")


def test_python_names_and_yaml_keys_are_the_same() -> None:
    one = Latency(name="x", target="db", latency="200ms", at="40s", duration="15s")
    assert one == Latency(name="x", target="db", latency_s=0.2, at_s=40, duration_s=15.0)
    assert one == Latency(**{"name": "x", "target": "db", "latency": "0.2s", "at": "40s", "for": "15s"})
    gradual = GradualLatency(name="x", target="db", latency="1s", start="500ms", at="0s", duration="10s")
    assert [gradual.latency_at(t) for t in (-1, 0, 5, 10, 11)] == [0.5, 0.5, 0.75, 1.0, 1.0]
    assert (
        Bandwidth(name="x", target="db", rate_bytes_per_s=5000, at="0s", duration="1s").rate_bytes_per_s
        == 5000
    )
    for wrong in ({"latency": 0.2}, {"latency_s": -1}, {"latency_s": True}):
        with pytest.raises(InvalidPlan, match="latency"):
            Latency(name="x", target="db", at="40s", duration="15s", **wrong)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (3, "faults[0]: '3' is not a mapping; allowed keys: kind, name, target, at, when, for"),
        ({"name": "x"}, "faults[0].kind: is missing; `chaos-locust faults` lists them all"),
        (
            {"kind": "latencyy"},
            "faults[0].kind: 'latencyy' is no fault kind; did you mean latency",
        ),
        ({"kind": ["latency"]}, "faults[0].kind: '['latency']' is no fault kind"),
        (
            document("latency", at=40),
            "faults[0].at: '40' is a bare number; give a duration with a unit, such as 40s",
        ),
        (document("latency", jitter="1:30"), "faults[0].jitter: '1:30' can be read in two ways"),
        (document("latency", latency=None), "faults[0].latency: is missing"),
        (document("latency", latency="0ms"), "faults[0].latency: '0' is not allowed; give more than zero"),
        (document("latency", latency="1.5ms"), "faults[0].latency: '1.5ms' is finer than a proxy goes"),
        (
            document("latency", latncy="1ms"),
            "faults[0].latncy: 'latncy' is no key here; did you mean latency?",
        ),
        (
            document("latency", name="Slow DB"),
            "faults[0].name: 'Slow DB' is no name; allowed: lower-case letters",
        ),
        (
            document("latency", direction="down"),
            "faults[0].direction: 'down' is not allowed; allowed: 'downstream'",
        ),
        (document("latency", share="0%"), "faults[0].share: '0%' is not allowed"),
        (document("latency", share="101%"), "faults[0].share: '101%' is no share"),
        (document("latency", when="steady for 10s"), "faults[0].at: both are given; give at:"),
        (document("latency", at=None), "faults[0].at: neither is given; give at:"),
        (document("latency", at=None, when="steady"), "faults[0].when: 'steady' is no condition"),
        (document("latency", at=None, when="steady for 10"), "faults[0].when: '10' is a bare number"),
        ({**document("latency"), "for": "0s"}, "faults[0].for: '0' is not allowed; give more than zero"),
        (document("pause") | {"for": None}, "faults[0].for: is missing; say how long the pause lasts"),
        (document("kill") | {"for": "3s"}, "faults[0].for: a kill happens at once and takes no for:"),
        (document("kill", signal="STOP"), "faults[0].signal: 'STOP' is not allowed; allowed: 'KILL', 'TERM'"),
        (document("gradual_latency", latency="10ms"), "faults[0].from: equals latency"),
        (document("bandwidth", rate="1500B/s"), "faults[0].rate: '1500B/s' is finer than a proxy goes"),
        (document("bandwidth", rate="100KB"), "faults[0].rate: '100KB' is no rate of bytes"),
        (
            document("slicer", variation="1KiB"),
            "faults[0].variation: '1024B' is not allowed; give less than size",
        ),
        (document("limit", bytes=100), "faults[0].bytes: '100' is a bare number; give a size"),
    ],
)
def test_mistakes_have_their_place_and_say_what_is_allowed(data: object, line: str) -> None:
    found = told(data)
    assert len(found) == 1
    assert found[0].startswith(line), found


def test_all_mistakes_come_at_once() -> None:
    found = told({"kind": "latency", "name": 1, "latency": 2, "at": 3, "colour": "red"})
    assert [line.split(":")[0] for line in found] == [
        "faults[0].for",
        "faults[0].name",
        "faults[0].target",
        "faults[0].at",
        "faults[0].latency",
        "faults[0].colour",
    ]


def test_a_fault_cannot_be_changed() -> None:
    fault = Latency(name="x", target="db", latency="200ms", at="40s", duration="15s")
    with pytest.raises(Exception, match="frozen"):
        fault.at_s = 50.0  # type: ignore[misc]


class Rewind(Fault):
    """A kind as another package may bring it."""

    kind: ClassVar[str] = "rewind"
    summary: ClassVar[str] = "turns the clock back"
    family: ClassVar[str] = "clock"
    undo: ClassVar[str] = "by hand"
    effect_text: ClassVar[str] = "the clock shows an earlier time"


class Impostor(Fault):
    kind: ClassVar[str] = "latency"


def entry(name: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{name}", "chaos_locust.faults")


def test_other_packages_can_bring_kinds() -> None:
    assert find_kinds([entry("Rewind")])["rewind"] is Rewind
    assert set(find_kinds([])) == {cls.kind for cls in BUILT_IN}
    with pytest.raises(ChaosError, match=r"fault kind latency .* is there already"):
        find_kinds([entry("Impostor")])
    with pytest.raises(ChaosError, match="is no subclass of Fault"):
        find_kinds([entry("entry")])
    with pytest.raises(ChaosError, match=r"fault kind nothing .* cannot be loaded"):
        find_kinds([entry("nothing")])


def test_a_flapping_link_goes_down_first_and_by_its_times() -> None:
    flap = Flap(name="f", target="db", at="1s", duration="10s", down="2s", up="500ms")
    assert [flap.is_down_at(t_s) for t_s in (0.0, 1.9, 2.0, 2.4, 2.5, 4.6)] == [
        True, True, False, False, True, False,
    ]  # fmt: skip
    edges = [0.0]
    while edges[-1] < 7:
        edges.append(flap.next_change_s(edges[-1]))
    assert edges == [0, 2, 2.5, 4.5, 5, 7]
