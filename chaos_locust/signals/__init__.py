"""What the targets tell of themselves while a run goes on, read beside the load in a process of its own."""
