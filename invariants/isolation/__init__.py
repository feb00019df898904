"""What transactions of a real PostgreSQL server see of each other, by level, against what it promises."""
