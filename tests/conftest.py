"""Settings of all tests: property-based ones are seeded and patient, and what tests start can be interrupted."""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("seeded", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seeded")

# What a shell runs in the background ignores interrupts, and would have its children ignore them.
signal.signal(signal.SIGINT, signal.default_int_handler)
