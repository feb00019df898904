"""Faults in Docker's containers."""
