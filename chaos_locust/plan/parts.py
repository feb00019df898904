"""The parts of a plan that are neither load nor fault: targets, requests and objectives as they are typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from chaos_locust.data import NAME_PATTERN, Data, Share, from_mapping, nested, nested_in, within
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.plan.grammar import parse_objective
from chaos_locust.plan.load import Request
from chaos_locust.plan.objectives import Objective, RecoveryObjective, Severity
from chaos_locust.plan.slos import SLOS
from chaos_locust.redact import redact_text
from chaos_locust.units import format_share

_HOST = re.compile(r"[0-9A-Fa-f:.]+|[A-Za-z0-9_.-]+", re.ASCII)
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})", re.ASCII)


def _address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f"'{value}' is no address; give HOST:PORT, such as 127.0.0.1:5432")
    return value


def _host(value: str) -> str:
    if _ADDRESS.fullmatch(value) or not _HOST.fullmatch(value):
        raise ValueError(f"'{value}' is no host; give an address or a name without a port, such as 10.0.0.7")
    return value


def _host_of(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _store_url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(
                f"'{redact_text(value)}' is no URL; give one such as {schemes[0]}://user@127.0.0.1:5432/name"
            )
        return value

    return AfterValidator(check)


Address = Annotated[str, AfterValidator(_address)]
Host = Annotated[str, AfterValidator(_host)]
PostgresUrl = Annotated[str, _store_url("postgresql", "postgres")]
RedisUrl = Annotated[str, _store_url("redis", "rediss", "valkey", "valkeys")]


MEANS = ("pidfile", "addresses", "path", "clock", "container", "kubernetes", "postgres", "redis")
"""Keys of a target that faults need, besides those of its link."""

_NEEDED = {"tls": "upstream", "peers": "addresses", "namespace": "addresses", "root_disk": "path"}


class Tls(Data):
    """Files, PEM, on the machine of the proxy: it shows `certificate` to clients, and checks the target's by
    those in `upstream_ca`, by default by those that its machine trusts, or not at all."""

    certificate: str = Field(pattern="^/")
    key: str = Field(pattern="^/")
    upstream_ca: str | None = Field(default=None, pattern="^/")
    verify: bool = True

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        if data.get("upstream_ca") is not None and data.get("verify") is False:
            return [Problem("upstream_ca", "has no effect with verify: false; give one or the other")]
        return []


class Target(Data):
    """A named part that faults may touch. `name` is its key in the plan's `targets`.

    Its link: `proxy` names a proxy of the Toxiproxy at `proxy_api`, or one is made that listens at `listen`
    and passes on to `upstream`; where they speak TLS, `tls` lets that proxy see what is inside. Its process:
    `pidfile`. Its packets: `addresses`, those of the target; only those to or from `peers` where they are
    given; seen in the network `namespace` (`ip netns`), by default in ours. Its disk: `path`, a file or
    folder; `root_disk` says yes to one on the root file system. The file that its `clock` is read from
    (libfaketime). Its `container`, by name or id. What it is in a `kubernetes` cluster. The server as such,
    which may need an account with rights: `postgres` and `redis`, as URLs. It may have several of these.
    """

    name: str = Field(default="", exclude=True)
    proxy: str | None = Field(default=None, min_length=1)
    upstream: Address | None = None
    listen: Address | None = None
    tls: Annotated[Tls | None, nested(lambda value: None if value is None else from_mapping(Tls, value))] = (
        None
    )
    pidfile: str | None = Field(default=None, min_length=1)
    addresses: tuple[Address, ...] | None = Field(default=None, min_length=1)
    peers: tuple[Host, ...] | None = Field(default=None, min_length=1)
    namespace: str | None = Field(default=None, min_length=1)
    path: str | None = Field(default=None, pattern="^/")
    root_disk: bool = False
    clock: str | None = Field(default=None, pattern="^/")
    container: str | None = Field(default=None, min_length=1)
    kubernetes: Annotated[KubernetesTarget | None, nested_in(KubernetesTarget)] = None
    postgres: PostgresUrl | None = None
    redis: RedisUrl | None = None

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        proxy, upstream, listen = (data.get(key) is not None for key in ("proxy", "upstream", "listen"))
        if proxy and (upstream or listen):
            return [
                Problem(
                    "proxy",
                    "names a proxy that is there; upstream and listen make one; give one or the other",
                )
            ]
        if upstream != listen:
            missing = "listen" if upstream else "upstream"
            return [Problem(missing, "is missing; a proxy is made from upstream and listen together")]
        for key, needed in _NEEDED.items():
            if data.get(key) and data.get(needed) is None:
                return [Problem(key, f"has no effect without {needed}")]
        if not (proxy or upstream or any(data.get(key) is not None for key in MEANS)):
            return [Problem("", f"gives nothing to touch; give proxy, upstream and listen, or {_or(MEANS)}")]
        return []

    @property
    def has_link(self) -> bool:
        return self.proxy is not None or self.upstream is not None

    def gives(self, need: str) -> bool:
        """Whether it has what a fault class names in `needs`."""
        return self.has_link if need == "link" else getattr(self, need) is not None

    def hosts(self) -> Iterator[tuple[str, str]]:
        """(key, host) of everything that faults on it reach over the network."""
        for key in ("upstream", "listen"):
            if (address := getattr(self, key)) is not None:
                yield key, _host_of(address)
        for index, address in enumerate(self.addresses or ()):
            yield f"addresses[{index}]", _host_of(address)
        for index, peer in enumerate(self.peers or ()):
            yield f"peers[{index}]", peer
        for key in ("postgres", "redis"):
            if (url := getattr(self, key)) is not None:
                yield key, urlsplit(url).hostname or ""


def read_targets(value: object) -> dict[str, Target]:
    """Raises InvalidPlan with the places of all problems."""
    if not isinstance(value, Mapping):
        raise InvalidPlan([Problem("", f"'{value}' is not a mapping; give each target by its name")])
    targets: dict[str, Target] = {}
    problems: list[Problem] = []
    for name, data in value.items():
        try:
            if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
                raise InvalidPlan(
                    [Problem("", f"'{name}' is no name; allowed: such as postgres or payments-db")]
                )
            target = from_mapping(Target, data)
            targets[name] = target if target.name == name else target.model_copy(update={"name": name})
        except InvalidPlan as error:
            problems += within(str(name), error.problems)
    if problems:
        raise InvalidPlan(problems)
    return targets


class Limits(Data):
    """How much of the targets may be broken at the same moment; a plan that goes beyond is refused.

    concurrent_faults: so many faults at most act at a time. targets: this share of the plan's targets at
    most has a fault at a time, one target always may.
    """

    concurrent_faults: int = Field(default=5, ge=1)
    targets: Share = 1.0


def read_limits(value: object) -> Limits:
    return from_mapping(Limits, value)


class RequestItem(Data):
    """A request of a plan without a locustfile."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: str = Field(pattern="^/")
    weight: int = Field(default=1, ge=1)
    name: str | None = Field(default=None, min_length=1)
    body: Any = Field(default=None, alias="json")
    headers: dict[str, str] = Field(default_factory=dict)


