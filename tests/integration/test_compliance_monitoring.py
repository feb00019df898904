"""What is said of metrics and alerts, against small services, one of them with a real Prometheus registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from chaos_locust.errors import ChaosError
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.base import Unsupported
from compliance.measures.operations.monitoring import Alerts, Frozen, MetricsFresh, MetricsThere
from compliance.site import Unreachable
from compliance.target import Http, Metrics, Target
from tests.integration.compliance_judged import answers_of, failed, site_of, taken


class Counted(BadHandler):
    """registry: of one server."""

    registry: CollectorRegistry
    counter: Counter | None

    def do_GET(self) -> None:
        if self.path.startswith("/metrics"):
            return self._answer(200, generate_latest(self.registry).decode())
        if self.counter is not None:
            self.counter.labels("/").inc()
        return self._answer(200, {})


@contextmanager
def counted(counts: bool = True, has_counter: bool = True) -> Iterator[Target]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Gauge("shop_slots", "slots", registry=registry)
    counter = Counter("shop_requests", "requests", ["path"], registry=registry) if has_counter else None
    if counter is not None:
        counter.labels("/other").inc()
    handler = type("C", (Counted,), {"registry": registry, "counter": counter if counts else None})
    with bad_service(handler) as url:
        needed = ("shop_requests", "shop_slots", "shop_requests_total")
        yield Target(name="test", http=Http(url=url), metrics=Metrics(url=f"{url}/metrics", needed=needed))


def test_metrics_that_are_there_and_fresh() -> None:
    with counted() as target:
        assert failed(MetricsThere, target) == set()
        assert failed(MetricsFresh, target) == set()


def test_metrics_that_are_missing() -> None:
    with counted(has_counter=False) as target:
        value = taken(MetricsThere, target)
    assert value == {"answers": True, "missing": ["shop_requests", "shop_requests_total"]}
    assert answers_of(MetricsThere, value) == {"metrics-there": "failed"}


def test_counters_of_the_process_prove_nothing() -> None:
    with counted(has_counter=False) as target:
        assert answers_of(MetricsFresh, taken(MetricsFresh, target)) == {"metrics-fresh": "not_known"}
    with counted(counts=False) as target:
        assert MetricsFresh(patience_s=0.3).take(site_of(target)) == {"is_fresh": False}


def test_a_page_that_is_no_metrics() -> None:
    with bad_service() as url:
        target = Target(name="test", http=Http(url=url), metrics=Metrics(url=f"{url}/metrics"))
        assert taken(MetricsThere, target) == {"answers": False, "missing": []}
        with pytest.raises(ChaosError, match="no metrics"):
            MetricsFresh().take(site_of(target))


class Alertmanager(BadHandler):
    """Keeps alerts as Alertmanager's API does, unless it is `deaf`."""

    kept: ClassVar[list[Any]] = []
    deaf: ClassVar[bool] = False

    def do_GET(self) -> None:
        self._answer(200, self.kept if self.path == "/api/v2/alerts" else {})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.deaf:
            self.kept.extend(given)
        self._answer(200, {})


class Prometheus(BadHandler):
    """Answers as Prometheus' API does."""

    managers: ClassVar[list[Any]] = [{"url": "http://alerts.test"}]
    rules: ClassVar[list[Any]] = [{"name": "shop", "rules": [{"name": "ShopDown", "type": "alerting"}]}]

    def do_GET(self) -> None:
        found = {
            "/api/v1/alerts": {"alerts": []},
            "/api/v1/alertmanagers": {"activeAlertmanagers": self.managers},
            "/api/v1/rules": {"groups": self.rules},
        }.get(self.path.split("?")[0])
        self._answer(404 if found is None else 200, {"status": "success", "data": found})


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (type("A", (Alertmanager,), {"kept": []}), True),
        (type("A", (Alertmanager,), {"kept": [], "deaf": True}), False),
        (Prometheus, True),
        (type("P", (Prometheus,), {"managers": []}), False),
        (type("P", (Prometheus,), {"rules": [{"name": "empty", "rules": []}]}), False),
    ],
    ids=["Alertmanager", "deaf Alertmanager", "Prometheus", "Prometheus alone", "Prometheus without rules"],
)
def test_alerts(handler: type[BadHandler], expected: bool) -> None:
    with bad_service(handler) as url:
        value = taken(Alerts, watched(url))
    assert value == {"can_be_asked_for": True, "arrive": expected}
    assert answers_of(Alerts, value) == {"alerts-arrive": "held" if expected else "failed"}


def test_a_test_alert_says_what_it_is_and_ends() -> None:
    kept: list[Any] = []
    with bad_service(type("A", (Alertmanager,), {"kept": kept})) as url:
        taken(Alerts, watched(url))
    sent, ended = kept
    assert sent["labels"] == ended["labels"]
    assert sent["labels"]["alertname"] == "ComplianceTest"
    assert ended["endsAt"] < sent["endsAt"]


def test_what_cannot_be_seen_is_not_judged() -> None:
    with bad_service() as url, pytest.raises(Unsupported, match=r"metrics\.alerts"):
        Alerts().take(site_of(Target(name="t", http=Http(url=url), metrics=Metrics(url=url))))
    for measure in (MetricsThere, MetricsFresh, Alerts):
        with pytest.raises(Unreachable):
            measure().take(site_of(watched(url)))


def test_frozen_metrics_are_found() -> None:
    with bad_service(Frozen) as url:
        target = Target(name="test", http=Http(url=url), metrics=Metrics(url=f"{url}/metrics"))
        assert MetricsFresh(patience_s=0.3).take(site_of(target)) == {"is_fresh": False}


def watched(url: str) -> Target:
    return Target(name="test", http=Http(url=url), metrics=Metrics(url=f"{url}/metrics", alerts=url))
