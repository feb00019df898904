"""Requests from files, and how many of them read and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.load_test.requests import read_requests, with_ratio

HOST = "http://shop:8000"


def read(tmp_path: Path, data: Any) -> tuple[list[dict[str, Any]], list[str]]:
    file = tmp_path / "requests"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return read_requests(file, HOST)


def entry(url: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, "headers": [], **more}}


def test_a_har_gives_what_went_to_the_host_as_often_as_it_did(tmp_path: Path) -> None:
    entries = [
        entry(f"{HOST}/products?page=2"),
        entry(f"{HOST}/products?page=2"),
        entry(
            f"{HOST}/orders",
            "POST",
            postData={"mimeType": "application/json", "text": '{"product_id": 1}'},
            headers=[
                {"name": "Content-Type", "value": "application/json"},
                {"name": "Accept", "value": "text/html"},
                {"name": "Cookie", "value": "session=1"},
            ],
        ),
        entry("https://cdn.example/logo.png"),
        entry(f"{HOST}/upload", "POST", postData={"mimeType": "text/plain", "text": "no JSON"}),
    ]
    found, left = read(tmp_path, {"log": {"version": "1.2", "entries": entries}})
    assert found == [
        {"method": "GET", "path": "/products?page=2", "weight": 2},
        {
            "method": "POST",
            "path": "/orders",
            "json": {"product_id": 1},
            "headers": {"accept": "text/html"},
            "weight": 1,
        },
    ]
    assert left == [
        "to cdn.example, 1 times",
        "POST /upload with a body that is not JSON, 1 times",
    ]


OPENAPI = {
    "openapi": "3.1.0",
    "paths": {
        "/products": {
            "get": {
                "parameters": [{"name": "page", "in": "query", "schema": {"type": "integer", "default": 3}}]
            }
        },
        "/products/{id}": {
            "parameters": [{"$ref": "#/components/parameters/id"}],
            "get": {},
            "delete": {"parameters": [{"name": "why", "in": "query", "required": True}]},
        },
        "/orders": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                }
            }
        },
    },
    "components": {
        "parameters": {"id": {"name": "id", "in": "path", "required": True, "example": "a b"}},
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["product_id"],
                "properties": {
                    "product_id": {"type": "integer", "examples": [7]},
                    "note": {"type": "string"},
                },
            }
        },
    },
}


def test_an_openapi_document_gives_what_it_has_examples_of(tmp_path: Path) -> None:
    found, left = read(tmp_path, OPENAPI)
    assert found == [
        {"method": "GET", "path": "/products?page=3", "name": "/products"},
        {"method": "GET", "path": "/products/a%20b", "name": "/products/{id}"},
        {"method": "POST", "path": "/orders", "name": "/orders", "json": {"product_id": 7}},
    ]
    assert left == ["DELETE /products/{id}: no example of why"]


def test_a_list_is_taken_as_it_is(tmp_path: Path) -> None:
    assert read(tmp_path, "- {path: /products, weight: 3}\n")[0] == [{"path": "/products", "weight": 3}]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("{", "is neither JSON nor YAML"),
        ("text", "is not one of these"),
        ({"swagger": "2.0", "paths": {}}, "is not one of these"),
        ({"log": {"entries": []}}, "has no request that can be sent"),
        (
            {"log": {"entries": [entry("http://other/")]}},
            "can be sent; to other, 1 times",
        ),
    ],
)
def test_a_file_that_is_none_of_these(tmp_path: Path, data: Any, told: str) -> None:
    with pytest.raises(InvalidPlan, match=told):
        read(tmp_path, data)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidPlan, match="cannot be read: No such file"):
        read_requests(tmp_path / "none", HOST)


def test_weights_are_those_of_the_ratio() -> None:
    requests = [
        {"path": "/a", "weight": 1},
        {"path": "/b", "weight": 3},
        {"method": "POST", "path": "/c", "weight": 10},
    ]
    weights = {each["path"]: each["weight"] for each in with_ratio(requests, 80, 20)}
    assert weights == {"/a": 2000, "/b": 6000, "/c": 2000}
    assert [each["path"] for each in with_ratio(requests, 1, 0)] == ["/a", "/b"]


@pytest.mark.parametrize(
    ("read_share", "write_share", "told"),
    [
        (0.8, 0.2, "wants writes, but there is no such request"),
        (-1, 2, "is not allowed"),
        (0, 0, "is not allowed"),
    ],
)
def test_a_ratio_that_cannot_be(read_share: float, write_share: float, told: str) -> None:
    with pytest.raises(InvalidPlan, match=told):
        with_ratio([{"path": "/"}], read_share, write_share)
