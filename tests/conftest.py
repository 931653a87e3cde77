"""Settings for every test: the same examples in CI, signals as in a terminal, one thread each."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# Neither a deadline nor a slow start of the generation says anything on a busy machine.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# CI tries the same examples each time: a change is not judged by chance.
settings.register_profile("ci", settings.get_profile("busy"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "busy")

# A shell has background jobs ignore SIGINT, and nohup has them ignore SIGHUP; child processes
# inherit that. A handler is reset to the default in children.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# Programs that tests start compile their modules once, and not each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# pytest-xdist starts one process per core, so more threads would only compete. NumPy reads this at
# its first import, which is later.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
