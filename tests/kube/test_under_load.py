"""A pod dies under 200 requests a second: with three of them users are served, with none they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.servers.kubernetes_rig import IMAGE, namespace, until
from tests.servers.kubernetes_run import environment, run


@pytest.mark.parametrize(("replicas", "count", "code"), [(3, 1, 0), (3, "all", 3), (1, "all", 3)])
def test_pods_are_killed(api: Any, tmp_path: Path, replicas: int, count: Any, code: int) -> None:
    """All pods gone is far longer without an answer than a single one of three."""
    with namespace(api) as space:
        space.apply("deployment", "web", replicas, {"requests": {"cpu": "20m"}})
        plan = environment(
            space,
            space.service(),
            load=[{"step": "base", "rate": "200/s", "for": "35s"}],
            baseline="10s",
            faults=[{"name": "kill", "kind": "pod_kill", "target": "web", "count": count, "at": "15s"}],
            objectives=["error_rate < 3% during run", "outage < 10s during kill"],
        )
        done = run(space, tmp_path, plan)
        assert done.code == code, done.told
        assert done.outcome("the effect of kill was seen") == "UPHELD", done.verdict["findings"]
        assert done.outcome("error_rate < 3% during run") == ("DEVIATED" if code else "UPHELD")
        (fault,) = done.verdict["faults"]
        assert fault["recovery"], "when users were served again is known"
        assert fault["ready_again_s"] is not None, "and when as many pods were ready again"
        for told in ("recovered in", "as many pods ready as before", "Pods of web", "outage"):
            assert told in done.report, told
        until(lambda: space.is_whole(replicas=replicas), "all pods are ready again")
        assert space.marked() == []


@pytest.mark.parametrize("enforced", [True, False])
def test_a_partition_is_judged_by_its_effect(api: Any, tmp_path: Path, enforced: bool) -> None:
    """Where another policy allows everything, as where nothing enforces policies, it is no pass."""
    allow = {
        "metadata": {"name": "allow-all"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]},
    }
    cut = {"name": "cut", "kind": "pod_partition", "target": "web", "port": 8080, "image": IMAGE}
    with namespace(api) as space:
        space.apply("deployment", "web", 3, {"requests": {"cpu": "20m"}})
        if not enforced:
            space.ask("POST", "/apis/networking.k8s.io/v1/{ns}/networkpolicies", allow)
        plan = environment(
            space,
            space.service(),
            load=[{"step": "base", "rate": "40/s", "for": "60s"}],
            baseline="10s",
            faults=[{**cut, "at": "16s", "for": "12s"}],
            objectives=["error_rate < 2% during baseline", "recovery < 15s after cut ends"],
        )
        done = run(space, tmp_path, plan)
        assert done.code == (0 if enforced else 4), done.told
        seen = done.outcome("the effect of cut was seen")
        assert seen == ("UPHELD" if enforced else "INCONCLUSIVE"), done.verdict["findings"]
        if not enforced:
            assert "no network enforces the policy" in done.verdict["faults"][0]["effect"]
        until(lambda: space.marked() == [], "nothing of it is left")
