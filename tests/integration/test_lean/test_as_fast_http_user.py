"""What locustfiles rely on in FastHttpUser: each test is run with it, and with LeanHttpUser in its place."""

from __future__ import annotations

import io
from typing import Any

import gevent
import pytest
from locust.exception import LocustError, ResponseError

from tests.integration.test_lean.conftest import Make
from tests.integration.test_lean.server import Site

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.mark.parametrize("method", METHODS)
def test_methods(make: Make, method: str) -> None:
    user = make()
    response = getattr(user.client, method.lower())("/echo")
    assert (response.status_code, response.json()["method"]) == (200, method)
    (report,) = user.reports
    assert (report["request_type"], report["name"], report["exception"]) == (method, "/echo", None)
    assert report["response_length"] == len(response.content)
    assert 0 < report["response_time"] < 20_000
    assert report["url"] == f"{user.host}/echo"


def test_head(make: Make) -> None:
    user = make()
    response = user.client.head("/echo")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0
    assert user.client.get("/echo").json()["method"] == "GET"


def test_a_post_without_a_body_has_the_length_0(make: Make) -> None:
    assert make().client.post("/echo").json()["headers"]["content-length"] == "0"


@pytest.mark.parametrize(
    ("sent", "body", "kind"),
    [
        ({"json": {"a": [1, "ä"]}}, '{"a": [1, "\\u00e4"]}', "application/json"),
        ({"json": []}, "[]", "application/json"),
        (
            {"data": {"a": "1 2", "b": "ä"}},
            "a=1+2&b=%C3%A4",
            "application/x-www-form-urlencoded; charset=utf-8",
        ),
        ({"data": "text"}, "text", "text/plain; charset=utf-8"),
        ({"data": b"\xff\0"}, "\xff\0", "application/octet-stream"),
        ({"data": "<a/>", "headers": {"content-type": "text/xml"}}, "<a/>", "text/xml"),
        ({"json": 1, "headers": {"Content-Type": "application/x"}}, "1", "application/x"),
        ({"data": io.BytesIO(b"from a file")}, "from a file", "application/octet-stream"),
        ({"data": iter([b"pie", b"ces"])}, "pieces", "application/octet-stream"),
    ],
)
def test_bodies(make: Make, sent: dict[str, Any], body: str, kind: str) -> None:
    stream = sent.get("data")
    if hasattr(stream, "read"):
        stream.seek(0)
    elif hasattr(stream, "__next__"):
        sent = sent | {"data": iter([b"pie", b"ces"])}
    told = make().client.post("/echo", **sent).json()
    assert (told["body"], told["headers"]["content-type"]) == (body, kind)


