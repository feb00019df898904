"""Defects of the demo shop are searched for as users do it, by the command."""

from __future__ import annotations

import sys

from tests.servers.shop_sequences import POSTGRES_AWAY, command, run


def test_a_defect_is_found_by_the_command_and_its_test_fails_until_it_is_mended(shop, start_shop, tmp_path):
    broken = start_shop("stale-cache")
    found = command(broken, tmp_path, "run", "cache_stays_consistent", "--seed", "3", "--output", "out")
    assert found.returncode == 3, found.stdout + found.stderr
    assert "DEVIATED" in found.stdout
    (test,) = tmp_path.glob("out/*/test_cache_stays_consistent.py")
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    assert run(broken, tmp_path, pytest_).returncode == 1
    assert run(shop, tmp_path, pytest_).returncode == 0


def test_a_lost_order_is_found_only_under_the_fault_and_the_fault_is_named(start_shop, tmp_path):
    shop, queue = start_shop("lost-order"), "queue_never_loses_messages"
    # A machine that is so busy that the database does not answer in time loses orders, too.
    without = [command(shop, tmp_path, "run", queue, "--seed", "3", "--iterations", "20") for _ in range(3)]
    assert 0 in [run.returncode for run in without], without[-1].stdout
    with_ = ["--chaos-plan", str(POSTGRES_AWAY), "--iterations", "30", "--output", "with"]
    found = command(shop, tmp_path, "run", queue, "--seed", "3", *with_, "--json")
    assert found.returncode == 3, found.stdout + found.stderr
    assert '"necessary_faults":["database-away"]' in "".join(found.stdout.split())
