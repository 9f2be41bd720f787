"""Whether meta-training has become slower: this version and another one take turns, a meta-iteration each.

    git worktree add ../before v0.1.0
    python benchmarks/versions.py --before ../before/src --json benchmarks/results/versions.json

For each case both versions are a process each, with the same configuration and seed. A turn is one meta-iteration
(collect, adapt, collect, update) of each, the one straight after the other, so that both meet the same machine. Told is
the ratio of speeds, seconds before / seconds now, its median over turns and its quartiles: 1 is as fast as before.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
CASES: dict[str, dict[str, Any]] = {
    "half-cheetah, promp": {"suite": "half-cheetah-dir-promp-v1", "learner": "promp", "tasks": 20, "copies": 20},
    "half-cheetah, maml": {"suite": "half-cheetah-dir-promp-v1", "learner": "maml", "tasks": 20, "copies": 20},
    "navigation, maml": {"suite": "navigation-maml-v1", "learner": "maml", "tasks": 20, "copies": 20},
    "half-cheetah, rl2": {"suite": "half-cheetah-dir-varibad-v1", "learner": "rl2", "tasks": 100, "copies": 1},
    "bandit, rl2": {"suite": "bandit-bernoulli-k5-n20-v1", "learner": "rl2", "tasks": 1000, "copies": 1},
}
WARM_UP_ITERS = 2
WORKER = """
import importlib, json, sys
from dataclasses import replace
from drml import session
from drml.algos.registry import learner_entry
from drml.envs.api import EnvOptions

def found(name, *homes):  # versions keep it in different places
    for home in homes:
        try:
            return getattr(importlib.import_module(home), name)
        except ModuleNotFoundError:
            pass

meta_train = found("meta_train", "drml.loop.train", "drml.train")
init_progress = found("init_progress", "drml.loop.trainer", "drml.train")
TrainConfig = found("TrainConfig", "drml.loop.config", "drml.train")
case = json.loads(sys.argv[1])
entry = learner_entry(case["learner"])
train = TrainConfig(1, case["tasks"], case["copies"], validation_tasks=1, validate_every=10**6)
config = session.RunConfig(case["suite"], case["learner"], entry.config_type(), entry.default_policy, train, seed=1)
trainer = session.make_trainer(session.set_up(config), EnvOptions(), lambda: False)
progress = init_progress(trainer)
for line in sys.stdin:
    before = progress.seconds
    train = replace(train, meta_iters=progress.meta_iter + 1)
    progress, _ = meta_train(replace(trainer, config=train), progress, [])
    print(progress.seconds - before, progress.env_steps, flush=True)
"""


class Version:
    """A process that meta-trains with the package in a folder, one meta-iteration at a time."""

    def __init__(self, source: Path, case: dict[str, Any]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(source.resolve())}
        words = [sys.executable, "-c", WORKER, json.dumps(case)]
        self.process = subprocess.Popen(
            words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=source
        )

    def turn(self) -> float:
        """Return the seconds of the next meta-iteration, validation left out."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[0])

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()


def measure(case: dict[str, Any], before: Path, turns: int) -> dict[str, Any]:
    """Return how both versions took to a case, turn by turn."""
    versions = {"before": Version(before, case), "now": Version(ROOT / "src", case)}
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    for turn in range(WARM_UP_ITERS + turns):
        for name in list(versions)[:: 1 if turn % 2 else -1]:  # neither is always the first
            seconds[name].append(versions[name].turn())
    for version in versions.values():
        version.end()
    kept = {name: values[WARM_UP_ITERS:] for name, values in seconds.items()}
    low, median, high = np.quantile(np.divide(kept["before"], kept["now"]), (0.25, 0.5, 0.75)).tolist()
    return {**case, "ratio": median, "quartiles": [low, high], "seconds": kept}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the other version's src folder")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", type=Path, help="file to write")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for name, case in CASES.items():
        results[name] = measure(case, args.before, args.turns)
        low, high = results[name]["quartiles"]
        print(
            f"{name}: {results[name]['ratio']:.3f} of the speed before (quartiles {low:.3f} to {high:.3f})", flush=True
        )
    if args.json:
        machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        args.json.write_text(json.dumps({"machine": machine, "cases": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
