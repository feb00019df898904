"""The target's routes that need a log-in, each as a request that could be sent: from its OpenAPI description
and from what `target.yaml` names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import quote

from chaos_locust.errors import ChaosError
from compliance.site import Site, json_of
from compliance.target import Exchange, Method

REFUSED = (401, 403)
DEEPEST = 8  # of schemas within schemas: some hold themselves
NOBODYS_ID = 2**31 - 1
NOBODYS_UUID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Route:
    """template: the path as it is described, `/orders/{id}`; path: with values in it."""

    method: Method
    template: str
    path: str
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def guarded_routes(site: Site) -> tuple[Route, ...]:
    """All that are not public, the log-in excepted. Raises ChaosError when the description cannot be read,
    Unreachable."""
    http, login = site.target.http, site.target.login
    assert http is not None
    described = openapi_routes(openapi(site)) if http.openapi is not None else ()
    found = [each for each in described if not is_public(each.template, http.public)]
    # What target.yaml names counts more: its JSON is known to be right, and it is never public.
    found += [_named(each) for each in (*http.routes, *site.target.privileged)]
    by_name = {str(each): each for each in found if login is None or each.path != login.path}
    return tuple(by_name[name] for name in sorted(by_name))


def openapi(site: Site) -> Mapping[str, Any]:
    """The description, asked for with a log-in where it needs one."""
    assert site.target.http is not None
    path = site.target.http.openapi
    assert path is not None
    answer = site.request("GET", path)
    if answer.status_code in (401, 403) and site.target.login is not None and site.target.accounts:
        answer = site.request("GET", path, token=site.token(site.target.accounts[0]))
    document = json_of(answer)
    if not answer.ok or not isinstance(document, Mapping) or not isinstance(document.get("paths"), Mapping):
        raise ChaosError(f"GET {path}: {answer.status_code}, and no OpenAPI description")
    return document


def openapi_routes(document: Mapping[str, Any]) -> tuple[Route, ...]:
    """A request for each operation, with the least that its schemas allow, so that it is not its form that is
    refused. What changes something is aimed at an id that nothing has."""
    return tuple(
        Route(method, path, _filled(document, path, method, operation), _body(document, operation))
        for path, method, operation in operations(document)
    )


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Method, Mapping[str, Any]]]:
    """Path, method, and operation with the parameters of its path added to its own."""
    for path, item in document["paths"].items():
        for method in get_args(Method):
            if isinstance(operation := item.get(method.lower()), Mapping):
                shared = [*item.get("parameters", ()), *operation.get("parameters", ())]
                yield (
                    path,
                    method,
                    {**operation, "parameters": [_resolved(document, each) for each in shared]},
                )


def is_public(path: str, patterns: Sequence[str]) -> bool:
    """`*` at the end of a pattern stands for anything."""
    return any(
        path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern for pattern in patterns
    )


def example(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Any:
    """The least that the schema allows."""
    schema = _resolved(document, schema)
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        options = [each for each in schema.get(key, ()) if each.get("type") != "null"]
        if options and depth < DEEPEST:
            made = [example(document, each, depth + 1) for each in options]
            both = key == "allOf" and all(isinstance(each, dict) for each in made)
            return {name: value for each in made for name, value in each.items()} if both else made[0]
    return _of_type(document, schema, depth)


def _of_type(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
        case "array":
            wanted = schema.get("minItems", 0) if depth < DEEPEST else 0
            return [example(document, schema.get("items", {}), depth + 1) for _ in range(wanted)]
        case "object":
            needed = schema.get("required", ()) if depth < DEEPEST else ()
            properties = schema.get("properties", {})
            return {name: example(document, properties.get(name, {}), depth + 1) for name in needed}
    if schema.get("format") == "uuid":
        return NOBODYS_UUID
    if schema.get("format") == "email":
        return "nobody@example.invalid"
    return "nothing".ljust(schema.get("minLength", 0), "-")[: schema.get("maxLength")]


def _filled(document: Mapping[str, Any], path: str, method: Method, operation: Mapping[str, Any]) -> str:
    """The path with its parameters, and the query that it needs."""
    query = []
    for each in operation["parameters"]:
        schema = _resolved(document, each.get("schema", {}))
        if each.get("in") == "path" and schema.get("type") in ("integer", "number"):
            number = (
                schema.get("minimum", 1) if method in ("GET", "HEAD") else schema.get("maximum", NOBODYS_ID)
            )
            path = path.replace(f"{{{each['name']}}}", str(number))
        elif each.get("in") == "path":
            path = path.replace(f"{{{each['name']}}}", quote(str(example(document, schema)), safe=""))
        elif each.get("in") == "query" and each.get("required"):
            query.append(f"{each['name']}={quote(str(example(document, schema)), safe='')}")
    path = re.sub(r"\{[^}/]*\}", "1", path)  # parameters that are not described
    return path + ("?" + "&".join(query) if query else "")


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Any:
    content = _resolved(document, operation.get("requestBody", {})).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return None if schema is None else example(document, schema)


def _resolved(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` into the same document stands for."""
    for _ in range(DEEPEST):
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = document
        for part in reference[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
        node = found
    return node


def _named(exchange: Exchange) -> Route:
    return Route(exchange.method, exchange.path, exchange.path, exchange.body)
