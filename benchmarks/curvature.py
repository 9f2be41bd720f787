"""Whether taking MAML's curvature on a share of the episodes costs return: learning curves with some and with all.

    python benchmarks/curvature.py --episodes 1 2 0 --seeds 3 --meta-iters 60 --runs runs/curvature

trains the navigation recipe on 20 tasks with each number of curvature episodes (0: all of them) and stores the
validation returns after adaptation, the line search's tries and the seconds of an update in
results/curvature-navigation.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drml import session
from drml.algos.maml import MAMLConfig
from drml.recipes.catalog import RECIPES
from drml.runlog import read_rows
from drml.session import RunConfig

TASKS = 20
VALIDATE_EVERY = 10  # meta-iterations
RESULT = Path(__file__).parent / "results" / "curvature-navigation.json"


def configured(episodes: int, seed: int, meta_iters: int) -> RunConfig:
    """Return the navigation recipe with this share of the episodes in the curvature."""
    recipe = RECIPES["navigation-maml"].config
    learner = recipe.learner_config
    assert isinstance(learner, MAMLConfig)
    return replace(
        recipe,
        learner_config=replace(learner, curvature_episodes=episodes),
        train=replace(recipe.train, meta_iters=meta_iters, num_tasks=TASKS, validate_every=VALIDATE_EVERY),
        seed=seed,
    )


def curve(config: RunConfig, run: Path) -> dict[str, Any]:
    """Return what one run logged, training it first as far as it is not."""
    if (run / "config.json").exists():
        session.resume(run, train=config.train)
    else:
        session.start(config, run)
    rows = read_rows(run)
    training = [row for row in rows if row["kind"] == "train"]
    return {
        "seed": config.seed,
        "validation_post_return": [row["return_by_step"][-1] for row in rows if row["kind"] == "validation"],
        "line_search_tries": float(np.mean([row["line_search_tries"] for row in training])),
        "steps_accepted": float(np.mean([row["step_accepted"] for row in training])),
        "seconds_per_meta_iter": float(np.median(np.diff([row["seconds"] for row in training]))),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 2, 0])
    parser.add_argument("--seeds", type=int, default=3, help="train seeds 1 … N")
    parser.add_argument("--meta-iters", type=int, default=60)
    parser.add_argument("--runs", type=Path, default=Path("runs/curvature"))
    args = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    for episodes in args.episodes:
        name = str(episodes or "all")
        results[name] = [
            curve(configured(episodes, seed, args.meta_iters), args.runs / f"{name}-seed{seed}")
            for seed in range(1, args.seeds + 1)
        ]
        returns = np.array([run["validation_post_return"] for run in results[name]])  # [seeds, validations]
        print(f"{name:>4} episodes: {returns.mean(0).round(1)}, between seeds ±{returns.std(0, ddof=1)[-1]:.1f}")
    RESULT.write_text(json.dumps({"meta_iters": args.meta_iters, "curvature_episodes": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
