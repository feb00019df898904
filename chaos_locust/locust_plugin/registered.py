"""A locustfile that adds chaos-locust to other locustfiles: `locust -f registered.py,theirs.py`."""

import chaos_locust

chaos_locust.register()
