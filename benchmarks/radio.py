"""What the radio of docs/bring-your-own.md reaches: MAML and RL² from its own command lines, over seeds.

    python benchmarks/radio.py --seeds 0 1 2 3 4

trains both as the page says, tests on 100 held-out radios and writes results/radio.json after each training; seeds that
are there already are not trained again.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from drml import session
from drml.algos.registry import learner_entry
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.stats import half_width

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/radio.json"
META_ITERS = {"maml": 50, "rl2": 60}
NUM_TASKS = 100


def write_modules(folder: Path) -> None:
    """Write the page's files, each a block that begins with its name."""
    page = (ROOT / "docs/bring-your-own.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(# radio\w*\.py\n.*?)```", page, re.DOTALL):
        name = block.splitlines()[0].removeprefix("# ")
        if name in ("radio.py", "radio_tasks.py"):
            (folder / name).write_text(block, encoding="utf-8")


def trained(learner: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the return after each adaptation step on held-out radios, and the steps of training."""
    entry = learner_entry(learner)
    train = TrainConfig(meta_iters=META_ITERS[learner])
    config = session.RunConfig("radio_tasks:radios", learner, entry.default, entry.default_policy, train, seed)
    run = folder / f"{learner}-{seed}"
    session.start(config, run, options=EnvOptions(threads=1))
    result = session.test(run, num_tasks=NUM_TASKS, options=EnvOptions(threads=1))
    returns = [point["mean"] for point in result["return_by_step"]]
    return {"learner": learner, "seed": seed, "env_steps": result["env_steps"], "return_by_step": returns}


def table(results: list[dict[str, Any]]) -> str:
    """Return a line per learner: mean return after each step and Student's half-width over seeds."""
    lines: list[str] = []
    for learner in META_ITERS:
        rows = [row for row in results if row["learner"] == learner]
        points = list(zip(*(row["return_by_step"] for row in rows), strict=True))
        cells = [f"{mean(point):.1f}" + (f" ± {half_width(point):.1f}" if len(rows) > 1 else "") for point in points]
        lines.append(f"| `{learner}` | {rows[0]['env_steps'] / 1e6:.2f} M | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, and print the page's table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    seeds: list[int] = parser.parse_args().seeds
    results: list[dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    have = {(row["learner"], row["seed"]) for row in results}
    with tempfile.TemporaryDirectory() as folder:
        write_modules(Path(folder))
        sys.path.insert(0, folder)
        for learner in META_ITERS:
            for seed in (s for s in seeds if (learner, s) not in have):
                results.append(trained(learner, seed, Path(folder)))
                RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
