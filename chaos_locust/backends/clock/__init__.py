"""Another time for a process."""
