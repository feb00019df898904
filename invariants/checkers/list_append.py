"""Isolation of transactions that append to lists and read them, in the manner of Elle.

A list tells the order of its appends, so every read tells what was before it and what was not yet there.
From that follow the dependencies between transactions, and each kind of cycle of them has a name (Adya, "Weak
Consistency", 1999; Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental
observations", VLDB 2020).

An operation of kind `txn` has as value what was asked, [["append", key, element], ["r", key, null], ...], and
as result the same with the lists that were read. Elements are unique for each key.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from invariants.checkers.base import Checked, Violation
from invariants.history import History, InvalidHistory, Operation

EXAMPLES = 3
"""So many violations of one name are shown; the others are counted."""

MEANINGS = {
    "G0": "transactions overwrote each other in a circle (dirty write)",
    "G1a": "what a failed transaction wrote was read (aborted read)",
    "G1b": "something was read that its writer changed again (intermediate read)",
    "G1c": "transactions read what the other wrote, in a circle (circular information flow)",
    "lost update": "two transactions read the same and both changed it",
    "G-single": "a transaction saw a part of another one and missed the rest (read skew)",
    "G2": "transactions each missed what the other wrote (write skew, anti-dependency cycle)",
    "incompatible order": "reads of one list do not agree in which order it was appended to",
    "internal": "a transaction did not see its own writes",
    "duplicate": "an element is twice in a list",
    "unwritten": "an element was read that nobody wrote",
}


@dataclass(frozen=True, slots=True)
class ListAppend:
    """allowed: names of anomalies that the isolation level does not promise to prevent."""

    allowed: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return "list-append"

    def check(self, history: History) -> Checked:
        transactions = [op for op in history.of("txn") if op.maybe]
        found = _Findings()
        facts = _Facts(history.of("txn"), found)
        facts.look()
        for anomaly, cycle in _cycles(facts):
            found.add(anomaly, [facts.operation(node) for node in cycle])
        violations = [
            Violation(self.name, f"{anomaly}: {MEANINGS[anomaly]} ({count} seen)", operations, anomaly)
            for anomaly, operations, count in found
            if anomaly not in self.allowed
        ]
        reads = sum(step[0] == "r" for op in transactions for step in op.result or ())
        appended = any(step[0] == "append" for op in transactions if op.happened for step in op.value)
        nothing = "" if appended else "no append was acknowledged"
        nothing = nothing if reads else "no transaction read anything"
        return Checked(tuple(violations), nothing, {"transactions": len(transactions), "reads": reads})


@dataclass(slots=True)
class _Findings:
    seen: dict[str, list[tuple[Operation, ...]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, anomaly: str, operations: Sequence[Operation]) -> None:
        self.seen[anomaly].append(tuple(operations))

    def __iter__(self) -> Iterator[tuple[str, tuple[Operation, ...], int]]:
        for anomaly in MEANINGS:
            for operations in self.seen[anomaly][:EXAMPLES]:
                yield anomaly, operations, len(self.seen[anomaly])


class _Facts:
    """What the reads tell: who wrote each element, in which order, and who read up to where."""

    def __init__(self, operations: Sequence[Operation], found: _Findings) -> None:
        self._operations, self._found = list(operations), found
        self.writer: dict[tuple[str, Any], int] = {}
        self.last_of: dict[tuple[str, int], Any] = {}  # a writer's last element of a key
        self.order: dict[str, list[Any]] = {}
        self.reads: list[tuple[int, str, tuple[Any, ...]]] = []  # first read of a key, own appends left out
        self.unread: dict[str, list[int]] = defaultdict(list)  # who wrote what comes after all of that order

    def operation(self, node: int) -> Operation:
        return self._operations[node]

    def look(self) -> None:
        for node, operation in enumerate(self._operations):
            self._take_appends(node, operation)
        for node, operation in enumerate(self._operations):
            if operation.happened:
                self._take_reads(node, operation)
        self._find_orders()
        self._find_dirty_reads()

    def _take_appends(self, node: int, operation: Operation) -> None:
        for kind, key, element in operation.value:
            if kind == "append":
                if (key, element) in self.writer:
                    raise InvalidHistory(f"the element {element} is appended twice to {key}: {operation}")
                self.writer[key, element] = node
                self.last_of[key, node] = element

    def _take_reads(self, node: int, operation: Operation) -> None:
        own: dict[str, list[Any]] = defaultdict(list)
        seen: dict[str, list[Any]] = {}
        for kind, key, value in operation.result:
            if kind == "append":
                own[key].append(value)
                continue
            read = list(value or ())
            if len(set(read)) < len(read):
                self._found.add("duplicate", [operation])
            if own[key] and read[-len(own[key]) :] != own[key]:
                self._found.add("internal", [operation])
                continue
            others = read[: len(read) - len(own[key])]
            if key in seen:
                continue  # a second read in one transaction is judged by the reads of others
            seen[key] = others
            self.reads.append((node, key, tuple(others)))

    def _find_orders(self) -> None:
        longest: dict[str, tuple[int, tuple[Any, ...]]] = {}
        for node, key, elements in self.reads:
            if len(elements) > len(longest.get(key, (0, ()))[1]):
                longest[key] = (node, elements)
        for node, key, elements in self.reads:
            whole = longest.get(key, (node, elements))
            if whole[1][: len(elements)] != elements:
                self._found.add("incompatible order", [self._operations[whole[0]], self._operations[node]])
        self.order = {key: list(elements) for key, (_, elements) in longest.items()}
        self._find_unread()

    def _find_unread(self) -> None:
        """A list only grows: what was appended for certain and is in no read comes after all that is."""
        read = {(key, element) for _, key, elements in self.reads for element in elements}
        known = {(key, self.writer.get((key, element))) for key, element in read}
        for key, node in self.last_of:
            if self._operations[node].happened and (key, node) not in known:
                self.unread[key].append(node)

    def _find_dirty_reads(self) -> None:
        for node, key, elements in self.reads:
            for element in elements:
                writer = self.writer.get((key, element))
                if writer is None:
                    self._found.add("unwritten", [self._operations[node]])
                elif self._operations[writer].outcome == "fail":
                    self._found.add("G1a", [self._operations[writer], self._operations[node]])
            if elements:
                writer = self.writer.get((key, elements[-1]))
                if writer not in (None, node) and self.last_of[key, writer] != elements[-1]:
                    self._found.add("G1b", [self._operations[writer], self._operations[node]])


def _cycles(facts: _Facts) -> Iterator[tuple[str, list[int]]]:
    """(name of the anomaly, transactions in the order of the circle)"""
    written: nx.DiGraph[int] = nx.DiGraph()
    read: nx.DiGraph[int] = nx.DiGraph()
    missed: list[tuple[int, int]] = []
    _dependencies(facts, written, read, missed)
    flow = nx.compose(written, read)
    for group in _groups(written):
        yield "G0", _circle(written, group)
    for group in _groups(flow):
        for a, b in read.edges(group):
            if b in group and (path := _path(flow, b, a, group)):
                yield "G1c", path
                break
    yield from _lost_updates(facts)
    everything = flow.copy()
    everything.add_edges_from(missed)
    for group in _groups(everything):
        inside = [(a, b) for a, b in missed if a in group and b in group]
        single = next((path for a, b in inside if (path := _path(flow, b, a, group))), None)
        if single:
            yield "G-single", single
        for a, b in inside:
            if not _path(flow, b, a, group) and (path := _path(everything, b, a, group)):
                yield "G2", path
                break


def _dependencies(
    facts: _Facts, written: nx.DiGraph[int], read: nx.DiGraph[int], missed: list[tuple[int, int]]
) -> None:
    following: dict[tuple[str, Any], int | None] = {}
    for key, elements in facts.order.items():
        writers = [facts.writer.get((key, element)) for element in elements]
        for before, after in itertools.pairwise(writers):
            if before is not None and after is not None and before != after:
                written.add_edge(before, after)
        for place, element in enumerate(elements):
            later = (writer for writer in writers[place + 1 :] if writer != writers[place])
            following[key, element] = next(later, None)
    first = {key: facts.writer.get((key, elements[0])) for key, elements in facts.order.items() if elements}
    for key, writers_after in facts.unread.items():
        last = facts.writer.get((key, facts.order[key][-1])) if key in facts.order else None
        written.add_edges_from((last, after) for after in writers_after if last is not None)
    for node, key, seen in facts.reads:
        if seen:
            source = facts.writer.get((key, seen[-1]))
            after = following.get((key, seen[-1]))
            if source is not None and source != node:
                read.add_edge(source, node)
        else:
            after = first.get(key)
        if after is not None:
            missed.append((node, after))
        elif len(seen) == len(facts.order.get(key, ())):
            missed.extend((node, unread) for unread in facts.unread[key])
    missed[:] = [(node, after) for node, after in missed if node != after]


def _lost_updates(facts: _Facts) -> Iterator[tuple[str, list[int]]]:
    """Two that read the same state of a key and both appended to it."""
    changers: dict[tuple[str, Any], list[int]] = defaultdict(list)
    for node, key, elements in facts.reads:
        if (key, node) in facts.last_of:
            changers[key, elements[-1] if elements else None].append(node)
    for nodes in changers.values():
        if len(nodes) > 1:
            yield "lost update", nodes


def _groups(graph: nx.DiGraph[int]) -> list[set[int]]:
    return [group for group in nx.strongly_connected_components(graph) if len(group) > 1]


def _circle(graph: nx.DiGraph[int], group: set[int]) -> list[int]:
    return [a for a, _ in nx.find_cycle(graph.subgraph(group))]


def _path(graph: nx.DiGraph[int], start: int, end: int, group: set[int]) -> list[int]:
    """The shortest way, all nodes of it; empty: none. An edge from its end to its start closes the circle."""
    try:
        return list(nx.shortest_path(graph.subgraph(group), start, end))
    except (nx.NetworkXNoPath, nx.NodeNotFound):
        return []
