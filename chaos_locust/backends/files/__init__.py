"""Faults in files and file systems."""
