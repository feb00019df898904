"""Load tests without a locustfile: profiles with a name, recorded requests, what was measured."""
