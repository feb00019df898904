"""The pure parts of what looks at who gets in: routes of a description, forged tokens, cookies, locks."""

from __future__ import annotations

import base64
import json

import jwt
import pytest

from compliance.guesses import DEFAULTS
from compliance.measures.access.credentials import plain, same, separate
from compliance.measures.access.jwt_forms import NEVER_S, forgeries, jwt_parts, lifetime_s
from compliance.measures.access.lockout import attempts_until_changed
from compliance.measures.access.passwords import strong
from compliance.measures.access.sessions import cookies
from compliance.measures.access.tokens import secrets_in_queries
from compliance.measures.registry import measures
from compliance.measures.web.routes import NOBODYS_ID, is_public, openapi_routes

KEY = "a key that is long enough for HS256"
ORDER = {
    "type": "object",
    "required": ["product", "quantity", "to", "kind", "tags"],
    "properties": {
        "product": {"type": "integer", "minimum": 3},
        "quantity": {"$ref": "#/components/schemas/Quantity"},
        "to": {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 12}]},
        "kind": {"enum": ["gift", "own"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
        "note": {"type": "string"},
    },
}
DOCUMENT = {
    "paths": {
        "/orders": {"post": {"requestBody": {"content": {"application/json": {"schema": ORDER}}}}},
        "/orders/{id}": {
            "parameters": [{"name": "id", "in": "path", "schema": {"type": "integer"}}],
            "get": {
                "parameters": [
                    {"name": "view", "in": "query", "required": True, "schema": {"default": "a b"}}
                ]
            },
            "delete": {},
            "options": {},
        },
        "/users/{user}/keys": {
            "get": {"parameters": [{"name": "api-key", "in": "query", "schema": {"type": "string"}}]}
        },
    },
    "components": {
        "schemas": {"Quantity": {"type": "number", "exclusiveMinimum": 0}},
        "securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "k"}},
    },
}


def test_a_request_for_every_operation_with_what_it_needs() -> None:
    found = {str(route): route for route in openapi_routes(DOCUMENT)}
    assert set(found) == {
        "POST /orders",
        "GET /orders/{id}",
        "DELETE /orders/{id}",
        "GET /users/{user}/keys",
    }
    body = found["POST /orders"].body
    assert body == {"product": 3, "quantity": 1, "to": "nothing-----", "kind": "gift", "tags": [False, False]}
    assert found["GET /orders/{id}"].path == "/orders/1?view=a%20b"
    assert found["GET /users/{user}/keys"].path == "/users/1/keys"


def test_what_deletes_is_aimed_at_nothing() -> None:
    found = {str(route): route.path for route in openapi_routes(DOCUMENT)}
    assert found["DELETE /orders/{id}"] == f"/orders/{NOBODYS_ID}"


def test_a_schema_that_holds_itself_comes_to_an_end() -> None:
    node = {
        "type": "object",
        "required": ["next"],
        "properties": {"next": {"$ref": "#/components/schemas/Node"}},
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    document = {"paths": {"/n": {"post": {"requestBody": body}}}, "components": {"schemas": {"Node": node}}}
    assert "next" in openapi_routes(document)[0].body


@pytest.mark.parametrize(
    ("path", "public"),
    [("/health/live", True), ("/products/7", True), ("/products", False), ("/health/live/x", False)],
)
def test_what_is_public(path: str, public: bool) -> None:
    assert is_public(path, ("/health/live", "/products/*")) is public


def test_secrets_in_described_addresses() -> None:
    assert secrets_in_queries(DOCUMENT) == ["GET /users/{user}/keys: api-key", "key (securitySchemes)"]


def test_no_forgery_is_taken_by_a_library_that_checks() -> None:
    token = jwt.encode({"sub": "alice", "exp": 2**31}, KEY, algorithm="HS256", headers={"kid": "1"})
    forged = forgeries(token)
    assert len(forged) == 10
    assert token not in forged.values()
    assert len(set(forged.values())) == len(forged)
    for each in forged.values():
        with pytest.raises(jwt.PyJWTError):
            jwt.decode(each, KEY, algorithms=["HS256", "RS256"])


def test_forgeries_are_what_they_are_called() -> None:
    token = jwt.encode({"sub": "alice"}, "secret", algorithm="HS256", headers={"kid": "1"})
    forged = forgeries(token)
    assert jwt.decode(forged["the key `secret`"], "secret", algorithms=["HS256"]) == {"sub": "alice"}
    assert jwt.decode(forged["other claims"], options={"verify_signature": False})["role"] == "admin"
    assert jwt.get_unverified_header(forged["algorithm none"]) == {"alg": "none", "typ": "JWT", "kid": "1"}
    assert jwt.get_unverified_header(forged["our RSA key"])["kid"] == "1"
    unsigned = jwt.decode(forged["algorithm none"], options={"verify_signature": False})
    assert unsigned == {"sub": "alice"}


def test_a_token_that_is_no_jwt_has_fewer() -> None:
    assert set(forgeries("b1946ac92492d2347c6235b4d2611184")) == {"garbage", "cut"}


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "e30.W10.x", "\x00.\x00.\x00"])
def test_what_is_no_jwt(token: str) -> None:
    assert jwt_parts(token) is None


