"""The command ``initcli``, also as ``python -m initcli``."""

from __future__ import annotations

import gc
import os
import sys

from initcli import process


def main() -> None:
    """Run the command line; every error ends in a message and an exit status."""
    process.handle_signals()
    # What is made at the start lives until the end, so frequent collections find nothing.
    gc.set_threshold(200_000)
    try:
        process.replace_streams()
        # A notebook may name a backend that is not installed here.
        os.environ["MPLBACKEND"] = "agg"
        from initcli.cli.app import app

        app(prog_name="initcli")
    except BaseException as error:
        # An interrupt of an import may arrive as any other exception.
        process.leave_if_interrupted(error)
        if not isinstance(error, SystemExit):
            process.leave(process.report_failure(error, debug="--debug" in sys.argv))
        _leave_threads(error.code)
        raise
    finally:
        gc.freeze()


def _leave_threads(status: object) -> None:
    """End at once if threads are running, for which Python would wait.

    They compute a large matrix, or a user's own function started them.
    """
    import threading

    others = [each for each in threading.enumerate() if each is not threading.main_thread()]
    if not all(each.daemon for each in others):
        process.leave(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
