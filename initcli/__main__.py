"""The command ``initcli``, also as ``python -m initcli``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line, with a start and an end that do not wait for the garbage collector.

    What is made at the start lives until the end, and to look through it again and again takes a
    tenth of a short command's time.
    """
    gc.set_threshold(200_000)
    try:
        from initcli.cli import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
