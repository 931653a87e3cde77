"""``python -m initcli``."""

from initcli.cli import main

if __name__ == "__main__":
    main()
