"""What sequences are run against: one file for each kind of system."""
