"""Compliance audits with evidence."""
