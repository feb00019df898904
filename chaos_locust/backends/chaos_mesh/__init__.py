"""Faults that Chaos Mesh does."""
