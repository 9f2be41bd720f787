"""Learners on 2-D navigation, beside an untrained prior: returns by adaptation step and learning curves, over seeds.

    python benchmarks/learners.py reptile               # on navigation-maml-v1, 4.8 million steps a seed
    python benchmarks/learners.py es_maml maml          # on the four corners of ES-MAML, 20 million steps a seed

trains each seed (a run directory below --runs, resumed where it stopped), tests what was trained and what the same seed
began with on the same tasks, and keeps both in results/learners.json beside what is there of others. A seed that is
there is not trained again.

    python benchmarks/learners.py --table

trains nothing and prints what is kept: means over seeds with Student's 95 % intervals.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drml.algos.evolution.es_maml import ESMAMLConfig
from drml.algos.gradient.maml import MAMLConfig
from drml.algos.gradient.reptile import ReptileConfig
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.evaluate import meta_test
from drml.loop.stats import half_width
from drml.policies.mlp import MLPConfig
from drml.run import session
from drml.run.config import RunConfig
from drml.run.log import read_rows
from drml.run.measure import load
from drml.run.setup import Setup, set_up
from drml.tasks.samplers.tested import tasks_to_test

RESULTS = Path(__file__).parent / "results/learners.json"
CORNERS = "navigation-es-maml-corners-v1"
CURVE_POINTS = 50
OPTIONS = EnvOptions(threads=1)

Result = dict[str, Any]


def _size(meta_iters: int, num_tasks: int, copies: int) -> TrainConfig:
    """Return a training whose last policy counts, saved now and then."""
    return TrainConfig(meta_iters, num_tasks, copies, validate_every=meta_iters, checkpoint_every=10)


@dataclass(frozen=True)
class Case:
    """A learner's training, and how it is tested."""

    config: RunConfig
    """What is run, but for the seed."""
    adapt_steps: int
    """Adaptation steps of a test."""
    copies: int
    """Episodes per task and adaptation step of a test."""
    tasks: int = 40
    """Tasks of a test; where there are fewer in all, so many adaptations."""


LINEAR = MLPConfig(hidden=())
CASES = {
    "reptile": Case(
        RunConfig("navigation-maml-v1", "reptile", ReptileConfig(), MLPConfig((100, 100), "relu"), _size(30, 20, 20)),
        adapt_steps=3,
        copies=40,
    ),
    "es_maml": Case(
        RunConfig(CORNERS, "es_maml", ESMAMLConfig(), replace(LINEAR, init_std=1e-6), _size(30, 300, 1)),
        adapt_steps=21,
        copies=1,
        tasks=200,
    ),
    # 124 times 40 tasks x 20 episodes x 2 phases are 19.84 million steps, 30 times 300 tasks x 22 episodes 19.8
    "maml": Case(
        RunConfig(CORNERS, "maml", MAMLConfig(tasks_per_chunk=40), LINEAR, _size(124, 40, 20)),
        adapt_steps=1,
        copies=20,
    ),
}


def tested(setup: Setup, shared: Params, case: Case, seed: int) -> list[float]:
    """Return the mean return after 0, 1, 2, … adaptation steps from these shared parameters."""
    rng = Streams(seed)["test", "test"]
    tasks, is_whole = tasks_to_test(setup.suite.tasks, "test", case.tasks, rng["tasks"])
    met = tasks.repeated(case.tasks // len(tasks)) if is_whole else tasks
    collect = setup.collector(case.copies, OPTIONS, Phases())
    return meta_test(setup.learner, shared, met, collect, rng, case.adapt_steps).curve.mean()


def trained(name: str, seed: int, runs: Path) -> Result:
    """Return what one seed gave, training it first as far as it is not."""
    case, run = CASES[name], runs / f"{name}-seed{seed}"
    config = replace(case.config, seed=seed)
    if (run / "config.json").exists():
        session.resume(run, options=OPTIONS, train=config.train)
    else:
        session.start(config, run, options=OPTIONS)
    setup, progress = set_up(config), load(run).progress
    rows = [row for row in read_rows(run) if row["kind"] == "train"]
    parts = [part for part in np.array_split(np.arange(len(rows)), CURVE_POINTS) if len(part)]
    return {
        "case": name,
        "suite": config.suite,
        "seed": seed,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "trained": tested(setup, progress.state.shared, case, seed),
        "untrained": tested(setup, setup.learner.init(Streams(seed)["init"]).shared, case, seed),
        "curve": {
            "env_steps": [rows[part[-1]]["env_steps"] for part in parts],
            **{
                key: [float(np.mean([rows[i][key] for i in part])) for part in parts]
                for key in ("pre_return", "post_return")
            },
        },
    }


def told(values: Sequence[float]) -> str:
    """Return the mean over seeds with its interval in words."""
    width = half_width(values)
    return f"{np.mean(values):.1f}" + ("" if width is None else f" ± {width:.1f}")


def table(kept: Sequence[Result]) -> str:
    """Return before, after one step and after the last one, of both priors, as Markdown."""
    lines = ["| case | suite | seeds | env steps | prior | before | after one step | after the last | gain |"]
    lines += ["|---" * 9 + "|"]
    for name in CASES:
        mine = [one for one in kept if one["case"] == name]
        for prior in ("untrained", "trained") if mine else ():
            curves = [one[prior] for one in mine]
            steps = mine[0]["env_steps"] / 1e6 if prior == "trained" else 0.0
            cells = [name, mine[0]["suite"], str(len(mine)), f"{steps:.1f} M", prior]
            cells += [told([curve[i] for curve in curves]) for i in (0, 1, -1)]
            cells += [told([curve[-1] - curve[0] for curve in curves])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--runs", type=Path, default=Path("runs/learners"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="train nothing, print what is kept")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    torch.set_num_threads(1)
    file: Path = args.results
    kept: list[Result] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    for name in [] if args.table else args.cases:
        have = {one["seed"] for one in kept if one["case"] == name}
        for seed in (seed for seed in args.seeds if seed not in have):
            kept.append(trained(name, seed, args.runs))
            file.write_text(json.dumps(kept) + "\n", encoding="utf-8")
            print(f"{name}, seed {seed}", flush=True)
    print(table(kept))


if __name__ == "__main__":
    main()
