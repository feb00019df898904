"""Every invariant that there is: what holds, why it matters, what the target has to offer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from invariants.catalogue import machines
from invariants.options import defaults_of, options_to_json, shown_options

_SPACE = "    "
WIDTH = 100


def listing() -> list[dict[str, Any]]:
    """As JSON: name, statement (with the defaults), reason, needs, options with their defaults."""
    return [
        {
            "name": name,
            "statement": machine(None).statement,
            "reason": machine.reason,
            "needs": machine.needs,
            "options": options_to_json(defaults_of(machine)),
        }
        for name, machine in machines().items()
    ]


def render_listing(entries: Sequence[Mapping[str, Any]]) -> str:
    blocks = []
    for entry in entries:
        lines = [str(entry["name"]), *_wrapped("", entry["statement"]), *_wrapped("why: ", entry["reason"])]
        lines += _wrapped("needs: ", entry["needs"])
        if entry["options"]:
            lines += _wrapped("options: ", shown_options(entry["options"]))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _wrapped(heading: str, text: str) -> list[str]:
    return textwrap.wrap(f"{heading}{text}", WIDTH, initial_indent=_SPACE, subsequent_indent=_SPACE)
