"""Undoes what was done to a process, from the data of its Undo. Standard library alone, so that the holder,
which has to start quickly, does it as the backends do.

Actions: `nothing`; `hold`: it ends with its holder; `continue`; `cgroup`: {folder, version, controller,
turn_off: whether that was turned on for us}, removes a cgroup of ours; `memory`: {folder, file, before,
ours}, puts the limit of a cgroup back; `descriptors`: {limits}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos_locust.backends.process.signals import STOPPED, go_on
from chaos_locust.backends.resources.cgroup import Cgroup, remove_child, turn_off
from chaos_locust.backends.resources.descriptors import is_put_back, put_back
from chaos_locust.errors import BackendError
from chaos_locust.probes.process import ProcessId


def undo_action(undo: Mapping[str, Any]) -> None:
    """Idempotent. Raises BackendError."""
    match undo["action"]:
        case "continue":
            go_on(ProcessId(**undo["process"]))
        case "cgroup":
            child = Path(undo["folder"])
            remove_child(child)
            if undo["turn_off"]:
                turn_off(Cgroup(child.parent, undo["version"], undo["controller"]))
        case "memory" if not _is_limit_back(undo):
            try:
                (Path(undo["folder"]) / undo["file"]).write_text(undo["before"])
            except OSError as error:
                raise BackendError(
                    f"the limit of {undo['folder']} cannot be put back: {error.strerror}"
                ) from None
        case "descriptors":
            put_back(ProcessId(**undo["process"]), undo["limits"])


def is_undone(undo: Mapping[str, Any]) -> bool:
    """Raises BackendError when it cannot be told."""
    match undo["action"]:
        case "continue":
            return ProcessId(**undo["process"]).state not in STOPPED
        case "cgroup":
            return not Path(undo["folder"]).exists()
        case "memory":
            return _is_limit_back(undo)
        case "descriptors":
            return is_put_back(ProcessId(**undo["process"]), undo["limits"])
    return True


def _is_limit_back(undo: Mapping[str, Any]) -> bool:
    """Whether the limit is not ours: the cgroup may be gone, or be another's by now."""
    try:
        return bool((Path(undo["folder"]) / undo["file"]).read_text().strip() != undo["ours"])
    except FileNotFoundError:
        return True
    except OSError as error:
        raise BackendError(f"the limit of {undo['folder']} cannot be read: {error.strerror}") from None
