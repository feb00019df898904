"""Sees every request of a run from its sending on: Locust tells only of those that have ended.

Locust's own clients are wrapped for the time of a run; others are seen when they fire `request`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gevent import GreenletExit, getcurrent
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession, FastHttpUser
from locust.env import Environment
from locust.user import User
from requests import PreparedRequest
from requests.exceptions import RequestException
from requests.sessions import merge_setting

from chaos_locust.locust_plugin.lean.session import LeanHttpSession
from chaos_locust.locust_plugin.lean.user import LeanHttpUser
from chaos_locust.locust_plugin.operations import request_failed
from chaos_locust.locust_plugin.recorder import Arrival, Flight, Recorder

_FLIGHT = "_chaos_flight"
_UNREPORTED = "_chaos_unreported"
_ARRIVAL = "_chaos_arrival"
_MAX_PATHS = 10_000

Request = Callable[..., Any]


class Clients:
    """The requests of one run in one process. `watch` is to be active while its users run."""

    def __init__(self, recorder: Recorder, timeout_s: float) -> None:
        self._recorder = recorder
        self._timeout_s = timeout_s
        self._calls: dict[Any, Flight] = {}
        self._arrivals: dict[Any, Arrival] = {}
        self._paths: dict[str, str] = {}

    @contextmanager
    def watch(self, environment: Environment) -> Iterator[None]:
        """Wraps Locust's clients and listens; puts everything back at the end."""
        originals: list[tuple[type, Request]] = [
            (HttpSession, HttpSession.request),
            (FastHttpSession, FastHttpSession.request),
            (LeanHttpSession, LeanHttpSession.request),
        ]
        HttpSession.request = self._wrapped(HttpSession.request, self._http_name, self._timeout_s)  # type: ignore[method-assign]
        FastHttpSession.request = self._wrapped(FastHttpSession.request, _fast_name, None)  # type: ignore[method-assign]
        LeanHttpSession.request = self._wrapped(LeanHttpSession.request, _fast_name, None)  # type: ignore[method-assign]
        environment.events.request.add_listener(self._on_request)
        try:
            yield
        finally:
            environment.events.request.remove_listener(self._on_request)
            for session, original in originals:
                session.request = original  # type: ignore[attr-defined]

    def begin_task(self, user: User, arrival: Arrival) -> None:
        """From now on the user's requests belong to the arrival."""
        user.__dict__[_ARRIVAL] = arrival
        self._arrivals[getcurrent()] = arrival

    def in_task(self, user: User) -> bool:
        """Is the user doing something for an arrival?"""
        return _ARRIVAL in user.__dict__

    def end_task(self, user: User, error: BaseException | None) -> None:
        """The user's task has ended. What it asked to check itself (`catch_response`), but never did, is
        settled as Locust does by default: by the answer, or by the error that ended the task."""
        self._arrivals.pop(getcurrent(), None)
        user.__dict__.pop(_ARRIVAL, None)
        for flight, response in user.__dict__.pop(_UNREPORTED, ()):
            if not flight.over:
                service_s = response.request_meta["response_time"] / 1000
                self._recorder.answer(flight, flight.name, service_s, error or _error_of(response))

    def give_up(self) -> None:
        """The run is over: what still has no end will not get one."""
        for flight in list(self._recorder.flights):
            self._recorder.give_up(flight)
        for arrival in self._arrivals.values():
            self._recorder.abandon(arrival)
        self._arrivals.clear()

    # -- inside -----------------------------------------------------------------------------------

    def _wrapped(self, original: Request, name_of: Callable[..., str], timeout_s: float | None) -> Request:
        recorder, calls = self._recorder, self._calls

        def request(
            session: Any, method: str, url: str, name: str | None = None, *args: Any, **kwargs: Any
        ) -> Any:
            if timeout_s is not None and "timeout" not in kwargs:
                kwargs["timeout"] = timeout_s
            user = session.user
            arrival = user.__dict__.get(_ARRIVAL) if user is not None else None
            flight = recorder.send(f"{method} {name_of(session, url, name, kwargs)}", arrival)
            caller = getcurrent()
            outer = calls.get(caller)
            calls[caller] = flight
            try:
                response = original(session, method, url, name, *args, **kwargs)
            except GreenletExit:  # the user is killed in mid-flight
                recorder.give_up(flight)
                raise
            except BaseException as error:
                recorder.answer(flight, flight.name, None, error)
                raise
            finally:
                if outer is None:
                    del calls[caller]
                else:
                    calls[caller] = outer
            if not flight.over:  # `catch_response`: the task decides later whether it is ok
                response.request_meta["response"].__dict__[_FLIGHT] = flight
                if user is not None:
                    user.__dict__.setdefault(_UNREPORTED, []).append((flight, response))
            return response

        return request

    def _on_request(
        self,
        request_type: str,
        name: str,
        response_time: float | None,
        exception: BaseException | None = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        if exception is not None:
            request_failed(exception)
        flight = getattr(response, _FLIGHT, None) or self._calls.get(getcurrent())
        service_s = None if response_time is None else response_time / 1000
        if flight is None:
            arrival = self._arrivals.get(getcurrent())
            self._recorder.report(f"{request_type} {name}", service_s or 0.0, exception, arrival)
        else:
            self._recorder.answer(flight, f"{request_type} {name}", service_s, exception)

    def _http_name(self, session: HttpSession, url: str, name: str | None, kwargs: dict[str, Any]) -> str:
        """As HttpSession will call it when the answer is there."""
        if name or session.request_name:
            return name or session.request_name or ""
        params = kwargs.get("params")
        whole = session._build_url(url)
        if params or session.params:
            merged = merge_setting(params, session.params)  # type: ignore[no-untyped-call]
            return _path_of(whole, merged)
        path = self._paths.get(whole)
        if path is None:
            path = _path_of(whole, None)
            if len(self._paths) < _MAX_PATHS:
                self._paths[whole] = path
        return path


@contextmanager
def default_timeouts(user_classes: list[type[User]], timeout_s: float) -> Iterator[None]:
    """Gives fast and lean users the plan's time-out where the locustfile did not set one of its own."""
    changed: list[tuple[type[User], str]] = []
    for user_class in user_classes:
        for name in ("network_timeout", "connection_timeout"):
            owner = next((base for base in user_class.__mro__ if name in vars(base)), None)
            if owner in (FastHttpUser, LeanHttpUser):
                setattr(user_class, name, timeout_s)
                changed.append((user_class, name))
    try:
        yield
    finally:
        for user_class, name in changed:
            delattr(user_class, name)


def _fast_name(
    session: FastHttpSession | LeanHttpSession, url: str, name: str | None, _: dict[str, Any]
) -> str:
    return name or session.request_name or url


def _path_of(url: str, params: Any) -> str:
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(url, params)
    except RequestException:
        return url  # the request itself will tell what is wrong with it
    return prepared.path_url


def _error_of(response: Any) -> BaseException | None:
    try:
        response.raise_for_status()
    except Exception as error:
        return error
    return None
