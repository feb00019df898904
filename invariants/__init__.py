"""Stateful invariants, checked while things break."""
