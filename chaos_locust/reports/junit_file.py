"""What every JUnit file of ours has in common: a suite with properties, its counts, and when it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from chaos_locust.reports.text import plain


def new_suite(name: str, properties: Mapping[str, str]) -> ET.Element:
    suite = ET.Element("testsuite", name=name)
    parent = ET.SubElement(suite, "properties")
    for key, value in properties.items():
        ET.SubElement(parent, "property", name=key, value=plain(value))
    return suite


def written(suite: ET.Element, took_s: float, started: datetime) -> str:
    """The file, with the counts of the suite's cases."""
    for count, path in (
        ("tests", "testcase"),
        ("failures", "testcase/failure"),
        ("errors", "testcase/error"),
        ("skipped", "testcase/skipped"),
    ):
        suite.set(count, str(len(suite.findall(path))))
    suite.set("time", f"{took_s:.3f}")
    timestamp = started.astimezone(UTC).isoformat(timespec="seconds")
    suite.set("timestamp", timestamp.removesuffix("+00:00"))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
