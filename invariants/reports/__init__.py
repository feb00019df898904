"""What came of invariants, for people and for machines."""
