"""A fault on what pods of a Kubernetes cluster are configured by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.kubernetes import KubernetesFault
from chaos_locust.faults.kubernetes_inside import InContainer
from chaos_locust.faults.resources import one_of

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def _values(value: dict[str, str | None]) -> dict[str, str | None]:
    if not value:
        raise ValueError("is empty; give keys and their values, such as TIMEOUT: '1'")
    for key in value:
        if not _KEY.fullmatch(key):
            raise ValueError(f"'{key}' is no key; allowed: letters, digits, - . and _")
    return value


class ConfigChange(KubernetesFault):
    """Keys of a ConfigMap or a Secret get other values, and afterwards those that they had. What was before
    is kept in an object of the same kind beside it, so that no value of a Secret is in a lease, the journal
    or an annotation. What the plan gives is in all of them: give a wrong value, never one that is secret.

    Pods that read it when they start have to be started again (`restart`); those that mount it see it after
    up to some 90 s (but never by a subPath)."""

    kind: ClassVar[str] = "config_change"
    summary: ClassVar[str] = "changes keys of a ConfigMap or a Secret, and puts them back"
    effect_text: ClassVar[str] = (
        "the values are there; with restart also new pods that are ready or fail, and with mounted_at the "
        "file in the pods; and the load reached them"
    )
    undo: ClassVar[str] = (
        "by the guardian, by `cleanup`, or by `cleanup --scan`, from a copy of what was before"
    )
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = tuple(
        (verb, "", "configmaps") for verb in ("get", "create", "delete")
    )

    config_map: str | None = Field(default=None, min_length=1, max_length=253, description="its name, or")
    secret: str | None = Field(default=None, min_length=1, max_length=253, description="that of a Secret")
    values: Annotated[dict[str, str | None], AfterValidator(_values)] = Field(
        alias="set", description="keys and their values meanwhile; null takes a key away"
    )
    restart: bool = Field(default=False, description="rolls the workload out anew, after the undo again")
    mounted_at: InContainer | None = Field(
        default=None, description="the file in the container that shows the key, where `set` has one key"
    )

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        problems = super().contradictions(data) + one_of(data, ("config_map",), ("secret",))
        values = data.get("set", data.get("values"))
        if data.get("mounted_at") is not None and isinstance(values, dict) and len(values) != 1:
            problems.append(Problem("mounted_at", f"shows one key, and set has {len(values)}"))
        return problems

    @property
    def place(self) -> tuple[str, str]:
        """(kind, name)"""
        if self.secret is not None:
            return "secret", self.secret
        assert self.config_map is not None
        return "configmap", self.config_map


FAULTS: tuple[type[Fault], ...] = (ConfigChange,)
