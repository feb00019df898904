"""docker/compose.yaml: what it names is there. No image can be pulled here, so it is read, not run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos_locust.demo.apart import PARTS, run_part
from chaos_locust.plan.documents import load_plan

FOLDER = Path(__file__).parents[2] / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = FOLDER / "compose.env.example"
OURS = [name for name, service in SERVICES.items() if "build" in service]
PASSWORDS = dict.fromkeys(re.findall(r"^(\w+)=$", EXAMPLE.read_text(), re.M), "0123456789abcdef")


def filled(text: str) -> str:
    """As compose does it."""
    found = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: PASSWORDS[match[1]], text)
    return found.replace("$$", "$")


def environment(name: str) -> dict[str, str]:
    return {key: filled(value) for key, value in SERVICES[name].get("environment", {}).items()}


def test_docker_reads_it(tmp_path: Path) -> None:
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no docker compose")
    env = tmp_path / "env"
    env.write_text("".join(f"{name}={word}\n" for name, word in PASSWORDS.items()))
    command = ["docker", "compose", "--env-file", str(env), "--file", str(FOLDER / "compose.yaml"), "config"]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_depends_on_is_there(name: str) -> None:
    wanted = SERVICES[name].get("depends_on", {})
    for other in wanted:
        assert other in SERVICES
        condition = wanted[other]["condition"] if isinstance(wanted, dict) else "service_started"
        if condition == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        elif condition == "service_completed_successfully":
            assert other == "prepare", "all others go on"


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).is_file()
            assert mount.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_ours_are_built_and_nobody_special(name: str) -> None:
    service, stages = SERVICES[name], (FOLDER / "Dockerfile").read_text()
    build = service["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).resolve() == FOLDER / "Dockerfile"
    assert f" AS {build['target']}\n" in stages
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "user" not in service, "it would be root, or a name"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_images_have_a_version(name: str) -> None:
    version = SERVICES[name]["image"].rpartition(":")[2]
    assert re.match(r"v?\d", version)


def test_ports_are_for_this_machine_alone_and_none_is_taken_twice() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_the_shop_find_each_other(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is started with what it needs, and each URL leads to a service, or through a proxy to one."""
    command, environ = SERVICES[part]["command"], environment(part)
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert command[0] == part
    started: list[tuple[int, str]] = []
    monkeypatch.setattr("chaos_locust.demo.apart.run", lambda _, port, host: started.append((port, host)))
    monkeypatch.setattr("chaos_locust.demo.apart.signal.signal", lambda *_: None)
    if part == "prepare":
        monkeypatch.setattr("chaos_locust.demo.apart._prepare", done)
    listen = options.get("--listen", "127.0.0.1:8000")
    assert run_part(part, listen, tmp_path, environ) == 0
    if part != "prepare":
        assert started == [(int(listen.split(":")[1]), "0.0.0.0")]
        health = SERVICES[part]["healthcheck"]["test"][-1]
        assert health.startswith(f"http://127.0.0.1:{started[0][0]}/health")
    for url in environ.values():
        assert leads_to(url) in SERVICES, url


async def done(*_: str) -> int:
    return 0


def leads_to(url: str) -> str:
    proxies = {
        each["listen"].split(":")[1]: each for each in json.loads((FOLDER / "toxiproxy.json").read_text())
    }
    host, _, port = url.rpartition("@")[2].removeprefix("http://").split("/")[0].partition(":")
    if host != "toxiproxy":
        return host
    upstream = str(proxies[port]["upstream"]).split(":")
    service = SERVICES[upstream[0]]
    if "build" in service:
        assert f"0.0.0.0:{upstream[1]}" in service["command"]
    return upstream[0]


def test_the_load() -> None:
    """The plan is one, its proxy is there, and the workers go to the master."""
    master, worker = environment("master"), environment("worker")
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["master"]["volumes"])
    plans = [source for source, target in mounts.items() if target == master["LOCUST_CHAOS_PLAN"]]
    plan = load_plan(FOLDER / plans[0], {})
    proxies = {each["name"] for each in json.loads((FOLDER / "toxiproxy.json").read_text())}
    assert {target.proxy for target in plan.targets.values()} <= proxies
    assert plan.proxy_api == "http://toxiproxy:8474"
    assert master["LOCUST_CHAOS_RESULTS"] in mounts.values()
    assert worker["LOCUST_MASTER_NODE_HOST"] in SERVICES
    assert int(master["LOCUST_EXPECT_WORKERS"]) == SERVICES["worker"]["deploy"]["replicas"]
    assert master["LOCUST_LOCUSTFILE"] == worker["LOCUST_LOCUSTFILE"]


def test_prometheus_asks_what_tells_metrics() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    asked = {target for job in jobs for each in job["static_configs"] for target in each["targets"]}
    assert asked == {"web:8000", "toxiproxy:8474"}
    assert "-proxy-metrics" in SERVICES["toxiproxy"]["command"]
    source = yaml.safe_load((FOLDER / "grafana" / "datasource.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


def test_no_password_is_in_a_file() -> None:
    """Each is asked for, and compose ends where one is missing."""
    text = (FOLDER / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == set(PASSWORDS)
    assert set(re.findall(r"\$\{\w+([^}\w])", text)) == {":"}
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            assert "PASSWORD" not in key or value.startswith("${"), (name, key)