def test_files(make: Make) -> None:
    told = make().client.post("/echo", data={"x": "y"}, files={"f": ("n.txt", b"abc", "text/css")}).json()
    kind, _, boundary = told["headers"]["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    fields = [part for part in told["body"].split(f"--{boundary}") if "name=" in part]
    assert [part.partition("\r\n\r\n")[2] for part in fields] == ["y\r\n", "abc\r\n"]
    assert 'name="f"; filename="n.txt"\r\nContent-Type: text/css' in fields[1]


def test_params_and_odd_urls(make: Make) -> None:
    client = make().client
    assert client.get("/echo", params={"a": ["1", "2"], "b": "ä &"}).json()["path"] == (
        "/echo?a=1&a=2&b=%C3%A4+%26"
    )
    assert client.get("/echo/ü b?c=d e#there").json()["path"] == "/echo/%C3%BC%20b?c=d%20e"


def test_headers(make: Make) -> None:
    user = make(default_headers={"X-Always": "1", "User-Agent": "mine"})
    headers = user.client.get("/echo", headers={"x-ALWAYS": "2", "X-Once": "3"}).json()["headers"]
    assert (headers["x-always"], headers["x-once"], headers["user-agent"]) == ("2", "3", "mine")
    again = user.client.get("/echo").json()["headers"]
    assert (again["x-always"], "x-once" in again) == ("1", False)
    assert again["host"] == user.host.removeprefix("http://")


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X y": "a"}, {"X": "a\0"}])
def test_headers_that_cannot_be_sent_raise(make: Make, site: Site, headers: dict[str, str]) -> None:
    count = len(site.asked)
    with pytest.raises(ValueError, match="header"):
        make().client.get("/echo", headers=headers)
    assert len(site.asked) == count


def test_auth(make: Make, site: Site) -> None:
    basic = "Basic dXM6cMOkc3M="
    user = make(host=site.url.replace("//", "//us:p%C3%A4@"))
    assert "authorization" not in make().client.get("/echo").json()["headers"]
    assert user.client.get("/echo").json()["headers"]["authorization"] == "Basic dXM6cOQ="
    told = user.client.get("/echo", auth=("us", "päss".encode())).json()
    assert told["headers"]["authorization"] == basic
    assert user.client.get("/echo").json()["headers"]["authorization"] == "Basic dXM6cOQ="


def test_cookies_are_kept_and_sent_back(make: Make) -> None:
    client = make().client
    assert "cookie" not in client.get("/echo").json()["headers"]
    client.get("/cookie?set=a=1")
    client.get("/cookie?set=b=2;Path=/echo/deep")
    assert client.get("/echo").json()["headers"]["cookie"] == "a=1"
    assert sorted(client.get("/echo/deep").json()["headers"]["cookie"].split("; ")) == ["a=1", "b=2"]
    client.get("/cookie?set=a=3")
    assert client.get("/echo").json()["headers"]["cookie"] == "a=3"
    client.get("/cookie?set=a=;Max-Age=0")
    assert "cookie" not in client.get("/echo").json()["headers"]
    assert {cookie.name for cookie in client.cookiejar} == {"b"}


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (302, "HEAD", "HEAD"),
        (307, "POST", "POST"), (308, "PUT", "PUT"),
    ],
)  # fmt: skip
def test_redirects(make: Make, site: Site, status: int, method: str, then: str) -> None:
    user = make()
    response = user.client.request(
        method, f"/redirect/{status}?to=/echo?x=1", data="body", headers={"X": "y"}
    )
    assert response.status_code == 200
    assert response.url == f"{site.url}/echo?x=1"
    last = site.asked[-1]
    assert (last["method"], last["path"], last["headers"]["x"]) == (then, "/echo?x=1", "y")
    assert last["body"] == ("body" if then == method != "HEAD" else "")
    assert [report["name"] for report in user.reports] == [f"/redirect/{status}?to=/echo?x=1"]
    assert [each.status_code for each in response.history] == [status]


def test_redirects_not_followed(make: Make) -> None:
    user = make()
    response = user.client.get("/redirect/302?to=/echo", allow_redirects=False)
    assert (response.status_code, response.headers["location"], response.ok) == (302, "/echo", True)
    assert user.client.get("/redirect/302?to=/echo").status_code == 200
    assert make(max_redirects=0).client.get("/redirect/302?to=/echo").status_code == 302


@pytest.mark.parametrize(("most", "status"), [(1, 0), (2, 200)])
def test_too_many_redirects(make: Make, most: int, status: int) -> None:
    user = make(max_redirects=most)
    assert user.client.get("/redirect/302?to=%2Fredirect%2F302%3Fto%3D%2Fecho").status_code == status
    assert (user.reports[0]["exception"] is None) == (status == 200)


def test_the_authorization_goes_to_no_other_origin(make: Make) -> None:
    with Site() as other:
        make().client.get(f"/redirect/302?to={other.url}/echo", auth=("a", "b"))
        assert "authorization" not in other.asked[0]["headers"]


def test_a_failing_status(make: Make) -> None:
    user = make()
    response = user.client.get("/status/404")
    assert (response.status_code, response.ok, response.json()["path"]) == (404, False, "/status/404")
    (report,) = user.reports
    assert repr(report["exception"]) == "LocustBadStatusCode(code=404)"
    with pytest.raises(type(report["exception"])):
        response.raise_for_status()


@pytest.mark.parametrize(
    ("status", "fails"), [(204, False), (304, False), (400, True), (500, True), (226, False)]
)
def test_which_statuses_fail(make: Make, status: int, fails: bool) -> None:
    user = make()
    user.client.get(f"/status/{status}")
    assert (user.reports[0]["exception"] is not None) == fails


def test_refused(make: Make) -> None:
    user = make(host="http://127.0.0.1:1")
    response = user.client.get("/")
    assert (response.status_code, response.content, response.text, response.headers) == (0, None, None, None)
    assert isinstance(response.error, ConnectionRefusedError)
    assert user.reports[0]["exception"] is response.error
    with pytest.raises(ConnectionRefusedError):
        response.raise_for_status()


