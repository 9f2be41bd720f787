"""What taking MAML's curvature on a share of the steps does to learning: curves by env steps and by seconds.

    python benchmarks/curvature.py --suite half-cheetah-dir-promp-v1 --episodes 2 0 --seeds 1 2 3 4 5

trains 20 tasks x 20 episodes with each share (0: everything) and keeps every meta-iteration's return after adaptation,
steps and seconds in results/curvature-SUITE.json, beside what is kept there under other names; runs that were trained
already are not trained again, and go on where they stopped. `--label` tells versions of the code apart. Seconds are
those of the processor on one thread, acting, simulating and updating, so that they can be told beside other work.

    python benchmarks/curvature.py --suite half-cheetah-dir-promp-v1 --table

trains nothing and compares what is kept, over the seeds that all shares have.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drml.algos.gradient.maml import MAMLConfig
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress
from drml.loop.stats import mean_interval
from drml.loop.trainer import Row
from drml.recipes.catalog import RECIPES
from drml.run import session
from drml.run.config import RunConfig
from drml.run.log import read_rows

RESULTS = Path(__file__).parent / "results"
SIZE = {"num_tasks": 20, "copies": 20}
NAVIGATION = "navigation-maml-v1"
META_ITERS = {"half-cheetah-dir-promp-v1": 35, "half-cheetah-vel-promp-v1": 20, NAVIGATION: 25}
SMOOTH = 5  # meta-iterations over whose mean a return is told
LEVELS = (0.5, 0.7, 0.9)  # of the way that two curves have both gone, where what they cost is compared
ALL = "all"
CPU = "cpu.jsonl"

Curve = dict[str, Any]


def configured(suite: str, episodes: int, seed: int, meta_iters: int) -> RunConfig:
    """Return a run with this share in the curvature: navigation as in its recipe, others with all defaults."""
    base = RECIPES["navigation-maml"].config if suite == NAVIGATION else RunConfig(suite, "maml", MAMLConfig())
    assert isinstance(base.learner_config, MAMLConfig)
    return replace(
        base,
        learner_config=replace(base.learner_config, curvature_episodes=episodes),
        train=TrainConfig(meta_iters, **SIZE, validate_every=1000, checkpoint_every=5),
        seed=seed,
    )


class Clock:
    """A listener that notes the processor's seconds of each meta-iteration beside the run's log."""

    def __init__(self, run: Path) -> None:
        self._file, self._last = run / CPU, time.process_time()

    def __call__(self, progress: Progress, rows: Sequence[Row]) -> None:
        """Note the seconds since the meta-iteration before."""
        seconds = time.process_time() - self._last
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"meta_iter": progress.meta_iter, "cpu_seconds": seconds}) + "\n")
        self._last = time.process_time()


def trained(config: RunConfig, run: Path) -> Curve:
    """Return the curve of one run, training it first as far as it is not."""
    options, clock = EnvOptions(threads=1), Clock(run)
    if (run / "config.json").exists():
        session.resume(run, [clock], options, train=config.train)
    else:
        session.start(config, run, [clock], options)
    notes = [json.loads(line) for line in (run / CPU).read_text(encoding="utf-8").splitlines()]
    seconds = {note["meta_iter"]: note["cpu_seconds"] for note in notes}  # of the last try, where one was cut short
    rows = [row for row in read_rows(run) if row["kind"] == "train"]
    return {
        "seed": config.seed,
        "env_steps": [row["env_steps"] for row in rows],
        "cpu_seconds": np.cumsum([seconds[row["meta_iter"]] for row in rows]).round(3).tolist(),
        "post_return": [round(row["post_return"], 4) for row in rows],
        "outer_kl": [round(row["outer_kl"], 6) for row in rows],
        "line_search_tries": [row["line_search_tries"] for row in rows],
    }


def keep(file: Path, name: str, curve: Curve) -> None:
    """Put a curve into the result, in place of an earlier one of this seed."""
    kept: dict[str, list[Curve]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    others = [other for other in kept.get(name, []) if other["seed"] != curve["seed"]]
    kept[name] = sorted([*others, curve], key=lambda one: one["seed"])
    file.write_text(json.dumps(kept) + "\n", encoding="utf-8")


def smooth(curve: Curve) -> np.ndarray:
    """Return the mean of the returns of the last few meta-iterations, at each from the first that has as many."""
    return np.convolve(curve["post_return"], np.full(SMOOTH, 1.0 / SMOOTH), "valid")


def relative_cost(curve: Curve, beside: Curve, axis: str) -> float:
    """Return what a curve takes of what another takes, in steps or seconds, to reach the same returns.

    The returns lie at some shares of the way that both have gone in the end; the ratios' geometric mean counts.
    """
    ours, theirs = smooth(curve), smooth(beside)
    start, end = min(ours[0], theirs[0]), min(ours.max(), theirs.max())
    logs: list[float] = []
    for level in start + (end - start) * np.array(LEVELS):
        first, second = (int(np.flatnonzero(returns >= level)[0]) + SMOOTH - 1 for returns in (ours, theirs))
        logs.append(float(np.log(curve[axis][first] / beside[axis][second])))
    return float(np.exp(np.mean(logs)))


def told(values: Sequence[float]) -> str:
    """Return mean and 95 % interval over seeds (Student's t) in words."""
    if len(values) < 2:
        return f"{values[0]:.3g} (one seed)"
    interval = mean_interval(values)
    return f"{interval.estimate:.3g} ± {interval.high - interval.estimate:.2g}"


def table(kept: Mapping[str, Sequence[Curve]]) -> str:
    """Return a comparison with everything in the curvature, over the seeds that all shares have, as markdown."""
    shared = set.intersection(*({one["seed"] for one in curves} for curves in kept.values()))
    lines = [f"seeds {sorted(shared)}, means ± 95 % over seeds; differences and ratios are taken seed by seed", ""]
    lines += ["| share | return at the end | beside all | steps / all | seconds / all | s per iteration | KL |"]
    lines += ["|---" * 7 + "|"]
    everything = [one for one in kept[ALL] if one["seed"] in shared]
    for name, all_curves in kept.items():
        curves = [one for one in all_curves if one["seed"] in shared]
        pairs = list(zip(curves, everything, strict=True))
        cells = [
            told([smooth(one)[-1] for one in curves]),
            told([smooth(one)[-1] - smooth(other)[-1] for one, other in pairs]),
            told([relative_cost(one, other, "env_steps") for one, other in pairs]),
            told([relative_cost(one, other, "cpu_seconds") for one, other in pairs]),
            told([one["cpu_seconds"][-1] / len(one["cpu_seconds"]) for one in curves]),
            f"{np.mean([one['outer_kl'] for one in curves]):.4f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=sorted(META_ITERS), required=True)
    parser.add_argument("--episodes", type=int, nargs="+", default=[MAMLConfig().curvature_episodes, 0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--meta-iters", type=int, default=0, help="0 takes what the suite is compared over")
    parser.add_argument("--label", default="", help="put before the share's name, to tell versions of the code apart")
    parser.add_argument("--runs", type=Path, default=Path("runs/curvature"))
    parser.add_argument("--table", action="store_true", help="train nothing, compare what is kept")
    args = parser.parse_args()
    file = RESULTS / f"curvature-{args.suite}.json"
    torch.set_num_threads(1)
    for seed in [] if args.table else args.seeds:
        for episodes in args.episodes:
            name = args.label + (f"{episodes} of {SIZE['copies']}" if episodes else ALL)
            config = configured(args.suite, episodes, seed, args.meta_iters or META_ITERS[args.suite])
            run = args.runs / args.suite / f"{name.replace(' ', '-')}-seed{seed}"
            keep(file, name, trained(config, run))
            print(f"{args.suite}, {name}, seed {seed}", flush=True)
    kept: dict[str, list[Curve]] = json.loads(file.read_text(encoding="utf-8"))
    if ALL in kept:
        print(table(kept))


if __name__ == "__main__":
    main()
