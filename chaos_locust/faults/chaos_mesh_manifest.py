"""A Chaos Mesh experiment as its users write it: read, brought to the form of Chaos Mesh 2, and judged.

The definitions that the API server checks by take a lot that the controller then never acts on, such as a
duration of `ten minutes`: what is known to be wrong is told here, before there is a cluster.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from chaos_locust.data import did_you_mean
from chaos_locust.errors import Problem

GROUP, VERSION = "chaos-mesh.org", "v1alpha1"
PLURALS = {
    "PodChaos": "podchaos",
    "NetworkChaos": "networkchaos",
    "StressChaos": "stresschaos",
    "IOChaos": "iochaos",
    "TimeChaos": "timechaos",
    "DNSChaos": "dnschaos",
    "HTTPChaos": "httpchaos",
    "Schedule": "schedules",
}
"""Kind -> what the API calls its objects."""

EMBEDDED = {
    "PodChaos": "podChaos",
    "NetworkChaos": "networkChaos",
    "StressChaos": "stressChaos",
    "IOChaos": "ioChaos",
    "TimeChaos": "timeChaos",
    "DNSChaos": "dnsChaos",
    "HTTPChaos": "httpChaos",
}
"""Type of a Schedule -> the key of its spec that holds what it makes."""

MOST_BYTES = 1_000_000
_DURATION = re.compile(r"[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+|0", re.ASCII)
_CRON_FIELD = r"(?:[\d*?A-Za-z,/-]+)"
_CRON = re.compile(
    rf"(?:(?:CRON_)?TZ=\S+\s+)?(?:{_CRON_FIELD}(?:\s+{_CRON_FIELD}){{4,5}}"
    r"|@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)|@every\s+(?P<every>\S+))",
    re.ASCII,
)
_DURATIONS = ("duration", "timeOffset", "delay", "delay.latency", "delay.jitter")
_NETEM = ("delay", "loss", "duplicate", "corrupt", "rate")
_OF_IO = {"latency": "delay", "fault": "errno", "attrOverride": "attr", "mistake": "mistake"}

Json = dict[str, Any]


def read_manifest(path: str) -> Any:
    """The data of a file with one experiment. Raises ValueError with one line."""
    try:
        raw = Path(path).read_bytes()
        documents = [each for each in yaml.safe_load_all(raw.decode("utf-8-sig")) if each is not None]
    except OSError as error:
        raise ValueError(f"'{path}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"'{path}' is no YAML: {' '.join(str(error).split())[:200]}") from None
    if len(raw) > MOST_BYTES:
        raise ValueError(f"'{path}' is larger than 1 MB, which no experiment is")
    if len(documents) != 1:
        raise ValueError(f"'{path}' has {len(documents)} documents; give each experiment a fault of its own")
    return documents[0]


def translated(manifest: Mapping[str, Any]) -> tuple[Json, list[str]]:
    """The experiment as Chaos Mesh 2 takes it, and what was changed for that, in words."""
    found: Json = copy.deepcopy(dict(manifest))
    kind, spec = found.get("kind"), found.get("spec")
    if not isinstance(spec, dict) or kind not in EMBEDDED or not isinstance(spec.get("scheduler"), dict):
        return found, []
    cron = spec.pop("scheduler").get("cron")
    found["kind"] = "Schedule"
    found["spec"] = {
        "schedule": cron,
        "type": kind,
        "concurrencyPolicy": "Forbid",
        EMBEDDED[kind]: spec,
    }
    return found, [f"spec.scheduler.cron is of Chaos Mesh 1; it is made a Schedule of {kind}, due {cron}"]


def embedded(manifest: Mapping[str, Any]) -> tuple[str, Json]:
    """(kind, spec) of the experiment itself: of a Schedule, what it makes. The manifest has no problems."""
    spec = manifest["spec"]
    if manifest["kind"] != "Schedule":
        return manifest["kind"], spec
    return spec["type"], spec[EMBEDDED[spec["type"]]]


def selectors(spec: Mapping[str, Any]) -> list[Json]:
    """Of the pods that it acts on, and of those at the other end, as the spec holds them."""
    other = spec.get("target")
    return [spec["selector"], *([other["selector"]] if isinstance(other, dict) else [])]


def manifest_problems(manifest: object) -> list[Problem]:
    """Everything that is wrong with an experiment as translated; places are relative to it."""
    if not isinstance(manifest, Mapping):
        return [Problem("", f"'{str(manifest)[:60]}' is no experiment of Chaos Mesh, which is a mapping")]
    try:
        json.dumps(manifest)
    except (TypeError, ValueError) as error:
        return [Problem("", f"is no JSON ({error}); put dates into quotes")]
    wanted = f"{GROUP}/{VERSION}"
    if (version := manifest.get("apiVersion")) != wanted:
        return [Problem("apiVersion", f"'{version}' is not known; allowed: {wanted}")]
    if (kind := manifest.get("kind")) not in PLURALS:
        return [Problem("kind", f"'{kind}' is not known; {did_you_mean(str(kind), PLURALS)}")]
    about, spec = manifest.get("metadata"), manifest.get("spec")
    if not isinstance(about, Mapping | None):
        return [Problem("metadata", "is no mapping")]
    if not isinstance(spec, dict):
        return [Problem("spec", "is missing, or no mapping")]
    if kind != "Schedule":
        return [Problem(f"spec.{place}", text) for place, text in _spec_problems(kind, spec)]
    return [Problem(f"spec.{place}", text) for place, text in _schedule_problems(spec)]


def _schedule_problems(spec: Json) -> Iterator[tuple[str, str]]:
    due = _CRON.fullmatch(str(spec.get("schedule")).strip())
    if due is None or (due["every"] and not _is_positive(due["every"])):
        yield "schedule", f"'{spec.get('schedule')}' is no time; give such as '@every 10s' or '*/5 * * * *'"
    if (kind := spec.get("type")) not in EMBEDDED:
        yield "type", f"'{kind}' is not known; {did_you_mean(str(kind), EMBEDDED)}"
        return
    inner = spec.get(EMBEDDED[kind])
    if not isinstance(inner, dict):
        yield EMBEDDED[kind], f"is missing, or no mapping; it is what a Schedule of type {kind} makes"
        return
    for place, text in _spec_problems(kind, inner):
        yield f"{EMBEDDED[kind]}.{place}", text


def _spec_problems(kind: str, spec: Json) -> Iterator[tuple[str, str]]:
    if "remoteCluster" in spec:
        yield "remoteCluster", "is not allowed: what happens in another cluster is not seen from here"
    yield from _chosen(spec)
    if isinstance(other := spec.get("target"), dict):
        for place, text in _chosen(other):
            yield f"target.{place}", text
    for place in _DURATIONS:
        value = _at(spec, place)
        if value is not None and not isinstance(value, dict) and not _is_duration(value):
            yield place, f"'{value}' is no duration; give such as 200ms, 10s or 1m30s"
    yield from _RULES.get(kind, _no_rule)(spec)


def _chosen(spec: Json) -> Iterator[tuple[str, str]]:
    if not isinstance(selector := spec.get("selector"), dict):
        yield "selector", "is missing, or no mapping"
    elif not isinstance(selector.get("pods", {}), dict):
        yield "selector.pods", "is no mapping of namespaces to names of pods"
    elif not isinstance(selector.get("namespaces", []), list):
        yield "selector.namespaces", "is no list"
    mode, value = spec.get("mode"), str(spec.get("value", ""))
    if mode == "fixed" and not (value.isdecimal() and int(value) > 0):
        yield "value", f"'{value}' is not allowed with mode: fixed; give a number as text, such as '2'"
    percent = mode in ("fixed-percent", "random-max-percent")
    if percent and not (value.isdecimal() and 0 < int(value) <= 100):
        yield "value", f"'{value}' is not allowed with mode: {mode}; give 1 to 100 as text, such as '50'"


def _pod(spec: Json) -> Iterator[tuple[str, str]]:
    if spec.get("action") == "container-kill" and not spec.get("containerNames"):
        yield "containerNames", "is missing; container-kill needs it"


def _network(spec: Json) -> Iterator[tuple[str, str]]:
    action, direction = spec.get("action"), spec.get("direction", "to")
    if action == "netem" and not any(spec.get(key) for key in _NETEM):
        yield "action", f"'netem' needs one of {', '.join(_NETEM)}"
    if action in (*_NETEM, "bandwidth") and not isinstance(spec.get(str(action)), dict):
        yield str(action), f"is missing; action: {action} needs it"
    if action != "partition" and direction in ("from", "both") and not spec.get("target"):
        yield "direction", f"'{direction}' needs target: whose packets are meant"


def _stress(spec: Json) -> Iterator[tuple[str, str]]:
    stressors = spec.get("stressors")
    found = [key for key in ("cpu", "memory") if isinstance(stressors, dict) and stressors.get(key)]
    if not found:
        # what only has stressngStressors crashes the controller
        yield "stressors", "has neither cpu nor memory; give one of them at least"
    for key in found:
        workers = _at(spec, f"stressors.{key}.workers")
        if not isinstance(workers, int) or workers < 1:
            yield f"stressors.{key}.workers", f"'{workers}' is not allowed; give 1 or more"


def _io(spec: Json) -> Iterator[tuple[str, str]]:
    needed = _OF_IO.get(str(spec.get("action")))
    if needed and not spec.get(needed):
        yield needed, f"is missing; action: {spec['action']} needs it"


def _http(spec: Json) -> Iterator[tuple[str, str]]:
    port = spec.get("port")
    if not isinstance(port, int) or not 0 < port < 65536:
        yield "port", f"'{port}' is no port; give the one that the pods listen at"
    if not any(spec.get(key) for key in ("abort", "delay", "replace", "patch")):
        yield "target", "nothing happens to it; give one of abort, delay, replace, patch"


def _no_rule(spec: Json) -> Iterator[tuple[str, str]]:
    yield from ()


_RULES = {
    "PodChaos": _pod,
    "NetworkChaos": _network,
    "StressChaos": _stress,
    "IOChaos": _io,
    "HTTPChaos": _http,
}


def _at(spec: Json, place: str) -> Any:
    found: Any = spec
    for key in place.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _is_duration(value: object) -> bool:
    return isinstance(value, str) and _DURATION.fullmatch(value) is not None


def _is_positive(value: str) -> bool:
    return _is_duration(value) and not value.startswith("-") and re.search(r"[1-9]", value) is not None
