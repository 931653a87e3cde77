"""The command ``initcli``, also as ``python -m initcli``."""

from __future__ import annotations

import gc
import sys

from initcli import process


def main() -> None:
    """Run the command line, with a start and an end that do not wait for the garbage collector.

    What is made at the start lives until the end, and to look through it again and again takes a
    tenth of a short command's time.
    """
    process.end_when_asked()
    gc.set_threshold(200_000)
    try:
        process.take_streams()
        process.mend_environment()
        from initcli.cli.app import run

        run()
    except BaseException as end:
        # An interrupt in the midst of an import may come as any other exception.
        if process.asked_to_end() or isinstance(end, KeyboardInterrupt):
            process.leave(process.interrupt_status())
        if isinstance(end, SystemExit):
            _leave_threads(end.code)
        elif refusal := process.refusal(end):
            sys.stderr.write(f"initcli: {refusal}\n")
            process.leave(2)
        raise
    finally:
        gc.freeze()


def _leave_threads(status: object) -> None:
    """End at once where Python would wait for threads: all is written that is to be.

    They are in the middle of a large matrix, or a person's own functions started them.
    """
    import threading

    if any(
        not each.daemon for each in threading.enumerate() if each is not threading.main_thread()
    ):
        process.leave(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