def test_how_long_a_token_lasts() -> None:
    assert lifetime_s({"iat": 100, "exp": 1000}, 500) == 900
    assert lifetime_s({"exp": 1000}, 400) == 600
    assert lifetime_s({"iat": 100}, 400) == NEVER_S


def test_jwt_parts_need_no_key() -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    assert jwt_parts(f"{head}.{head}.") == ({"alg": "none"}, {"alg": "none"})


@pytest.mark.parametrize(
    ("statuses", "attempts"),
    [
        ([401] * 10, 10),
        ([401] * 5 + [423] * 5, 6),
        ([401] * 9 + [423], 10),
        ([401, 423, 401, 423, 423], 4),
        ([423] * 10, 10),
    ],
)
def test_a_lock_that_shows_is_counted(statuses: list[int], attempts: int) -> None:
    assert attempts_until_changed(statuses) == attempts


def test_cookies_and_what_they_lack() -> None:
    found = cookies(
        ["id=1; Path=/; Secure; HttpOnly; SameSite=Lax; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"]
    )
    assert found["id"] == {"value": "1", "secure": "True", "httponly": "True", "samesite": "Lax"}
    assert found["b"] == {"value": "2", "secure": "", "httponly": "", "samesite": ""}


@pytest.mark.parametrize(
    ("some", "others", "expected"),
    [
        (["401 no", "401 no"], ["401 no"], True),
        (["401 wrong password"], ["401 no such user"], False),
        (["401 no"], ["404 no"], False),
        (["401 a", "401 b"], ["404 c", "404 d"], False),
        (["401 a", "401 b"], ["401 c", "401 d"], None),
    ],
)
def test_answers_are_the_same_or_it_cannot_be_told(
    some: list[str], others: list[str], expected: bool | None
) -> None:
    assert same(some, others) is expected


def test_what_differs_from_answer_to_answer_does_not_count() -> None:
    one = plain('{"error": "a is not in", "request": "4f9a1c22-00aa", "at": 17}', "a")
    other = plain('{"error": "a9f3 is not in", "request": "b81d77aa-91cc", "at": 18}', "a9f3")
    assert one == other
    assert plain("no such user al", "al") != plain("wrong password of al", "al")


def test_times_are_apart_only_as_a_whole() -> None:
    assert separate([1.0, 1.1], [1.2, 1.3])
    assert separate([1.2, 1.3], [1.0, 1.1])
    assert not separate([1.0, 1.25], [1.2, 1.3])


def test_random_passwords_have_letters_and_digits() -> None:
    for length in (3, 8, 64):
        password = strong(length)
        assert len(password) == length
        assert any(each.isdigit() for each in password)
        assert any(each.isupper() for each in password)
    assert strong(20) != strong(20)


def test_no_user_is_tried_often_enough_to_be_locked_out() -> None:
    assert max(map(len, DEFAULTS.values())) <= 2


def test_the_canary_is_locked_after_all_else() -> None:
    """Measures are taken in the order of the registry."""
    assert [*measures()][-2:] == ["lockout", "lockout_isolation"]
