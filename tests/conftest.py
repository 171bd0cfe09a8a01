"""Settings shared by all tests: repeatable random inputs, one thread per process."""

from __future__ import annotations

import os

from hypothesis import settings

# Before anything imports torch or numpy: the test runner already uses every core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")
