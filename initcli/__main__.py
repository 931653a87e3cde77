"""The command ``initcli``, also as ``python -m initcli``."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading


def main() -> None:
    """Run the command line, with a start and an end that do not wait for the garbage collector.

    What is made at the start lives until the end, and to look through it again and again takes a
    tenth of a short command's time.
    """
    gc.set_threshold(200_000)
    # Who asks it to end, or hangs up, is to find no half-written files either.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP, and nohup ignores it
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        from initcli.cli import run

        run()
    except SystemExit as end:
        _leave_threads(end.code)
        raise
    except KeyboardInterrupt as interrupt:
        from initcli.terminal import interrupted

        sys.exit(interrupted(interrupt))
    except OSError as error:
        # What is printed outside of a command: help, and the version.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"standard output cannot be written: {error.strerror}\n")
        sys.exit(2)
    finally:
        gc.freeze()


def _end(number: int, _: object) -> None:
    """End as Ctrl-C does, and the second time at once."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt(number)


def _leave_threads(status: object) -> None:
    """End at once where Python would wait for threads: all is written that is to be.

    They are in the middle of a large matrix, or a person's own functions started them.
    """
    if any(
        not each.daemon for each in threading.enumerate() if each is not threading.main_thread()
    ):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
