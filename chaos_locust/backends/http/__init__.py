"""Faults in HTTP, by the proxy."""
