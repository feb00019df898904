"""Users by weight, the classes made of a plan's requests, and load shapes as classes."""

from __future__ import annotations

import pytest
from locust import FastHttpUser, User, task
from locust.env import Environment
from locust.util.load_locustfile import is_shape_class

from chaos_locust.errors import ChaosError, InvalidPlan
from chaos_locust.locust_plugin import shapes
from chaos_locust.locust_plugin.clients import Clients, default_timeouts
from chaos_locust.locust_plugin.recorder import Recorder
from chaos_locust.locust_plugin.shapes import PlanShape, RampShape, SpikeShape, StepsShape, user_changes
from chaos_locust.locust_plugin.users import choose_classes, first_users, make_user_class, undrivable
from chaos_locust.measure.histogram import Layout
from chaos_locust.plan.load import Load, Request, Step


class Many(User):
    weight = 3


class Few(User):
    weight = 1


class Fixed(User):
    fixed_count = 2


def load(workload: str, *levels: tuple[float, float, float]) -> Load:
    steps, starts_s = [], 0.0
    for number, (duration_s, start, end) in enumerate(levels):
        steps.append(Step(f"step-{number}", starts_s, duration_s, start, end))
        starts_s += duration_s
    return Load(workload, "steps", tuple(steps))  # type: ignore[arg-type]


def test_the_pool_grows_by_weight_and_leaves_fixed_counts_alone() -> None:
    counts = {"Many": 0, "Few": 0, "Fixed": 2}
    for _ in range(20):
        for name, more in choose_classes([Many, Few, Fixed], counts, 2).items():
            counts[name] += more
    assert counts == {"Many": 30, "Few": 10, "Fixed": 2}
    assert choose_classes([Fixed], {"Fixed": 2}, 5) == {}


def test_the_pool_starts_small() -> None:
    assert first_users(load("open", (10, 20, 20)), [Many]) == 10
    assert first_users(load("open", (10, 20, 500)), [Many]) == 125
    assert first_users(Load("open", "steps", (Step("s", 0, 10, 500, 500),), max_users=50), [Many]) == 50


def test_a_user_with_a_loop_of_its_own_cannot_be_driven() -> None:
    class Own(User):
        def run(self) -> None: ...  # type: ignore[misc]

    (problem,) = undrivable([Many, Own])
    assert problem.place == "Own"


def test_a_plans_requests_make_a_user_class() -> None:
    made = make_user_class(
        [Request("GET", "/a", weight=3), Request("POST", "/b/7", name="/b/[id]", json={"x": 1})],
        "http://host",
    )
    assert issubclass(made, FastHttpUser)
    assert made.host == "http://host"
    assert [task.__name__ for task in made.tasks] == ["GET /a"] * 3 + ["POST /b/[id]"]


def test_time_outs_of_the_locustfile_count_more_than_the_plans() -> None:
    class Plain(FastHttpUser):
        @task
        def t(self) -> None: ...

    class Own(FastHttpUser):
        network_timeout = 77.0

    class Child(Own): ...

    with default_timeouts([Plain, Own, Child], 5.0):
        assert (Plain.network_timeout, Plain.connection_timeout) == (5.0, 5.0)
        assert (Own.network_timeout, Own.connection_timeout) == (77.0, 5.0)
        assert (Child.network_timeout, Child.connection_timeout) == (77.0, 5.0)
        assert FastHttpUser.network_timeout == 60.0
    assert "network_timeout" not in vars(Plain)
    assert Own.connection_timeout == 60.0
    assert "connection_timeout" not in vars(Child)


def test_only_subclasses_of_our_shapes_are_shapes_of_a_locustfile() -> None:
    class Mine(SpikeShape):
        base, peak, before, for_, after = "10/s", "100/s", "10s", "20s", "30s"

    assert is_shape_class(Mine)
    for name in (
        "PlanShape",
        "LoadShape",
        "StepsShape",
        "RampShape",
        "SpikeShape",
        "SoakShape",
        "StressShape",
    ):
        assert not is_shape_class(getattr(shapes, name)), name


def test_a_shapes_attributes_are_its_load() -> None:
    class Spike(SpikeShape):
        base, peak, before, for_, after = "10/s", "100/s", "10s", "20s", "30s"
        max_users = 50
        drop_after = "500ms"
        arrivals = "poisson"

    spike = Spike().load
    assert [(s.starts_s, s.duration_s, s.start_level) for s in spike.steps] == [
        (0, 10, 10), (10, 20, 100), (30, 30, 10),
    ]  # fmt: skip
    assert (spike.shape, spike.max_users, spike.drop_after_s, spike.arrivals) == ("spike", 50, 0.5, "poisson")

    class Ramp(RampShape):
        from_, to, for_ = 10, 50, "40s"

    assert Ramp().load.workload == "closed"

    class Steps(StepsShape):
        steps = [{"step": "base", "rate": "50/s", "for": "60s"}]  # noqa: RUF012

    assert Steps().load.duration_s == 60


def test_a_wrong_attribute_is_named() -> None:
    class Wrong(SpikeShape):
        base, peak, before, for_, after = "10/s", "fast", "10s", "20s", "30s"

    with pytest.raises(InvalidPlan, match=r"Wrong.*peak.*fast"):
        _ = Wrong().load


def test_a_shape_runs_everything_in_one_tick() -> None:
    driven = []
    assert PlanShape(lambda: driven.append(1)).tick() is None  # type: ignore[func-returns-value]
    assert driven == [1]
    with pytest.raises(ChaosError, match="register"):
        PlanShape().tick()


def test_users_change_at_the_boundaries_and_one_by_one_in_a_ramp() -> None:
    changes = list(user_changes(load("closed", (10, 5, 5), (10, 5, 15), (5, 3, 3))))
    assert changes[0] == (0.0, 5)
    assert changes[1] == (10.0, 5)
    assert [users for _, users in changes[2:-1]] == list(range(6, 16))
    assert [t_s for t_s, _ in changes[2:-1]] == [10.5 + turn for turn in range(10)]
    assert changes[-1] == (20.0, 3)
    steep = list(user_changes(load("closed", (2, 0, 1000))))
    assert len(steep) == 9
    assert steep[-1][1] == 1000


def test_what_has_no_end_when_the_run_is_over_is_unanswered() -> None:
    recorder = Recorder(Layout(()), lambda: 0.0)
    clients = Clients(recorder, 1.0)
    recorder.offer(0.0)
    arrival = recorder.take(0.0)
    clients.begin_task(Many(Environment()), arrival)
    recorder.send("GET /", arrival)
    clients.give_up()
    windows = recorder.take_changes()
    assert windows[0, ""].unanswered == windows[0, "GET /"].unanswered == 1
    assert all(window.in_flight == 0 for window in windows.values())
