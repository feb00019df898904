"""What is said of errors and of hostile input, against a good service, and with each thing wrong alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.web.errors import ErrorAnswers, bad_doors
from compliance.measures.web.inputs import BodySize, Injection, MalformedInput, Traversal
from compliance.measures.web.inputs_bad import Devours
from compliance.site import Unreachable
from tests.integration.compliance_judged import failed, site_of, taken
from tests.servers.certificates import certificate, server_tls
from tests.servers.small_shop import small_shop

INPUTS = (MalformedInput, Injection, Traversal, BodySize)
ALL = (ErrorAnswers, *INPUTS)


def test_a_good_service() -> None:
    with small_shop() as (target, _):
        assert {measure.name: failed(measure, target) for measure in ALL} == {
            measure.name: set() for measure in ALL
        }


def test_fewer_than_a_hundred_requests_and_nobody_is_locked_out() -> None:
    with small_shop() as (target, state):
        for measure in INPUTS:
            measure().take(site_of(target))
    assert 10 < len(state.requests) <= 100
    failed_log_ins = [each for each in state.records if each["action"] == "login" and each["outcome"] != "ok"]
    assert failed_log_ins
    assert not {each["user"] for each in failed_log_ins} & {"alice", "canary"}


@pytest.mark.parametrize(
    ("measure", "lapse", "expected"),
    [
        (ErrorAnswers, "traces", {"terse-errors", "error-form"}),
        (ErrorAnswers, "echoes", {"errors-without-passwords", "error-form"}),
        (ErrorAnswers, "repeats", {"errors-without-passwords"}),
        (ErrorAnswers, "sql-errors", {"terse-errors"}),
        (MalformedInput, "crashes", {"malformed-input"}),
        (Injection, "sql-errors", {"sql-injection"}),
        (Injection, "sql-log-in", {"sql-injection"}),
        (Injection, "obeys-sql", {"sql-injection"}),
        (Injection, "slow", set()),
        (Injection, "echoes", {"script-injection"}),
        (Injection, "repeats", set()),
        (Traversal, "gives-files", {"path-traversal"}),
        (BodySize, "unbounded-input", {"body-size"}),
        (BodySize, "takes-chunked", {"body-size"}),
    ],
)
def test_each_thing_wrong_alone(measure: Any, lapse: str, expected: set[str]) -> None:
    with small_shop(lapse) as (target, _):
        assert failed(measure, target) == expected


def test_bodies_over_tls(tmp_path: Path) -> None:
    class Refuses(BadHandler):
        def do_POST(self) -> None:
            self.close_connection = True
            self._answer(413, {"error": "too large"})

    pem = certificate(tmp_path)
    for handler, refused in ((Refuses, True), (Devours, False)):
        with bad_service(handler, server_tls(pem)) as url:
            target = bad_doors(url)
            assert target.http is not None
            trusting = target.model_copy(
                update={"http": target.http.model_copy(update={"ca": pem}), "owned": None}
            )
            assert taken(BodySize, trusting) == {
                "declared_is_refused": refused,
                "chunked_is_refused": refused,
            }


def test_a_target_that_is_busy_proves_nothing() -> None:
    class Busy(BadHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(503, {"error": "busy"})

    with bad_service(Busy) as url:
        target = bad_doors(url).model_copy(update={"owned": None})
        for measure in (MalformedInput, Injection):
            with pytest.raises(ChaosError, match="busy"):
                measure().take(site_of(target))


@pytest.mark.parametrize("measure", ALL)
def test_a_target_that_is_down_proves_nothing(measure: Any) -> None:
    with small_shop() as (target, _):
        pass
    with pytest.raises(Unreachable):
        measure().take(site_of(target))
