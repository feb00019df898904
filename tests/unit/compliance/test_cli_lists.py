"""`compliance list` and `explain`: every control, and what tells of it."""

from __future__ import annotations

import pytest

from chaos_locust.cli.app import run
from compliance.catalogue import FRAMEWORKS, load
from compliance.checks import bindings, checks


def test_the_frameworks_with_their_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compliance", "list"]) == 0
    told = capsys.readouterr().out
    for name in FRAMEWORKS:
        for profile in load(name).profiles.values():
            assert f"{profile.title}: {len(profile.controls)} controls" in told


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_control_with_its_checks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compliance", "list", "--framework", name]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    bound = bindings(name)
    for control in load(name).controls.values():
        (line,) = [each for each in lines if each.split(" ")[0] == control.id]
        told = {each.strip().removesuffix("~") for each in line.rpartition(": ")[2].split(",")}
        assert told == ({each.check for each in bound.get(control.id, ())} or {"attestation"})


def test_a_control_is_explained_in_every_framework_that_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compliance", "explain", "SC-8"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("fisma SC-8: ")
    assert "\nfedramp SC-8: " in told
    for binding in bindings("fisma")["SC-8"]:
        assert f"  {binding.check}: sees {'all' if binding.coverage == 'full' else 'a part'}" in told
        assert checks()[binding.check].remediation[0].split()[0] in told
    assert "params.tls_min of moderate: 1.2 (" in told


def test_only_of_one_framework(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compliance", "explain", "SC-8", "--framework", "fedramp"]) == 0
    assert capsys.readouterr().out.startswith("fedramp SC-8: ")


def test_one_that_nothing_can_measure_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compliance", "explain", "CC1.1"]) == 0
    assert "it needs an attestation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["explain", "SC-88"], "no framework has a control 'SC-88'; did you mean "),
        (["explain", "cc6.1"], "did you mean CC6.1"),
        (["explain", "SC-8", "--framework", "soc2"], "soc2 has no control 'SC-8'"),
        (["list", "--framework", "sox"], "there is no framework 'sox'"),
    ],
)
def test_what_there_is_none_of(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compliance", *arguments]) == 2
    assert told in capsys.readouterr().err
