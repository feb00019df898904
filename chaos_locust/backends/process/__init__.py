"""Faults in processes."""
