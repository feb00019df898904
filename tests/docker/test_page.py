"""Commands of docs/running-in-kubernetes.md that need a cluster or a registry: what they name is there."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.docker.images import ROOT, TAGS
from tests.docker.test_compose import SERVICES
from tests.docker.test_manifests import OBJECTS, WITH_PODS, pod
from tests.docs.pages import blocks_of

PAGE = ROOT / "docs" / "running-in-kubernetes.md"
COMMANDS = [
    line for block in blocks_of(PAGE) if block.language == "console" for line in block.text.splitlines()
]


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_names_is_there(command: str) -> None:
    words = shlex.split(command)
    match words:
        case ["docker", "build", *_]:
            target = value(words, "--target") if "--target" in words else "chaos-locust"
            assert value(words, "--tag") == TAGS[target]
            assert f" AS {target}\n" in (ROOT / value(words, "--file")).read_text()
        case ["docker", "compose", "--file", file, *rest]:
            assert (ROOT / file).is_file()
            service = rest[-1] if rest[0] == "up" else rest[1].partition(":")[0]
            assert service in SERVICES
        case ["kubectl", "apply", "--kustomize", folder]:
            assert (ROOT / folder / "kustomization.yaml").is_file()
        case ["kubectl", "--namespace", "shop", "create", "secret", "generic", name, *literals]:
            pods = [pod(each) for each in WITH_PODS]
            used = {
                (ref["name"], ref["key"])
                for each in pods
                for variable in each["containers"][0].get("env", [])
                if (ref := variable.get("valueFrom", {}).get("secretKeyRef"))
            }
            given = {re.split("[=]", each)[1] for each in literals if each.startswith("--from-literal=")}
            assert used == {(name, key) for key in given}
        case ["kubectl", "--namespace", "shop", *_, what] if "/" in what:
            kind, name = what.split("/")
            assert f"{kind.capitalize()} {name}" in OBJECTS
        case _:
            assert words == ["kubectl", "create", "namespace", "shop"]


def test_the_last_line_of_a_dockerfile_is_its_default() -> None:
    """`docker build` without --target makes the last stage."""
    stages = re.findall(r"^FROM .* AS (\S+)$", (ROOT / "docker" / "Dockerfile").read_text(), re.M)
    assert stages[-1] == "chaos-locust"
