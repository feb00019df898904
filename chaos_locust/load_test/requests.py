"""Requests for a load, from a file: a HAR that a browser saved, an OpenAPI document, or a plan's list.

HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/): `log.entries[].request`. OpenAPI 3
(https://spec.openapis.org/oas/v3.1.0): an operation is taken with the examples that it gives for its path,
query and body; one that needs something it gives no example of is left out, and told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

from chaos_locust.errors import InvalidPlan, Problem

READS = ("GET", "HEAD", "OPTIONS")
_METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
_KEPT_HEADERS = ("accept", "accept-language", "content-type", "authorization")


def read_requests(path: Path, host: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The plan's `requests`, and what was left out of the file, with why. Raises InvalidPlan."""
    place = str(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except OSError as error:
        raise InvalidPlan([Problem(place, f"cannot be read: {error.strerror}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InvalidPlan([Problem(place, "is neither JSON nor YAML")]) from None
    if isinstance(data, Mapping) and isinstance(data.get("log"), Mapping):
        found, left = _of_har(data["log"], host)
    elif isinstance(data, Mapping) and isinstance(data.get("paths"), Mapping) and "openapi" in data:
        found, left = _of_openapi(data)
    elif isinstance(data, list):
        found, left = data, []
    else:
        wanted = "a HAR (log.entries), an OpenAPI 3 document (openapi, paths) or a list of requests"
        raise InvalidPlan([Problem(place, f"is not one of these: {wanted}")])
    if not found:
        raise InvalidPlan(
            [Problem(place, "has no request that can be sent" + "".join(f"; {each}" for each in left))]
        )
    return found, left


def with_ratio(requests: Sequence[Mapping[str, Any]], read: float, write: float) -> list[dict[str, Any]]:
    """Weights by which reads and writes come as `read` to `write`; within each they keep theirs.

    Raises InvalidPlan where one of them is wanted and there is none.
    """
    if read < 0 or write < 0 or read + write <= 0:
        text = f"'{read:g}:{write:g}' is not allowed; give two shares, such as 80:20"
        raise InvalidPlan([Problem("read_write_ratio", text)])
    sums = {True: 0, False: 0}
    for each in requests:
        sums[_reads(each)] += each.get("weight", 1)
    for reads, share, name in ((True, read, "reads"), (False, write, "writes")):
        if share and not sums[reads]:
            methods = "GET, HEAD, OPTIONS" if reads else "POST, PUT, PATCH, DELETE"
            text = f"wants {name}, but there is no such request ({methods}); give them by requests"
            raise InvalidPlan([Problem("read_write_ratio", text)])
    found = []
    for each in requests:
        reads = _reads(each)
        share = (read if reads else write) / (read + write)
        weight = round(share * 10_000 * each.get("weight", 1) / sums[reads])
        if weight:
            found.append({**each, "weight": weight})
    return found


def _reads(request: Mapping[str, Any]) -> bool:
    return str(request.get("method", "GET")).upper() in READS


def _of_har(log: Mapping[str, Any], host: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Those to the host under load, each as often as it was sent. Those to others are left out."""
    counts: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for entry in log.get("entries", ()):
        asked = entry.get("request", {}) if isinstance(entry, Mapping) else {}
        parts = urlsplit(str(asked.get("url", "")))
        if parts.netloc != urlsplit(host).netloc:
            others[f"to {parts.netloc or 'no address'}"] += 1
            continue
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request: dict[str, Any] = {"method": str(asked.get("method", "GET")).upper(), "path": path}
        headers = {
            str(each["name"]).lower(): str(each["value"])
            for each in asked.get("headers", ())
            if str(each.get("name", "")).lower() in _KEPT_HEADERS
        }
        body = asked.get("postData")
        if body is not None:
            try:
                request["json"] = json.loads(body.get("text", ""))
            except ValueError:
                others[f"{request['method']} {parts.path} with a body that is not JSON"] += 1
                continue
            headers.pop("content-type", None)
        if headers:
            request["headers"] = headers
        counts[json.dumps(request, sort_keys=True)] += 1
    found = [{**json.loads(text), "weight": count} for text, count in counts.items()]
    return found, [f"{name}, {count} times" for name, count in others.items()]


def _of_openapi(document: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    found, left = [], []
    for path, item in document["paths"].items():
        if not isinstance(item, Mapping):
            continue
        for method in _METHODS:
            operation = item.get(method)
            if not isinstance(operation, Mapping):
                continue
            parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
            try:
                found.append(_operation(document, str(path), method, operation, parameters))
            except LookupError as error:
                left.append(f"{method.upper()} {path}: no example of {error.args[0]}")
    return found, left


def _operation(
    document: Mapping[str, Any],
    path: str,
    method: str,
    operation: Mapping[str, Any],
    parameters: Sequence[Any],
) -> dict[str, Any]:
    """Raises LookupError with the name of what is needed and has no example."""
    filled, query, headers = path, {}, {}
    for given in parameters:
        parameter = _resolved(document, given)
        name, where = str(parameter.get("name")), parameter.get("in")
        value = _example(document, parameter)
        if value is None:
            if parameter.get("required") or where == "path":
                raise LookupError(name)
            continue
        if where == "path":
            filled = filled.replace("{" + name + "}", quote(str(value), safe=""))
        elif where == "query":
            query[name] = value
        elif where == "header":
            headers[name] = str(value)
    request: dict[str, Any] = {
        "method": method.upper(),
        "path": filled + (f"?{urlencode(query)}" if query else ""),
    }
    request["name"] = path
    body = _resolved(document, operation.get("requestBody") or {})
    media = (body.get("content") or {}).get("application/json")
    if media is not None:
        value = _example(document, media)
        if value is not None:
            request["json"] = value
        elif body.get("required"):
            raise LookupError("its body")
    elif body.get("required"):
        raise LookupError("its body as JSON")
    return request | ({"headers": headers} if headers else {})


def _example(document: Mapping[str, Any], holder: Mapping[str, Any]) -> Any:
    """Of a parameter or a media type; of its schema, where it has none itself. None: there is none."""
    if "example" in holder:
        return holder["example"]
    for each in (holder.get("examples") or {}).values():
        return _resolved(document, each).get("value")
    return _of_schema(document, holder.get("schema") or {})


def _of_schema(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    schema = _resolved(document, schema)
    for value in _given(schema):
        return value
    if schema.get("type") != "object":
        return None
    made = {name: _of_schema(document, each) for name, each in (schema.get("properties") or {}).items()}
    if any(made.get(name) is None for name in schema.get("required", ())):
        return None
    return {name: value for name, value in made.items() if value is not None}


def _given(schema: Mapping[str, Any]) -> Iterator[Any]:
    if "example" in schema:
        yield schema["example"]
    yield from schema.get("examples") or ()
    if "const" in schema:
        yield schema["const"]
    if schema.get("default") is not None:
        yield schema["default"]
    yield from schema.get("enum") or ()


def _resolved(document: Mapping[str, Any], part: Any) -> Mapping[str, Any]:
    """What a `$ref` within the document points to. Raises LookupError."""
    for _ in range(20):
        if not isinstance(part, Mapping):
            return {}
        if "$ref" not in part:
            return part
        place: Any = document
        for name in str(part["$ref"]).removeprefix("#/").split("/"):
            place = (
                place.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
            )
        if place is None:
            raise LookupError(str(part["$ref"]))
        part = place
    raise LookupError("a reference that leads to itself")
