"""Databases, caches and backups."""
