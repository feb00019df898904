"""What a write makes of a document, by the rules of google.firestore.v1: preconditions, masks, transforms."""

from __future__ import annotations

from typing import Any

import grpc
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.order import Order

Document = types.Document.pb()
Value = types.Value.pb()
Write = types.Write.pb()
WriteResult = types.WriteResult.pb()

_UNTOLD = ("append_missing_elements", "remove_all_from_array")
"""Transforms whose result is answered as null."""


class Refusal(Exception):
    """The request is answered with this status, and nothing was done."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1, in the order of all values that Firestore defines."""
    return int(Order.compare(types.Value.wrap(left), types.Value.wrap(right)))


def name_of(write: Any) -> str:
    match write.WhichOneof("operation"):
        case "update":
            return str(write.update.name)
        case "delete":
            return str(write.delete)
        case "transform":
            return str(write.transform.document)
    raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "a write without an operation")


def written(write: Any, before: Any | None, time_us: int) -> tuple[Any | None, Any]:
    """(the document after the write, None when it is gone; its WriteResult). Raises Refusal."""
    _check(write.current_document, before, name_of(write))
    result = WriteResult()
    result.update_time.FromMicroseconds(time_us)
    if write.WhichOneof("operation") == "delete":
        return None, result
    after = Document(name=name_of(write))
    after.update_time.FromMicroseconds(time_us)
    after.create_time.CopyFrom(after.update_time if before is None else before.create_time)
    transforms = write.update_transforms
    if write.WhichOneof("operation") == "transform":
        transforms = write.transform.field_transforms
        _copy_fields(before, after)
    elif write.HasField("update_mask"):
        _copy_fields(before, after)
        for path in write.update_mask.field_paths:
            put(after, path, get(write.update, path))
    else:
        _copy_fields(write.update, after)
    for transform in transforms:
        value = _transformed(transform, get(after, transform.field_path), time_us)
        put(after, transform.field_path, value)
        shown = transform.WhichOneof("transform_type") not in _UNTOLD
        result.transform_results.append(value if shown else Value(null_value=0))
    return after, result


def get(document: Any, path: str) -> Any | None:
    """The value of a field, which may lie in maps: `a.b`; None where there is none."""
    fields, value = document.fields, None
    for part in FieldPath.from_api_repr(path).parts:
        if part not in fields:
            return None
        value = fields[part]
        fields = value.map_value.fields
    return value


def put(document: Any, path: str, value: Any | None) -> None:
    """Sets that field, or takes it away where the value is None."""
    *maps, last = FieldPath.from_api_repr(path).parts
    fields = document.fields
    for part in maps:
        if value is None and part not in fields:
            return
        fields = fields[part].map_value.fields
    if value is None:
        fields.pop(last, None)
    else:
        fields[last].CopyFrom(value)


def _copy_fields(source: Any | None, target: Any) -> None:
    if source is not None:
        for name, value in source.fields.items():
            target.fields[name].CopyFrom(value)


def _check(precondition: Any, before: Any | None, name: str) -> None:
    match precondition.WhichOneof("condition_type"):
        case "exists" if precondition.exists and before is None:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"No document to update: {name}")
        case "exists" if not precondition.exists and before is not None:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, f"Document already exists: {name}")
        case "update_time" if before is None or before.update_time != precondition.update_time:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"Document was changed meanwhile: {name}")


def _transformed(transform: Any, before: Any | None, time_us: int) -> Any:
    after, kind = Value(), transform.WhichOneof("transform_type")
    old = Value() if before is None else before
    match kind:
        case "set_to_server_value":
            after.timestamp_value.FromMicroseconds(time_us)
        case "increment":
            after.CopyFrom(_sum(old, transform.increment))
        case "maximum" | "minimum":
            given = getattr(transform, kind)
            sign = 1 if kind == "maximum" else -1
            keeps = _is_number(old) and compare(old, given) * sign >= 0
            after.CopyFrom(old if keeps else given)
        case "append_missing_elements":
            elements = list(old.array_value.values)
            for each in transform.append_missing_elements.values:
                if each not in elements:
                    elements.append(each)
            after.array_value.values.extend(elements)
        case "remove_all_from_array":
            gone = list(transform.remove_all_from_array.values)
            after.array_value.SetInParent()
            after.array_value.values.extend(each for each in old.array_value.values if each not in gone)
    return after


def _is_number(value: Any) -> bool:
    return value.WhichOneof("value_type") in ("integer_value", "double_value")


def _sum(old: Any, given: Any) -> Any:
    if not _is_number(old):
        return given
    if old.HasField("integer_value") and given.HasField("integer_value"):
        return Value(integer_value=old.integer_value + given.integer_value)
    return Value(double_value=_number(old) + _number(given))


def _number(value: Any) -> float:
    return float(value.integer_value if value.HasField("integer_value") else value.double_value)
