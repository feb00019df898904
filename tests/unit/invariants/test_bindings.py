"""What `--target` may name, and what is said where it names nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from invariants.bindings import SCHEMES, Bound, InvalidTarget, bindings_of

MODULE = """
from invariants import Target
from invariants.bindings import Bound

class Orders(Target):
    mine = Target()

orders = Orders()
bindings = {"queue_never_loses_messages": Bound(orders, iterations=7), "money_is_conserved": orders}
wrong = {"queue_never_loses_messages": 7}
number = 7

def made():
    return bindings

def unlucky():
    import no_such_module
"""
QUEUE = "queue_never_loses_messages"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module `bound_here` in the working directory, which is not on the path."""
    (tmp_path / "bound_here.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("bound_here", None)


@pytest.mark.parametrize("spec", ["bound_here:bindings", "bound_here:made"])
def test_a_mapping_and_a_function_that_gives_one(spec: str) -> None:
    bindings = bindings_of(spec)
    assert set(bindings) == {QUEUE, "money_is_conserved"}
    assert bindings[QUEUE].iterations == 7
    assert bindings["money_is_conserved"] == Bound(bindings[QUEUE].target)


@pytest.mark.parametrize("spec", ["bound_here:orders", "bound_here:Orders", "bound_here:Orders.mine"])
def test_one_target_is_for_what_is_asked(spec: str) -> None:
    assert list(bindings_of(spec, [QUEUE])) == [QUEUE]
    with pytest.raises(InvalidTarget, match="name the invariants that it is for, or give a mapping"):
        bindings_of(spec)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("orders", "allowed are shop, a URL such as redis://127.0.0.1:6379, or module:attribute"),
        ("bound_here:", "module:attribute"),
        ("mysql://root@localhost", "URLs of firestore, postgres, postgresql, redis, rediss, valkey"),
        ("no_such_module:x", "no_such_module cannot be imported"),
        ("bound_here:nothing", "there is no nothing in bound_here"),
        ("bound_here:Orders.nothing", "there is no Orders.nothing in bound_here"),
        ("bound_here:number", "it is a int; allowed are a Target and a mapping"),
        ("bound_here:wrong", "queue_never_loses_messages is a int; allowed are a Target and a Bound"),
    ],
)
def test_what_is_no_target_is_told(spec: str, says: str) -> None:
    with pytest.raises(InvalidTarget) as refused:
        bindings_of(spec)
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"--target {spec}: ")


def test_a_password_is_not_told() -> None:
    with pytest.raises(InvalidTarget) as refused:
        bindings_of("mysql://root:geheim@localhost")
    assert "geheim" not in str(refused.value)
    assert "mysql://root:***@localhost" in str(refused.value)


@pytest.mark.parametrize("file", sorted(set(SCHEMES.values())))
def test_every_kind_of_url_has_its_bindings(file: str) -> None:
    assert callable(import_module(f"invariants.targets.{file}").bindings)


def test_the_shop_binds_only_what_there_is() -> None:
    from invariants.catalogue import names

    bindings = bindings_of("shop")
    assert bindings
    assert set(bindings) <= set(names())
