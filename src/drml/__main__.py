"""The command as a process: it heeds signals before it imports anything that takes time."""

import sys

from drml.cli.stop import heed_from_now_on


def main() -> int:
    """Run the command line of this process and return its exit code."""
    heed_from_now_on()
    from drml.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
