"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# CI tries the same examples each time, so that a submission is not judged by its luck.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
