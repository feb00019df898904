"""Whether somebody would notice: metrics that are there and fresh, alerts that arrive."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

from prometheus_client.parser import text_string_to_metric_families

from chaos_locust.errors import ChaosError
from compliance.measures.audit_log.records import pauses
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.site import Site, at, json_of
from compliance.target import Http, Metrics, Target

OF_THE_PROCESS = ("process_", "python_", "go_", "jvm_", "nodejs_", "promhttp_", "scrape_")
"""Counters that rise whether the service is used or not."""
FRESH_S = 20.0
ALERT_S = 10.0
REQUESTS = 3

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


class MetricsThere(Measure):
    name = "metrics"
    says = "whether the metrics endpoint answers, and has the metrics that are needed"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http", "metrics")
    fields: ClassVar[Mapping[str, str]] = {
        "answers": "whether it answers in Prometheus' text format",
        "missing": "needed metrics that it has no sample of",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.metrics is not None
        samples = _samples(site)
        names = {name for name, _ in samples or ()}
        families = names | {_family(name) for name in names}
        missing = [each for each in site.target.metrics.needed if each not in families]
        return {"answers": bool(samples), "missing": missing}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with bad_service() as url:
            yield Target(
                name="bad", http=Http(url=url), metrics=Metrics(url=f"{url}/metrics", needed=("requests",))
            )


class MetricsFresh(Measure):
    name = "metrics_fresh"
    says = "whether the metrics follow what the service does"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http", "metrics")
    fields: ClassVar[Mapping[str, str]] = {
        "is_fresh": f"whether a counter of the service rises within {FRESH_S:g} s of requests to it; none: "
        "it has no counters"
    }

    def __init__(self, patience_s: float = FRESH_S) -> None:
        self._patience_s = patience_s

    def take(self, site: Site) -> Mapping[str, Any]:
        before = _samples(site)
        if before is None:
            raise ChaosError("the metrics endpoint has no metrics, so that they cannot be fresh")
        if not any(_rises(name) for name, _ in before):
            return {"is_fresh": None}
        for _ in range(REQUESTS):
            site.request("GET", "/")
        for _ in pauses(site, self._patience_s):
            now = _samples(site) or {}
            # A restarted service counts from zero again; new label values are counters that have risen.
            risen = [key for key, value in now.items() if _rises(key[0]) and value > before.get(key, 0.0)]
            if risen:
                site.note(f"{risen[0][0]} rose")
                return {"is_fresh": True}
        return {"is_fresh": False}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        self._patience_s = 0.3  # what is frozen needs no patience
        with bad_service(Frozen) as url:
            yield Target(name="bad", http=Http(url=url), metrics=Metrics(url=f"{url}/metrics"))


class Alerts(Measure):
    name = "alerts"
    says = "whether alerts can be asked for, and one that is sent is taken up"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "metrics")
    fields: ClassVar[Mapping[str, str]] = {
        "can_be_asked_for": "whether Alertmanager or Prometheus answers with a list of alerts",
        "arrive": "whether Alertmanager shows a test alert that it was sent, or Prometheus has an "
        "Alertmanager to send to and rules to judge by",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.metrics is not None
        url = site.target.metrics.alerts
        if url is None:
            raise Unsupported("the target names no metrics.alerts, an Alertmanager or a Prometheus")
        if isinstance(json_of(site.request("GET", "/api/v2/alerts", url=url)), list):
            return {"can_be_asked_for": True, "arrive": _alert_arrives(site, url)}
        alerts = at(json_of(site.request("GET", "/api/v1/alerts", url=url)), "data.alerts")
        return {"can_be_asked_for": isinstance(alerts, list), "arrive": _prometheus_sends(site, url)}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with bad_service() as url:
            yield Target(name="bad", http=Http(url=url), metrics=Metrics(url=f"{url}/metrics", alerts=url))


class Frozen(BadHandler):
    """Shows the same metrics for ever."""

    def do_GET(self) -> None:
        self._answer(200, "# TYPE shop_requests counter\nshop_requests_total 17.0\n")


def _alert_arrives(site: Site, url: str) -> bool:
    """It is named as a test, has the lowest severity, and ends at once."""
    marker = secrets.token_hex(8)
    labels = {"alertname": "ComplianceTest", "severity": "none", "marker": marker}
    until = site.now() + timedelta(seconds=ALERT_S * 6)

    def sent(ends: str) -> bool:
        alert = {
            "labels": labels,
            "annotations": {"summary": "A test by a compliance audit: nothing is wrong."},
            "startsAt": site.now().isoformat(),
            "endsAt": ends,
        }
        return site.request("POST", "/api/v2/alerts", url=url, json=[alert]).ok

    if not sent(until.isoformat()):
        return False
    try:
        for _ in pauses(site, ALERT_S):
            shown = json_of(site.request("GET", "/api/v2/alerts", url=url))
            if any(at(each, "labels.marker") == marker for each in shown or ()):
                return True
        return False
    finally:
        sent(site.now().isoformat())


def _prometheus_sends(site: Site, url: str) -> bool:
    managers = at(json_of(site.request("GET", "/api/v1/alertmanagers", url=url)), "data.activeAlertmanagers")
    groups = at(json_of(site.request("GET", "/api/v1/rules?type=alert", url=url)), "data.groups")
    return bool(managers) and any(at(each, "rules") for each in groups or ())


def _samples(site: Site) -> Samples | None:
    """None: it answers something else than metrics. Raises Unreachable."""
    assert site.target.metrics is not None
    answer = site.request("GET", "", url=site.target.metrics.url)
    if not answer.ok:
        return None
    try:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        } or None
    except (ValueError, KeyError, IndexError):
        return None


def _family(name: str) -> str:
    for end in ("_total", "_count", "_sum", "_bucket", "_created"):
        name = name.removesuffix(end)
    return name


def _rises(name: str) -> bool:
    """Whether it counts what the service does."""
    return name.endswith(("_total", "_count")) and not name.startswith(OF_THE_PROCESS)


MEASURES = (MetricsThere, MetricsFresh, Alerts)
