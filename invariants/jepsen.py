"""Histories in Jepsen's form, `history.edn`: from us to Jepsen's checkers, and from a Jepsen test to ours.

To Elle and Knossos: `chaos-locust invariants check HISTORY --checker NAME --jepsen history.edn` writes one.
From Jepsen: a HISTORY whose name ends in `.edn` is read as one, with `--keyed` where it has keys.

Each operation is two maps there, its invocation and what came back (`:ok`, `:fail`, `:info`), with `:process`
a number, `:f` our kind, `:time` in nanoseconds. A key stands as Jepsen's `independent` writes it, the value
being `[key value]`; a transaction's value is a list of `[:append key element]` and `[:r key list]`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from invariants.edn import InvalidEdn, Keyword, read_edn
from invariants.events import Event, events_of
from invariants.history import History, InvalidHistory, Operation

NEMESIS = "nemesis"
TRANSACTION = "txn"


def write_jepsen(path: Path, operations: Iterable[Operation]) -> None:
    """One map in each line."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in to_jepsen(operations))


def to_jepsen(operations: Iterable[Operation]) -> Iterator[str]:
    """The lines of `history.edn`, in order of time."""
    known = sorted(operations, key=lambda op: op.start_s)
    numbers = {process: place for place, process in enumerate(dict.fromkeys(op.process for op in known))}
    begin_s = known[0].start_s if known else 0.0
    events = events_of(known)
    # One without an answer goes on to the end; Jepsen writes it down when the client gave up.
    events += [Event(op, end=True) for op in known if math.isinf(op.end_s)]
    last_ns = max((_ns(event.at_s, begin_s) for event in events if math.isfinite(event.at_s)), default=0)
    for index, event in enumerate(events):
        operation = event.operation
        data: dict[str, Any] = {
            "index": index,
            "type": Keyword(operation.outcome if event.end else "invoke"),
            "process": numbers[operation.process],
            "f": Keyword(operation.kind),
            "value": _value(operation, answered=event.end and operation.happened),
            "time": _ns(event.at_s, begin_s) if math.isfinite(event.at_s) else last_ns,
        }
        if event.end and operation.error:
            data["error"] = operation.error
        yield _edn(data)


def _ns(at_s: float, begin_s: float) -> int:
    return round((at_s - begin_s) * 1e9)


def _value(operation: Operation, answered: bool) -> Any:
    told = answered and operation.result is not None and operation.kind != "cas"
    value = operation.result if told else operation.value
    if operation.kind == TRANSACTION:
        value = [[Keyword(step), key, what] for step, key, what in value]
    return value if operation.key is None else [operation.key, value]


def _edn(value: Any) -> str:
    match value:
        case Keyword():
            return f":{value}"
        case None:
            return "nil"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bool() | int() | float():
            return json.dumps(value)
        case Mapping():
            pairs = (f"{_edn(_word(key))} {_edn(each)}" for key, each in value.items())
            return "{" + ", ".join(pairs) + "}"
        case Sequence():
            return "[" + " ".join(map(_edn, value)) + "]"
        case _:
            raise InvalidHistory(f"a {type(value).__name__} has no form in Jepsen's histories: {value}")


def _word(key: Any) -> Any:
    """A key as a keyword where it can be one."""
    text = str(key)
    return Keyword(text) if text[:1].isalpha() and text.replace("_", "").replace("-", "").isalnum() else key


def read_jepsen(path: Path, keyed: bool = False) -> History:
    """keyed: values are `[key value]`, as Jepsen's `independent` has them. What the nemesis did is left out.

    Raises InvalidHistory.
    """
    try:
        forms = read_edn(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidHistory(f"the history {path} cannot be read: {error.strerror}") from None
    except (InvalidEdn, UnicodeDecodeError) as error:
        raise InvalidHistory(f"{path}: {error}") from None
    maps = forms[0] if len(forms) == 1 and isinstance(forms[0], list) else forms
    return History(tuple(_operations(path, maps, keyed)))


def _operations(path: Path, maps: Sequence[Any], keyed: bool) -> Iterator[Operation]:
    opened: dict[str, tuple[int, Mapping[str, Any]]] = {}
    counts: dict[str, int] = {}
    for place, form in enumerate(maps, 1):
        if not (isinstance(form, dict) and {"type", "process", "f", "time"} <= form.keys()):
            raise InvalidHistory(f"{path}, entry {place}: no operation with :type, :process, :f and :time")
        process = str(form["process"])
        if process == NEMESIS:
            continue
        if form["type"] == "invoke":
            if process in opened:
                raise InvalidHistory(
                    f"{path}, entry {place}: two operations are open in one process, {process}"
                )
            opened[process] = place, form
        elif process not in opened or opened[process][1]["f"] != form["f"]:
            raise InvalidHistory(f"{path}, entry {place}: an answer in process {process} to nothing asked")
        else:
            yield _operation(path, place, counts, opened.pop(process)[1], form, keyed)
    for process, (place, form) in opened.items():
        yield _operation(path, place, counts, form, {**form, "type": "info", "process": process}, keyed)


def _operation(
    path: Path,
    place: int,
    counts: dict[str, int],
    asked: Mapping[str, Any],
    answer: Mapping[str, Any],
    keyed: bool,
) -> Operation:
    process, outcome = str(answer["process"]), str(answer["type"])
    number = counts[process] = counts.get(process, -1) + 1
    value, result = asked.get("value"), answer.get("value") if outcome == "ok" else None
    key = None
    if keyed:
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidHistory(f"{path}, entry {place}: the value is no [key value]")
        key, value = str(value[0]), value[1]
        result = result[1] if isinstance(result, list) and len(result) == 2 else None
    data = {
        "process": process,
        "number": number,
        "kind": str(asked["f"]),
        "key": key,
        "value": value,
        "outcome": outcome,
        # What only says again what was written is no answer.
        "result": None if result == value and asked["f"] != TRANSACTION else result,
        "start_s": int(asked["time"]) / 1e9,
        "end_s": int(answer["time"]) / 1e9,
        "error": str(answer.get("error") or ""),
    }
    try:
        return Operation.from_json(data)
    except InvalidHistory as error:
        raise InvalidHistory(f"{path}, entry {place}: {error}") from None
