"""Normalised observations on and off, on three families, over seeds: what was learned in the same environment steps.

    python benchmarks/normalisation.py                       # all cases, both ways, 5 seeds
    python benchmarks/normalisation.py gridnavi --seeds 1 2 --only on
    python benchmarks/normalisation.py --table               # trains nothing and prints what is kept

Each training writes its result as RUNS/CASE-on-seed1.json; one that is there is not done again, so several processes
may share the work. All that is there goes into results/normalisation.json. On and off begin with the same parameters
and are tested on the same tasks, so that their differences are taken seed by seed.

    cartpole      masses, lengths and wiring differ; positions and speeds are told in mm and mm/s
    gridnavi      a hidden goal; the position is told in thousandths of a cell
    navigation    a hidden goal; the position as it is, between -0.5 and 0.5 or not far from it
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drml.algos.gradient.maml import MAMLConfig
from drml.algos.gradient.promp import ProMPConfig
from drml.algos.memory.rl2 import RL2Config
from drml.algos.normalised import NormaliseConfig
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.api import BatchEnv, EnvOptions, Suite
from drml.loop.config import TrainConfig
from drml.loop.evaluate import meta_test
from drml.loop.stats import half_width
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run import session
from drml.run.config import RunConfig
from drml.run.measure import load
from drml.run.setup import set_up
from drml.suites.registry import SUITES, suite
from drml.tasks.samplers.tested import tasks_to_test

RESULTS = Path(__file__).parent / "results/normalisation.json"
OPTIONS = EnvOptions(threads=1)

Result = dict[str, Any]


class InUnits:
    """An environment whose observations are told in other units; implements `BatchEnv`."""

    def __init__(self, env: BatchEnv, factors: Sequence[float]) -> None:
        self.env, self.factors = env, torch.tensor(factors)

    @property
    def spec(self) -> EnvSpec:
        """Return the environment's spec."""
        return self.env.spec

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Return the first observations in the other units."""
        return self.env.reset(tasks, copies, rng) * self.factors

    def step(self, action: Tensor) -> Step:
        """Return what a step does, its observations in the other units."""
        step = self.env.step(action)
        return replace(step, obs=step.obs * self.factors, final_obs=step.final_obs * self.factors)


def in_units(name: str, known: str, factors: Sequence[float]) -> str:
    """Make a suite known by a name whose observations are those of another, times the factors; return the name."""
    plain = suite(known)

    def make(options: EnvOptions) -> BatchEnv:
        return InUnits(plain.make(options), factors)

    SUITES[name] = Suite(name, plain.summary, plain.source, plain.tasks, plain.spec, make)
    return name


@dataclass(frozen=True)
class Case:
    """A training that is done with and without, and how it is tested."""

    config: RunConfig
    """What is run, but for the seed and the normalisation."""
    adapt_steps: int
    """Adaptation steps of a test."""
    copies: int = 20
    """Episodes per task and adaptation step of a test."""
    tasks: int = 40
    """Tasks of a test."""


def _size(meta_iters: int, num_tasks: int, copies: int) -> TrainConfig:
    """Return a training whose last policy counts."""
    return TrainConfig(meta_iters, num_tasks, copies, validate_every=meta_iters, checkpoint_every=meta_iters)


IN_MM = in_units("cartpole-in-mm", "cartpole-varied-v1", (1000.0, 1000.0, 1.0, 1.0))
IN_THOUSANDTHS = in_units("gridnavi-in-thousandths", "gridnavi-varibad-v1", (1000.0, 1000.0))
CASES = {
    "cartpole": Case(RunConfig(IN_MM, "promp", ProMPConfig(), MLPConfig((32, 32)), _size(25, 10, 10)), 1),
    "gridnavi": Case(
        RunConfig(
            IN_THOUSANDTHS, "rl2", RL2Config(episodes=4, entropy_coef=0.05), MemoryConfig(size=64), _size(80, 20, 10)
        ),
        3,
    ),
    "navigation": Case(
        RunConfig("navigation-maml-v1", "maml", MAMLConfig(), MLPConfig((32, 32)), _size(30, 20, 20)), 1
    ),
}


def trained(name: str, on: bool, seed: int, runs: Path) -> Result:
    """Return what one training gave: mean returns of test tasks before and after each adaptation step."""
    case, run = CASES[name], runs / f"{name}-{_word(on)}-seed{seed}"
    config = replace(case.config, seed=seed, normalise=NormaliseConfig(observations=on))
    if (run / "config.json").exists():
        session.resume(run, options=OPTIONS, train=config.train)
    else:
        session.start(config, run, options=OPTIONS)
    setup, progress, rng = set_up(config), load(run).progress, Streams(seed)["test", "test"]
    tasks, is_whole = tasks_to_test(setup.suite.tasks, "test", case.tasks, rng["tasks"])
    met = tasks.repeated(max(1, case.tasks // len(tasks))) if is_whole else tasks
    tested = partial(meta_test, setup.learner, collect=setup.collector(case.copies, OPTIONS, Phases()), rng=rng)
    curve = tested(progress.state.shared, tasks=met, adapt_steps=case.adapt_steps).curve.mean()
    about = {"case": name, "suite": config.suite, "learner": config.learner, "normalised": on, "seed": seed}
    return {**about, "env_steps": progress.env_steps, "seconds": progress.seconds, "returns": curve}


def _word(on: bool) -> str:
    return "on" if on else "off"


def told(values: Sequence[float]) -> str:
    """Return the mean over seeds with Student's 95 % interval in words."""
    width = half_width(values)
    return f"{np.mean(values):.2f}" + ("" if width is None else f" ± {width:.2f}")


def table(kept: Sequence[Result]) -> str:
    """Return the returns after the last adaptation step, without, with and their paired difference, as Markdown."""
    lines = ["| case | suite, learner | seeds | env steps | off | on | difference |", "|---" * 7 + "|"]
    for name in CASES:
        last = {(one["normalised"], one["seed"]): one["returns"][-1] for one in kept if one["case"] == name}
        seeds = [seed for on, seed in sorted(last) if on and (False, seed) in last]
        if not seeds:
            continue
        one = next(one for one in kept if one["case"] == name)
        off, on = ([last[which, seed] for seed in seeds] for which in (False, True))
        cells = [name, f"{one['suite']}, {one['learner']}", str(len(seeds)), f"{one['env_steps'] / 1e6:.2f} M"]
        cells += [told(off), told(on), told([b - a for a, b in zip(off, on, strict=True)])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--only", choices=("on", "off"), default="", help="train one of the two")
    parser.add_argument("--runs", type=Path, default=Path("runs/normalisation"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="train nothing, print what is kept")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    torch.set_num_threads(1)
    runs: Path = args.runs
    ways = [on for on in (False, True) if args.only in ("", _word(on))]
    todo = [(name, on, seed) for seed in args.seeds for name in args.cases or CASES for on in ways]
    for name, on, seed in [] if args.table else todo:
        file = runs / f"{name}-{_word(on)}-seed{seed}.json"
        if not file.exists():
            result = trained(name, on, seed, runs)
            file.write_text(json.dumps(result) + "\n", encoding="utf-8")
            print(json.dumps(result), flush=True)
    results: Path = args.results
    if not args.table:
        found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(runs.glob("*-seed*.json"))]
        results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(json.loads(results.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