def test_names(make: Make) -> None:
    user = make()
    user.client.get("/echo?a=1", name="/echo?a=[a]")
    with user.client.rename_request("renamed"):
        user.client.get("/echo?a=2")
        user.client.get("/echo?a=3", name="own")
    user.client.get(f"{user.host}/echo?a=4")
    names = [report["name"] for report in user.reports]
    assert names == ["/echo?a=[a]", "renamed", "own", f"{user.host}/echo?a=4"]


def test_context(make: Make) -> None:
    user = make()
    user.context = lambda: {"of": "user"}
    user.client.get("/echo", context={"of-request": 1})
    assert user.reports[0]["context"] == {"of": "user", "of-request": 1}


def test_catch_response(make: Make) -> None:
    user = make()
    with user.client.get("/echo", catch_response=True) as response:
        response.failure("too small")
    with user.client.get("/status/404", catch_response=True) as response:
        response.success()
    with user.client.get("/status/404", catch_response=True):
        pass
    with user.client.get("/echo", catch_response=True):
        pass
    with user.client.get("/echo", catch_response=True):
        raise ResponseError("said by the block")
    with pytest.raises(ZeroDivisionError), user.client.get("/echo", catch_response=True):
        raise ZeroDivisionError
    told = [str(report["exception"]).partition("http")[0] for report in user.reports]
    assert told == ["too small", "None", "URL ", "None", "said by the block"]


def test_deciding_without_catch_response_is_an_error(make: Make) -> None:
    client = make().client
    with pytest.raises(LocustError, match="catch_response=True"):
        client.get("/echo").success()
    with pytest.raises(LocustError, match="catch_response=True"):
        client.get("/echo").failure("no")
    with pytest.raises(LocustError):
        client.get("/echo", catch_response=True).success()


def test_rest(make: Make) -> None:
    user = make()
    with user.rest("POST", "/echo", json={"a": 1}) as response:
        assert response.js["headers"]["accept"] == "application/json"
    with user.rest("GET", "/lines") as response:
        assert response.js is None
    with user.rest("GET", "/echo") as response:
        assert response.js["method"] == "POST", "not a post"
    with user.rest_("GET", "/echo") as response:
        assert response.js["path"].startswith("/echo?_=")
    told = [(report["name"], str(report["exception"])[:10]) for report in user.reports]
    assert told == [
        ("/echo", "None"),
        ("/lines", "Could not "),
        ("/echo", "not a post"),
        ("/echo?_=...", "None"),
    ]


def test_text(make: Make) -> None:
    client = make().client
    assert client.get("/text?type=text/plain;charset%3Dutf-16-le&hex=6800e400").text == "hä"
    assert client.get("/text?type=text/plain&hex=e4").text == "ä"
    response = client.get("/text?type=text/plain&hex=c3a4")
    response.encoding = "utf-8"
    assert response.text == "ä"


def test_streams(make: Make) -> None:
    user = make()
    response = user.client.get("/large", stream=True)
    assert user.reports[0]["response_length"] == 300_000
    pieces = list(response.iter_content(chunk_size=7000, decode_content=False))
    assert (b"".join(pieces), max(map(len, pieces))) == (b"0123456789" * 30_000, 7000)
    assert list(user.client.iter_lines("/lines")) == ["one", "two", "thrée"]
    assert user.client.get("/echo").status_code == 200


def test_gzip(make: Make) -> None:
    response = make().client.get("/gzip")
    assert "gzip" in response.json()["headers"]["accept-encoding"]


def test_one_connection_for_one_user(make: Make, site: Site) -> None:
    client = make().client
    ports = {client.get("/echo").json()["port"] for _ in range(3)}
    ports |= {client.get("/status/404").json()["port"], client.post("/echo", json=1).json()["port"]}
    assert len(ports) == 1


def test_concurrent_requests_of_one_user(make: Make) -> None:
    client = make(concurrency=3).client
    tasks = [gevent.spawn(client.get, f"/echo?{n}") for n in range(9)]
    gevent.joinall(tasks)
    assert [task.value.json()["path"] for task in tasks] == [f"/echo?{n}" for n in range(9)]
    assert len({task.value.json()["port"] for task in tasks}) <= 3


def test_a_user_without_a_host_does_not_start(make: Make) -> None:
    with pytest.raises(BaseException, match="host"):
        make(host=None)
