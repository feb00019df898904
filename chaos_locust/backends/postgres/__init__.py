"""Faults in PostgreSQL."""
