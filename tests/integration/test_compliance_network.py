"""Which ports are said to be reachable, of real listeners."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.base import Unsupported
from compliance.measures.web.network import Ports
from compliance.site import Site, Unreachable
from compliance.target import Network, Target


@pytest.fixture
def listeners() -> Iterator[list[int]]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield [each.getsockname()[1] for each in servers]
    for each in servers:
        each.close()


def taken(
    allowed: tuple[int, ...], forbidden: tuple[int, ...], host: str = "127.0.0.1"
) -> dict[str, list[str]]:
    network = Network(host=host, allowed=allowed, forbidden=forbidden)
    return dict(Ports().take(Site(Target(name="test", network=network), Secrets())))


def ports(named: list[str]) -> set[int]:
    return {int(each.split()[0]) for each in named}


def outcome(check: str, value: dict[str, list[str]]) -> str:
    found = checks()[check]
    return judge(found, Measurement(found.measure, "ok", value, (), "", "", 0.0), {}).answer


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_each_listener_is_told_by_what_is_said_of_it(listeners: list[int]) -> None:
    service, database, unknown = listeners
    value = taken((service,), (database, closed_port()))
    assert ports(value["forbidden"]) == {database}
    assert unknown in ports(value["unexpected"])
    assert not {service, database} & ports(value["unexpected"])
    assert outcome("network-closed-ports", value) == outcome("network-unexpected-ports", value) == "failed"


def test_what_is_closed_holds(listeners: list[int]) -> None:
    service, *others = listeners
    everything = tuple(ports(taken((service,), ())["unexpected"]))
    assert set(others) <= set(everything)
    value = taken((service, *others), (closed_port(),))
    assert outcome("network-closed-ports", value) == "held"
    assert not set(others) & ports(value["unexpected"])


def test_a_port_that_meets_itself_is_not_open(listeners: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback, a connection may be given the very port that it goes to, and be its own other end."""
    free, connect = closed_port(), socket.create_connection

    def from_itself(address: tuple[str, int], timeout: float) -> socket.socket:
        return connect(address, timeout, source_address=address if address[1] == free else None)

    monkeypatch.setattr(socket, "create_connection", from_itself)
    assert taken((listeners[0],), (free,))["forbidden"] == []


def test_without_ports_that_must_be_closed_nothing_is_said_of_them(listeners: list[int]) -> None:
    assert outcome("network-closed-ports", taken((listeners[0],), ())) == "not_known"


def test_a_target_that_is_down_says_nothing(listeners: list[int]) -> None:
    with pytest.raises(Unreachable, match=r"network\.open cannot be reached"):
        taken((listeners[0], closed_port()), ())


def test_a_host_that_is_not_there_says_nothing() -> None:
    with pytest.raises(Unreachable):
        taken((1,), (), host="nowhere.invalid")


def test_without_saying_what_may_be_open_nothing_is_judged(listeners: list[int]) -> None:
    with pytest.raises(Unsupported, match=r"network\.open"):
        taken((), (listeners[0],))
