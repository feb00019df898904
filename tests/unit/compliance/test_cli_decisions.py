"""`compliance attest` and `waive`: an entry is added, nothing else is touched, mistakes are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.cli.app import run
from chaos_locust.errors import ChaosError
from chaos_locust.plan.documents import read_yaml
from compliance.catalogue import load
from compliance.decisions import read_decisions
from compliance.outputs.decided import added
from compliance.trail import verify

WRITTEN = """\
# ours; see the handbook
attestations:
# the oldest first
- framework: soc2   # of 2022
  controls: [CC1.1]
  statement: "Read: by all"
  owner: Ada
  approver: Bob
  decided_on: 2029-01-01
  expires_on: 2039-01-01

# accepted
waivers: []   # none yet
plans:
    -   framework: soc2
        controls: [CC6.1]
        statement: x
        owner: Ada
        approver: Bob
        decided_on: 2029-01-01
        expires_on: 2039-01-01
"""
NEW = {"framework": "soc2", "controls": ["CC1.2"], "statement": "It is: so # really", "owner": "Üte"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def decide(command: str, *controls: str, **more: str) -> int:
    given = {
        "framework": "soc2", "statement": "The board met.", "owner": "Ada", "approver": "Bob",
        "expires": "2099-12-31",
    } | more  # fmt: skip
    options = [text for name, value in given.items() for text in (f"--{name}", value)]
    return run(["compliance", command, *controls, *options])


def known(framework: str) -> frozenset[str]:
    return frozenset(load(framework).controls)


def test_a_new_file_is_made_and_the_trail_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert decide("attest", "CC1.1", "CC1.2") == 0
    assert decide("waive", "CC6.1") == 0
    kinds = [each.kind for each in read_decisions(Path("decisions.yaml"), known)]
    assert kinds == ["attestation", "waiver"]
    assert verify(Path("results/trail.jsonl")).wrong == ()
    entries = [json.loads(line) for line in Path("results/trail.jsonl").read_text().splitlines()]
    assert [each["kind"] for each in entries] == ["attestation", "waiver"]
    assert "soc2 CC1.1, CC1.2: The board met. (Ada, approved by Bob)" in entries[0]["summary"]
    assert entries[1]["hash"] in capsys.readouterr().out


def test_the_hash_of_the_evidence_is_taken(tmp_path: Path) -> None:
    (tmp_path / "minutes.pdf").write_bytes(b"%PDF")
    (tmp_path / "kept").mkdir()
    assert decide("attest", "CC1.2", evidence="minutes.pdf", decisions="kept/decisions.yaml") == 0
    (one,) = read_decisions(Path("kept/decisions.yaml"), known)
    assert one.item.evidence == "../minutes.pdf"
    assert one.item.sha256 == hashlib.sha256(b"%PDF").hexdigest()


@pytest.mark.parametrize("section", ["attestations", "waivers", "plans", "exclusions"])
def test_comments_and_layout_stay(section: str) -> None:
    after = added(WRITTEN, section, NEW)
    data = read_yaml(after)
    assert data[section][-1] == NEW
    rest = [line for line in after.splitlines() if line.strip()]
    for line in WRITTEN.replace(
        "waivers: []", "waivers:" if section == "waivers" else "waivers: []"
    ).splitlines():
        if line.strip():
            assert line in rest
    assert [line for line in rest if line.startswith("#")] == [
        line for line in WRITTEN.splitlines() if line.startswith("#")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "attestations:\n",
        "attestations: null\n",
        "attestations:\n  # indented\n\n  - {framework: soc2}\n\n# the end\n",
        "attestations:\n- {a: 1}",
        "plans:\n  - a: 1\nattestations: [ ]\n",
        "attestations:\n-\n  a: |\n    text\n\n    more\nplans: []\n",
    ],
)
def test_every_layout(text: str) -> None:
    before = read_yaml(text) or {}
    after = read_yaml(added(text, "attestations", NEW))
    assert after == {**before, "attestations": [*(before.get("attestations") or []), NEW]}


@pytest.mark.parametrize(
    "text",
    [
        "attestations: [{a: 1}]\n",
        "attestations: >\n  - x\n",
        "attestations: &a\n- a: 1\nplans: *a\n",
        "attestations:\n- a: 1\n- |+\n  x\n\n# c\n",
        "{attestations: []}\n",
        "- a\n",
        "attestations: {\n",
        "a: 1\n---\nb: 2\n",
    ],
)
def test_a_layout_that_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(ChaosError, match=r"file of decisions|list of lines"):
        added(text, "attestations", NEW)


@given(st.text(st.characters(exclude_categories=("C",), exclude_characters="\ue000"), min_size=1))
def test_any_statement_comes_back_as_it_was(statement: str) -> None:
    if "$" not in statement:  # a variable is put in when the file is read
        data = {**NEW, "statement": statement}
        assert read_yaml(added(WRITTEN, "waivers", data))["waivers"] == [data]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"approver": "ada"}, "approver: 'ada' is the owner"),
        ({"expires": "2020-01-01"}, "expires_on: '2020-01-01' is before decided_on"),
        ({"expires": "soon"}, "expires_on"),
        ({"framework": "soc3"}, "there is no framework 'soc3'; did you mean soc2?"),
        ({"evidence": "none.pdf"}, "--evidence: there is no file none.pdf"),
        ({"statement": ""}, "statement"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_written(
    more: dict[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "decisions.yaml").write_text(WRITTEN)
    assert decide("attest", "CC1.2", **more) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["decisions.yaml"]
    assert (tmp_path / "decisions.yaml").read_text() == WRITTEN


def test_an_unknown_control_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert decide("waive", "CC6.11") == 2
    assert "soc2 has no control 'CC6.11'; did you mean CC6.1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
