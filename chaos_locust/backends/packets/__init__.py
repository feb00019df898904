"""Faults in packets of the kernel's network."""