def read_request(value: object) -> Request:
    if isinstance(value, Request):
        return value
    item = from_mapping(RequestItem, value)
    headers = tuple(item.headers.items())
    return Request(item.method, item.path, item.weight, item.name, item.body, headers)


def request_to_json(request: Request) -> dict[str, Any]:
    data = {"method": request.method, "path": request.path, "weight": request.weight, "name": request.name}
    data |= {"json": request.json, "headers": dict(request.headers)}
    return {key: value for key, value in data.items() if value is not None and value != {}}


class ObjectiveItem(Data):
    """`{expect: "...", severity: warn}` or `{expect: "...", confidence: 95%}`."""

    expect: str
    severity: Severity = "error"
    confidence: Share | None = Field(default=None, lt=1)


def read_objective(value: object) -> Objective | RecoveryObjective:
    """From text or a mapping. Raises ValueError or InvalidPlan."""
    if isinstance(value, Mapping):
        if "expect" not in value:
            raise ValueError(f"'{value}' has no expect:; an objective with a colon in it has to be in quotes")
        item = from_mapping(ObjectiveItem, value)
        return parse_objective(item.expect, item.severity, item.confidence)
    if not isinstance(value, Objective | RecoveryObjective):
        return parse_objective(value)  # type: ignore[arg-type]
    if read_objective(objective_to_json(value)) != value:
        raise ValueError(f"its text does not say what it is: {value.text}")
    return value


def objective_to_json(objective: Objective | RecoveryObjective) -> str | dict[str, str]:
    data = {"expect": objective.text}
    if objective.severity != "error":
        data["severity"] = objective.severity
    if isinstance(objective, Objective) and objective.confidence is not None:
        data["confidence"] = format_share(objective.confidence)
    return objective.text if len(data) == 1 else data


def named_slo(name: str) -> tuple[Objective | RecoveryObjective, ...]:
    return tuple(parse_objective(text) for text in SLOS[name])
