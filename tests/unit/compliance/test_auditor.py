"""What an audit does at the same time, and what never: made-up measures tell what went on beside them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

import psutil
import pytest

from compliance import auditor
from compliance.auditor import Auditor
from compliance.catalogue import load
from compliance.checks import Answer, Binding, Check
from compliance.condition import Condition
from compliance.measurement import Secrets
from compliance.measures.bad import bad_service
from compliance.measures.base import Beside, Measure, SideEffect
from compliance.measures.stores.backups import Restoring
from compliance.result import AuditResult
from compliance.site import Site
from compliance.target import Account, Backups, Http, Target

PATIENCE_S = 20.0
"""Until a test gives up waiting for what goes on at the same time: only tests that fail last so long."""
CONTROL = "CC6.1"

Does = Callable[[Site], object]


def nothing(site: Site) -> None:
    """Neither waits nor tells."""


class MadeUp(Measure):
    """All is well on the target, and nothing is on the bad one."""

    says: ClassVar[str] = "whether it is fine"
    side_effect: ClassVar[SideEffect] = "passive"
    needs: ClassVar[tuple[str, ...]] = ()
    fields: ClassVar[Mapping[str, str]] = {"fine": "whether it is"}
    on_target: ClassVar[Does]
    on_bad: ClassVar[Does]

    def take(self, site: Site) -> Mapping[str, Any]:
        is_bad = site.target.name == "bad"
        said = (type(self).on_bad if is_bad else type(self).on_target)(site)
        return {"fine": not is_bad if said is None else said}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        yield Target(name="bad")


def made_up(
    name: str, on_target: Does = nothing, on_bad: Does = nothing, beside: Beside = "controls"
) -> type[Measure]:
    """What the two give back is what the measure says; None: what it has to."""
    given = {"name": name, "beside": beside}
    return type(
        name, (MadeUp,), {**given, "on_target": staticmethod(on_target), "on_bad": staticmethod(on_bad)}
    )


class Audited(Protocol):
    def __call__(self, found: Sequence[type[Measure]], target: Target | None = None) -> AuditResult: ...


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> Audited:
    """Audits by a check over each of these measures, in this order."""

    def audit(found: Sequence[type[Measure]], target: Target | None = None) -> AuditResult:
        by_name = {each.name: each for each in found}
        checks = {
            name: Check(name, name, Condition.parse("fine == true"), "It is not.", (), "high", "shop", {})
            for name in by_name
        }
        bound = {CONTROL: tuple(Binding(name, "full") for name in by_name)}
        monkeypatch.setattr(auditor, "measures", lambda: by_name)
        monkeypatch.setattr(auditor, "checks", lambda: checks)
        monkeypatch.setattr(auditor, "bindings", lambda framework: bound)
        soc2 = load("soc2")
        return Auditor(target or Target(name="shop")).audit(soc2, soc2.profile(None))

    return audit


def answers(result: AuditResult) -> dict[str, Answer]:
    (judged,) = (each for each in result.controls if each.control.id == CONTROL)
    return {each.check.id: each.answer for each in judged.outcomes}


def waits_for(event: threading.Event) -> Does:
    def wait(site: Site) -> None:
        assert event.wait(PATIENCE_S), "it did not happen at the same time"

    return wait


def meets(others: threading.Barrier) -> Does:
    def meet(site: Site) -> None:
        others.wait()

    return meet


def test_a_positive_control_goes_on_beside_the_next_measure(audited: Audited) -> None:
    taken = threading.Event()
    first = made_up("first", on_bad=waits_for(taken))
    second = made_up("second", on_target=lambda site: taken.set())
    assert answers(audited([first, second])) == {"first": "held", "second": "held"}


def test_positive_controls_go_on_beside_each_other(audited: Audited) -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)
    found = [made_up(name, on_bad=meets(both)) for name in ("first", "second")]
    assert answers(audited(found)) == {"first": "held", "second": "held"}


def test_measures_of_the_target_take_their_turns_in_the_order_of_the_registry(audited: Audited) -> None:
    now, order = threading.Lock(), []

    def turn(name: str) -> Does:
        def take(site: Site) -> None:
            assert now.acquire(blocking=False), "another was being taken"
            order.append(name)
            threading.Event().wait(0.01)
            now.release()

        return take

    names = ["z", "a", "m"]
    assert set(answers(audited([made_up(name, turn(name)) for name in names])).values()) == {"held"}
    assert order == names


def test_what_looks_at_files_is_taken_beside_everything(audited: Audited) -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)
    one = made_up("one", on_target=meets(both))
    files = made_up("files", on_target=meets(both), beside="everything")
    assert answers(audited([one, files])) == {"one": "held", "files": "held"}


def test_what_must_be_alone_is_taken_when_all_controls_have_ended(audited: Audited) -> None:
    ended = threading.Event()

    def ends(site: Site) -> None:
        threading.Event().wait(0.1)
        ended.set()

    def alone(site: Site) -> bool:
        return ended.is_set()

    found = [made_up("before", on_bad=ends), made_up("alone", on_target=alone, beside="nothing")]
    assert answers(audited(found)) == {"before": "held", "alone": "held"}


def test_what_must_be_alone_has_its_control_again_when_it_failed_in_company(audited: Audited) -> None:
    said = iter((True, False))
    found = [made_up("timed", on_bad=lambda site: next(said), beside="nothing")]
    result = audited(found)
    assert answers(result) == {"timed": "held"}
    assert result.on_bad["timed"].value == {"fine": False}


@pytest.mark.parametrize("beside", ["nothing", "controls", "everything"])
def test_a_measure_that_sees_nothing_on_the_bad_target_is_not_believed(
    audited: Audited, beside: Beside
) -> None:
    found = [made_up("blind", on_bad=lambda site: True, beside=beside), made_up("sees")]
    assert answers(audited(found)) == {"blind": "not_known", "sees": "held"}


def test_a_check_that_fails_needs_no_positive_control(audited: Audited) -> None:
    found = [made_up("wrong", on_target=lambda site: False), made_up("right")]
    result = audited(found)
    assert answers(result) == {"wrong": "failed", "right": "held"}
    assert set(result.on_bad) == {"right"}


def test_what_goes_wrong_in_one_ends_no_other(audited: Audited) -> None:
    def breaks(site: Site) -> None:
        raise OSError("no room")

    class Unmade(MadeUp):
        name = "unmade"
        on_target: ClassVar[Does] = staticmethod(nothing)

        @contextmanager
        def bad(self) -> Iterator[Target]:
            raise OSError("no port is free")
            yield

    result = audited([made_up("take", breaks), made_up("control", on_bad=breaks), Unmade, made_up("well")])
    assert answers(result) == {
        "take": "not_known", "control": "not_known", "unmade": "not_known", "well": "held"
    }  # fmt: skip
    assert result.on_bad["unmade"].reason == "OSError: no port is free"


def test_the_secrets_of_a_bad_target_are_not_blotted_out_of_the_real_ones_evidence(audited: Audited) -> None:
    known = threading.Event()

    def tells(site: Site) -> None:
        assert known.wait(PATIENCE_S)
        site.note("administrator was refused; letmein-12 as well")

    def learns(site: Site) -> None:
        site.secrets.add("administrator")
        known.set()

    account = Account(user="alice", password="letmein-12")
    found = [made_up("first", on_bad=learns), made_up("second", on_target=tells)]
    result = audited(found, Target(name="shop", accounts=(account,)))
    assert result.measurements["second"].evidence == ("administrator was refused; *** as well",)


def test_an_interrupt_ends_what_goes_on_and_what_was_started(audited: Audited, tmp_path: Path) -> None:
    """A command that restores a backup, controls that send requests for long, and one that waits for its
    turn."""
    begun, late = threading.Semaphore(0), threading.Event()
    (tmp_path / "shop.dump").write_text("all there was")
    restore = (sys.executable, "-c", f"import time; time.sleep({PATIENCE_S})")
    target = Target(name="shop", backups=Backups(folder=tmp_path, restore=restore))
    before = {each.pid for each in psutil.Process().children()}

    def restored(site: Site) -> None:
        begun.release()
        Restoring().take(site)
        late.set()

    def asks(site: Site) -> None:
        with bad_service() as url:
            there = Site(Target(name="bad", http=Http(url=url)), site.secrets, over=site.over)
            begun.release()
            until_s = time.monotonic() + PATIENCE_S
            while time.monotonic() < until_s:
                there.request("GET", "/")
            late.set()

    def interrupts(site: Site) -> None:
        for _ in range(auditor.AT_ONCE):
            assert begun.acquire(timeout=PATIENCE_S)
        raise KeyboardInterrupt

    controls = [made_up(f"asks{number}", on_bad=asks) for number in range(auditor.AT_ONCE - 1)]
    found = [
        made_up("restored", restored, beside="everything"),
        *controls,
        made_up("waiting", on_bad=lambda site: late.set()),
        made_up("interrupted", interrupts),
    ]
    with pytest.raises(KeyboardInterrupt):
        audited(found, target)
    assert {each.pid for each in psutil.Process().children()} == before
    assert not [each for each in threading.enumerate() if each.name.startswith("positive-control")]
    assert not late.is_set()


def test_secrets_may_become_known_while_others_are_blotted_out() -> None:
    secrets, ended = Secrets(), threading.Event()
    for number in range(20_000):
        secrets.add(f"secret-{number}")

    def learn() -> None:
        number = 20_000
        while not ended.is_set():
            number += 1
            secrets.add(f"secret-{number}")

    learner = threading.Thread(target=learn)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    learner.start()
    try:
        said = [secrets.redacted(f"a secret-{number} b") for number in range(5)]
    finally:
        ended.set()
        learner.join()
        sys.setswitchinterval(interval_s)
    assert said == ["a *** b"] * 5
