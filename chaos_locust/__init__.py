"""Chaos and SLO plugins for Locust."""
