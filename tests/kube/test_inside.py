"""What processes of ours in containers do there, seen from within, and that they end with nobody's help."""

from __future__ import annotations

import pytest

from tests.servers.kubernetes_rig import SCRATCH, Rig, Space, until


@pytest.fixture(autouse=True)
def whole(space: Space) -> None:
    until(space.is_whole, "all pods are ready")


def victim(rig: Rig) -> str:
    return str(rig.undo["victims"][0]["name"])


def test_a_full_disk_refuses_a_write(space: Space) -> None:
    write = f"dd if=/dev/zero of={SCRATCH}/x bs=1000 count=3000 2>&1 && echo done; rm -f {SCRATCH}/x"
    rig = Rig(space, "pod_disk_full", size="1GB", leave="1MB")
    rig.inject()
    try:
        until(lambda: rig.effect().mechanism, "it is full")
        assert "No space left" in space.run(victim(rig), write)
        assert space.run(victim(rig), f"ls -A {SCRATCH}") == "", "what fills it has no name"
    finally:
        rig.revert()
    assert "done" in space.run(victim(rig), write)


def test_memory_is_that_of_the_container(space: Space) -> None:
    used = "cat /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory.current 2>/dev/null"
    rig = Rig(space, "pod_memory_pressure", level="75%", size=None)
    rig.inject()
    try:
        until(lambda: rig.effect().mechanism, "it is held")
        assert int(space.run(victim(rig), used)) >= 0.7 * 64 * 1024 * 1024, "of its limit"
    finally:
        rig.revert()
    until(lambda: int(space.run(victim(rig), used)) < 0.5 * 64 * 1024 * 1024, "it is free again")
    assert not any(pod["status"]["containerStatuses"][0]["restartCount"] for pod in space.pods())


@pytest.mark.parametrize("kind", ["pod_cpu_pressure", "pod_memory_pressure", "pod_disk_full"])
def test_they_end_though_nobody_ends_them(space: Space, kind: str) -> None:
    """As when the run and its guardian are dead: 15 s after the fault's time."""
    rig = Rig(space, kind, run_id=f"alone-{space.name}", **{"for": "1s"})
    rig.inject()
    assert space.ours_inside() == [victim(rig)]
    until(lambda: space.ours_inside() == [], "they have ended")
    (undo,) = rig.scan()
    rig.backend.revert(undo)
    assert rig.backend.verify(rig.undo)
    assert space.marked() == []


def test_too_much_is_refused(space: Space) -> None:
    (told,) = Rig(space, "pod_memory_pressure", size="64MiB").problems()
    assert "size: 67 MB would be taken" in told
    (told,) = Rig(space, "pod_disk_full", path="/no/such").problems()
    assert "/no/such is no folder there that may be written to" in told
    (told,) = Rig(space, "pod_disk_full", leave="8MiB").problems()
    assert f"are free at {SCRATCH} of" in told
    assert space.marked() == []
