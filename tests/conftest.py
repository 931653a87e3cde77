"""How the tests run: with examples that are the same each time, and one thread a process."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# CI tries the same examples each time, so that a submission is not judged by its luck.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# A shell ignores SIGINT in what it runs in the background, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# There are as many processes as cores, whose threads would only wait for one another. NumPy reads
# this when it is first imported, which is after this.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
