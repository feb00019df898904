"""How it is run: scans, documents, monitoring, personal data."""
