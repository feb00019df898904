#!/bin/sh
# Runs the tests in a real cluster: run.sh COMMAND, where COMMAND runs pytest.
# The cluster is the one that KUBECONFIG names, or one that the script CHAOS_LOCUST_KUBE_UP starts: called with
# `up node netpol`, its last line is KUBECONFIG=..., and `clean` ends it.
set -eu
if [ -n "${KUBECONFIG:-}" ]; then
    exec "$@" tests/kube
fi
if [ -z "${CHAOS_LOCUST_KUBE_UP:-}" ]; then
    echo "needs a cluster: set KUBECONFIG, or CHAOS_LOCUST_KUBE_UP to a script that starts one" >&2
    exit 2
fi
trap '"$CHAOS_LOCUST_KUBE_UP" clean' EXIT
trap 'exit 1' INT TERM HUP
told=$("$CHAOS_LOCUST_KUBE_UP" up node netpol | tail -n 1)
case $told in
    KUBECONFIG=?*) ;;
    *)
        echo "$CHAOS_LOCUST_KUBE_UP has not told KUBECONFIG=... in its last line, but: $told" >&2
        exit 2
        ;;
esac
KUBECONFIG=${told#KUBECONFIG=} "$@" tests/kube
