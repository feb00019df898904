"""Faults in Kubernetes, over its API alone."""
