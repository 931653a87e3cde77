"""The browser that pages are looked at in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(driver: Any) -> Any:
    """A headless Chromium, driven by Playwright; None where there is none.

    It is the one that ``INITCLI_CHROMIUM`` names, or else one that is installed, or Playwright's.
    """
    named = os.environ.get("INITCLI_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None and not Path(driver.chromium.executable_path).exists():
        return None
    return driver.chromium.launch(executable_path=path, args=list(QUIET))
