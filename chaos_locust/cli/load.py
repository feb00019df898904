"""`chaos-locust load URL`: a load test without a locustfile and without a plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.finished_run import run_in_sight
from chaos_locust.load_test.builder import LoadTest
from chaos_locust.load_test.profiles import Kind
from chaos_locust.load_test.requests import read_requests
from chaos_locust.units import parse_duration, parse_share

BOTH = "Where neither limit is given: 100ms and 1%."
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def load(
    url: Annotated[str, typer.Argument(help="What is under load; its path is what is asked for.")],
    type: Annotated[Kind, typer.Option(help="The profile.")] = Kind.RAMP_UP,
    peak_rps: Annotated[float, typer.Option(help="The highest rate, in requests/s.")] = 100.0,
    initial_rps: Annotated[float | None, typer.Option(help="Where it begins; by default 10.")] = None,
    duration: Annotated[str, typer.Option(help="Seconds, or with a unit, such as 5min.")] = "",
    fail_if_p99_exceeds: Annotated[
        str, typer.Option(help="In ms, or with a unit; 100ms and 1% where neither is given.")
    ] = "",
    fail_if_error_rate_exceeds: Annotated[str, typer.Option(help="A share, such as 1% or 0.01.")] = "",
    read_write_ratio: Annotated[str, typer.Option(help="Of the requests, such as 80:20.")] = "",
    requests: Annotated[Path | None, typer.Option(help="HAR, OpenAPI, or a list as in a plan.")] = None,
    faults: Annotated[Path | None, typer.Option(help="YAML: targets and faults, as in a plan.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="So many worker processes generate the load.")] = 0,
    results: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("results"),
) -> None:
    """Put a URL under load. The exit code is the verdict: 0 upheld, 3 deviated, 4 inconclusive."""
    test = LoadTest(url).with_profile(type, peak_rps, initial_rps)
    if duration:
        test = test.with_duration(_duration_s("--duration", duration, "s"))
    if requests is not None:
        found, left = read_requests(requests, url)
        for each in left:
            typer.echo(f"chaos-locust: {requests}: left out: {each}", err=True)
        test = test.with_requests(found)
    if read_write_ratio:
        test = test.with_read_write_ratio(*_ratio(read_write_ratio))
    if faults is not None:
        test = test.with_faults(faults)
    p99_s = _duration_s("--fail-if-p99-exceeds", fail_if_p99_exceeds, "ms") if fail_if_p99_exceeds else None
    share = _share(fail_if_error_rate_exceeds) if fail_if_error_rate_exceeds else None
    if p99_s is not None or share is not None:
        test = test.with_limits(None if p99_s is None else p99_s * 1000, share)
    raise typer.Exit(run_in_sight(test.plan(), results, workers))


def _duration_s(option: str, text: str, unit: str) -> float:
    try:
        return parse_duration(text + unit if _NUMBER.fullmatch(text) else text)
    except ValueError as error:
        raise InvalidPlan([Problem(option, str(error))]) from None


def _share(text: str) -> float:
    try:
        return parse_share(float(text) if _NUMBER.fullmatch(text) else text)
    except ValueError as error:
        raise InvalidPlan([Problem("--fail-if-error-rate-exceeds", str(error))]) from None


def _ratio(text: str) -> tuple[float, float]:
    shares = text.split(":")
    if len(shares) != 2 or not all(_NUMBER.fullmatch(each) for each in shares):
        raise InvalidPlan(
            [Problem("--read-write-ratio", f"'{text}' is not allowed; give two shares, such as 80:20")]
        )
    return float(shares[0]), float(shares[1])
