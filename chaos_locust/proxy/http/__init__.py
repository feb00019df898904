"""Toxics on HTTP messages: an addition to Toxiproxy's, as a toxic of the type `http`."""
