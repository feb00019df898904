"""How a cluster is reached: by a kubeconfig, or by what a pod is given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from yaml import YAMLError

from chaos_locust.backends.kubernetes.words import first_line
from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import Cluster


class NoCluster(BackendError):
    """There is no kubeconfig, none that can be read, or no client."""


def reached(cluster: Cluster) -> tuple[Any, dict[str, str]]:
    """The client's settings, and the kubeconfig and context that they are from, for somebody who comes later
    and elsewhere. Raises NoCluster."""
    try:
        from kubernetes import client
        from kubernetes import config as reading
    except ImportError:
        raise NoCluster(
            "faults in Kubernetes need the package kubernetes: pip install 'chaos-locust[kubernetes]'"
        ) from None
    config: Any = reading  # has no types
    settings, files = client.Configuration(), _files(cluster.kubeconfig)
    try:
        if files is None:
            config.load_incluster_config(settings)
            return settings, {}
        context = cluster.context or config.list_kube_config_contexts(files)[1]["name"]
        config.load_kube_config(files, context, settings)
    except (config.ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        where = files or "what a pod is given"
        raise NoCluster(f"no cluster is known from {where}: {first_line(error)}") from None
    return settings, {"kubeconfig": files, "context": str(context)}


def _files(given: str | None) -> str | None:
    """The kubeconfig, as absolute paths; None: the cluster that this runs in."""
    named = given or os.environ.get("KUBECONFIG")
    if not named and _inside():
        return None
    paths = filter(None, (named or "~/.kube/config").split(os.pathsep))
    return os.pathsep.join(str(Path(path).expanduser().absolute()) for path in paths)


def _inside() -> bool:
    """Whether this runs in a pod."""
    usual = Path("~/.kube/config").expanduser()
    return "KUBERNETES_SERVICE_HOST" in os.environ and not usual.exists()
