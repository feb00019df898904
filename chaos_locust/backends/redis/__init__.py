"""Faults in Redis."""
