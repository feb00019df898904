"""Every fault on containers, each on a container of its own in a Docker daemon of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.crash.cell import Case, Cell, NotHere
from tests.servers.docker import NETWORK, NoDocker, daemon, inspect, web_server

Look = Callable[[dict[str, Any]], bool]
LIMITS = ("CpuQuota", "NanoCpus", "Memory", "MemorySwap")
UNLIMITED = (0, -1, 9223372036854771712)


def cell(kind: str, acting: Look, **parameters: Any) -> Cell:
    @contextmanager
    def make() -> Iterator[Case]:
        with ExitStack() as ends:
            try:
                docker = ends.enter_context(daemon())
            except NoDocker as error:
                raise NotHere(str(error)) from None
            container = ends.enter_context(web_server(docker))

            def left() -> str:
                if kind == "container_kill":
                    return ""
                now = inspect(container)
                found = [f"{name} is {now['HostConfig'][name]}" for name in LIMITS if limited(now, name)]
                found += [f"it is {now['State']['Status']}"] if now["State"]["Status"] != "running" else []
                found += [] if NETWORK in now["NetworkSettings"]["Networks"] else ["it is off its network"]
                volumes = docker.client.volumes.list(filters={"label": "chaos-locust"})
                found += [
                    f"volume {v.name}" for v in volumes if container.id in v.attrs["Labels"]["chaos-locust"]
                ]
                return "; ".join(found)

            yield Case(
                targets={"web": {"container": container.id}},
                fault={"kind": kind, "target": "web", **parameters},
                acting=lambda: acting(inspect(container)),
                left=left,
            )

    return make


def limited(container: dict[str, Any], name: str) -> bool:
    return int(container["HostConfig"][name]) not in UNLIMITED


def down(container: dict[str, Any]) -> bool:
    return not container["State"]["Running"]


def paused(container: dict[str, Any]) -> bool:
    return bool(container["State"]["Paused"])


def off_network(container: dict[str, Any]) -> bool:
    return NETWORK not in container["NetworkSettings"]["Networks"]


CELLS: dict[str, Cell] = {
    "container_kill": cell("container_kill", down),
    "container_pause": cell("container_pause", paused),
    "container_stop": cell("container_stop", down, grace="1s"),
    "container_cpu": cell("container_cpu", lambda now: limited(now, "CpuQuota"), cpus=0.2),
    "container_memory": cell("container_memory", lambda now: limited(now, "Memory"), memory="32MiB"),
    "container_disconnect": cell("container_disconnect", off_network),
}
