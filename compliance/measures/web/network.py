"""Which ports of the target can be reached from where the audit runs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from ipaddress import ip_address
from typing import Any, ClassVar

import psutil

from chaos_locust.errors import ChaosError
from compliance.measures.base import Beside, Measure, SideEffect, Unsupported
from compliance.site import Site, Unreachable
from compliance.target import Network, Target

CONNECT_S = 1.0
AT_ONCE = 32  # connections: a scan that is wide enough to trip an alarm, but does not fill a table of states
WELL_KNOWN = {
    21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 53: "dns", 69: "tftp", 80: "http", 110: "pop3",
    111: "rpcbind", 135: "msrpc", 139: "netbios", 143: "imap", 161: "snmp", 389: "ldap", 443: "https",
    445: "smb", 465: "smtps", 512: "rexec", 513: "rlogin", 514: "rsh", 587: "submission", 636: "ldaps",
    873: "rsync", 993: "imaps", 995: "pop3s", 1080: "socks", 1433: "sql server", 1521: "oracle",
    1883: "mqtt", 2049: "nfs", 2181: "zookeeper", 2375: "docker", 2376: "docker", 2379: "etcd", 2380: "etcd",
    3000: "grafana", 3128: "proxy", 3306: "mysql", 3389: "rdp", 4222: "nats", 4444: "selenium",
    4848: "glassfish", 5000: "registry", 5044: "logstash", 5432: "postgresql", 5601: "kibana",
    5672: "amqp", 5900: "vnc", 5984: "couchdb", 5985: "winrm", 6379: "redis", 6443: "kubernetes",
    7000: "cassandra", 7474: "neo4j", 7687: "neo4j", 8000: "http", 8080: "http", 8081: "http",
    8086: "influxdb", 8089: "locust or splunk", 8161: "activemq", 8443: "https", 8474: "toxiproxy",
    8500: "consul", 8888: "jupyter", 9000: "http", 9042: "cassandra", 9090: "prometheus", 9092: "kafka",
    9093: "alertmanager", 9100: "node exporter", 9200: "elasticsearch", 9300: "elasticsearch",
    10250: "kubelet", 10255: "kubelet", 11211: "memcached", 15672: "rabbitmq", 26379: "redis sentinel",
    27017: "mongodb", 50070: "hadoop",
}  # fmt: skip
"""What is looked for on another machine, beside what its description names: services that are often left open
by mistake."""


class Ports(Measure):
    name = "open_ports"
    says = "which ports can be reached from where the audit runs, of well-known ones and those in use"
    side_effect: ClassVar[SideEffect] = "passive"
    beside: ClassVar[Beside] = "nothing"  # bad targets of ours listen as well
    needs = ("network",)
    fields: ClassVar[Mapping[str, str]] = {
        "unexpected": "TCP ports that can be reached and are not in network.open, with what listens; on this "
        "machine every listener is tried, on others the well-known ports",
        "forbidden": "those of network.closed that can be reached; null: it names none",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.network is not None
        network = site.target.network
        if not network.allowed:
            raise Unsupported("the target does not say which ports may be reached (network.open)")
        listeners = _listeners() if _is_here(network.host) else {}
        wanted = sorted({*WELL_KNOWN, *listeners, *network.allowed, *network.forbidden})
        found = _open(network.host, wanted)
        site.note(f"{network.host}: {len(wanted)} ports tried, open: {found}")
        silent = [port for port in network.allowed if port not in found]
        if silent:  # what is down is no proof that what is to be closed is
            raise Unreachable(f"{network.host}: {silent} of network.open cannot be reached")
        listed = {*network.allowed, *network.forbidden}
        return {
            "unexpected": [_named(port, listeners) for port in found if port not in listed],
            "forbidden": [_named(port, listeners) for port in found if port in network.forbidden]
            if network.forbidden
            else None,
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """Three services, of which one may be reached, one must not be, and one is known to nobody."""
        with ExitStack() as stack:
            service, database, _ = (stack.enter_context(_listening()) for _ in range(3))
            yield Target(name="bad", network=Network(allowed=(service,), forbidden=(database,)))


def _listeners() -> dict[int, str]:
    """Ports that something on this machine listens to, with its name where that may be known. Empty where the
    system does not tell; the well-known ones are tried anyway."""
    found: dict[int, str] = {}
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return {}
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr:
            found[each.laddr.port] = _program(each.pid)
    return found


def _program(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid is not None else ""
    except psutil.Error:
        return ""


def _is_here(host: str) -> bool:
    """Whether the host is this machine. Raises Unreachable where there is no such name."""
    addresses = _addresses(host)
    own = {each.address.partition("%")[0] for several in psutil.net_if_addrs().values() for each in several}
    return any(ip_address(each).is_loopback or each in own for each in addresses)


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{host}: {error}") from None
    return {str(each[4][0]).partition("%")[0] for each in found}


def _open(host: str, ports: Sequence[int]) -> list[int]:
    """Those that can be connected to. Raises ChaosError when the audit itself is hindered: out of sockets,
    say."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        states = pool.map(lambda port: _is_open(host, port), ports)
        return [port for port, is_open in zip(ports, states, strict=True) if is_open]


def _is_open(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S) as link:
            # On loopback, a connection whose own port happens to be the one that is tried meets itself.
            return bool(link.getsockname() != link.getpeername())
    except (ConnectionError, TimeoutError):
        return False
    except OSError as error:
        if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return False
        raise ChaosError(f"{host}:{port} could not be tried: {error}") from None


def _named(port: int, listeners: Mapping[int, str]) -> str:
    name = listeners.get(port) or WELL_KNOWN.get(port)
    return f"{port} ({name})" if name else str(port)


@contextmanager
def _listening() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


MEASURES = (Ports,)
