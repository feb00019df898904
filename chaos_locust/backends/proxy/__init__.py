"""Faults in links, by the proxy."""
