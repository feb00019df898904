"""Faults in what a process may use: CPU, memory, descriptors."""
