"""Pure functions from a history to what is wrong with it; one file for each kind of promise."""
