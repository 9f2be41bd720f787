"""Bring your own environment, from Python; docs/bring-your-own.md explains it.

python examples/tune_a_radio.py takes about a minute.
"""

import sys
from pathlib import Path

from drml import session
from drml.algos.gradient.maml import MAMLConfig
from drml.loop.config import TrainConfig
from drml.report.page import write_report


def main(out: Path) -> None:
    """Train MAML on the radios, adapt it to held-out ones, and write a report."""
    config = session.RunConfig("radio_tasks:radios", "maml", MAMLConfig(), train=TrainConfig(meta_iters=50))
    session.start(config, out)
    result = session.test(out)
    print([round(point["mean"], 1) for point in result["return_by_step"]])  # return after 0, 1, 2, 3 adaptation steps
    print(write_report(out))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/radio"))
