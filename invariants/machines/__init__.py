"""One file for each kind of property: what may be done to a target, and what must hold."""
