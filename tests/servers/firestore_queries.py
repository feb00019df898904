"""Structured queries of google.firestore.v1 over the documents of one collection."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import grpc
from google.cloud.firestore_v1 import types

from .firestore_writes import Document, Refusal, Value, compare, get, put

_NAME = "__name__"
_EQUAL: dict[str, Callable[[int], bool]] = {
    "EQUAL": lambda order: order == 0,
    "NOT_EQUAL": lambda order: order != 0,
}
_UNEQUAL: dict[str, Callable[[int], bool]] = {
    "LESS_THAN": lambda order: order < 0,
    "LESS_THAN_OR_EQUAL": lambda order: order <= 0,
    "GREATER_THAN": lambda order: order > 0,
    "GREATER_THAN_OR_EQUAL": lambda order: order >= 0,
}


def selected(query: Any, documents: list[Any]) -> list[Any]:
    """What the query gives of them, in its order. Raises Refusal for what is not understood here."""
    for part in ("start_at", "end_at", "find_nearest"):
        if query.HasField(part):
            raise _not_known(part)
    found = [each for each in documents if not query.HasField("where") or _matches(query.where, each)]
    orders = [(order.field.field_path, order.direction == _DESCENDING) for order in query.order_by]
    found = [each for each in found if all(_value(each, path) is not None for path, _ in orders)]
    found.sort(key=functools.cmp_to_key(lambda left, right: _order(left, right, orders)))
    limit = query.limit.value if query.HasField("limit") else len(found)
    found = found[query.offset :][:limit]
    return [_projected(each, query.select) for each in found] if query.HasField("select") else found


_DESCENDING = int(types.StructuredQuery.Direction.DESCENDING)


def _value(document: Any, path: str) -> Any | None:
    return Value(reference_value=document.name) if path == _NAME else get(document, path)


def _order(left: Any, right: Any, orders: list[tuple[str, bool]]) -> int:
    for path, descending in orders:
        order = compare(_value(left, path), _value(right, path))
        if order:
            return -order if descending else order
    last_descends = bool(orders) and orders[-1][1]
    order = (left.name > right.name) - (left.name < right.name)
    return -order if last_descends else order


def _matches(where: Any, document: Any) -> bool:
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            operator = types.StructuredQuery.CompositeFilter.Operator(where.composite_filter.op).name
            join = {"AND": all, "OR": any}[operator]
            return bool(join(_matches(each, document) for each in where.composite_filter.filters))
        case "field_filter":
            return _field_matches(where.field_filter, document)
    raise _not_known("unary_filter")


def _field_matches(given: Any, document: Any) -> bool:
    operator = types.StructuredQuery.FieldFilter.Operator(given.op).name
    value = _value(document, given.field.field_path)
    if value is None:
        return False
    if operator in _EQUAL:
        return _EQUAL[operator](compare(value, given.value))
    if operator in _UNEQUAL:
        same_type = value.WhichOneof("value_type") == given.value.WhichOneof("value_type")
        return same_type and _UNEQUAL[operator](compare(value, given.value))
    if operator == "IN":
        return value in given.value.array_value.values
    if operator == "ARRAY_CONTAINS":
        return given.value in value.array_value.values
    raise _not_known(operator)


def _projected(document: Any, select: Any) -> Any:
    shown = Document(name=document.name, create_time=document.create_time, update_time=document.update_time)
    for each in select.fields:
        if each.field_path != _NAME:
            put(shown, each.field_path, get(document, each.field_path))
    return shown


def _not_known(what: str) -> Refusal:
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, f"this server does not know {what}")
