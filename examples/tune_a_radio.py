"""Bring your own environment, from Python; docs/bring-your-own.md explains it.

python examples/tune_a_radio.py takes about a minute.
"""

import sys
from pathlib import Path

from radio_tasks import radios

import drml


def main(out: Path) -> None:
    """Train MAML on the radios, adapt it to held-out ones, and write a report."""
    run = drml.train(radios, "maml", meta_iters=50, out=out)
    run.test()  # the return after 0, 1, 2, 3 adaptation steps
    run.report()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/radio"))
