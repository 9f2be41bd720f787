"""Train a recipe with several seeds and store what it reached beside what was published.

    python benchmarks/reproduce.py navigation-maml --seeds 5 --runs runs/recipes

Each seed is a run directory of its own and is resumed where it stopped; a finished seed is not trained again.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from drml import rundir, session
from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.recipes.catalog import RECIPES, Recipe
from drml.stats import stratified_bootstrap

RESULTS = Path(__file__).parent.parent / "src" / "drml" / "recipes" / "results"
ADAPT_STEPS = 3


def train_seed(recipe: Recipe, name: str, seed: int, runs: Path, options: EnvOptions) -> dict:
    """Return the test result of one seed, training it first as far as it is not."""
    run = runs / f"{name}-seed{seed}"
    config = replace(recipe.config, seed=seed)
    if (run / "config.json").exists():
        session.resume(run, options=options, train=config.train)
    else:
        session.start(config, run, options=options)
    print(f"{run}: tested", flush=True)
    return session.test(run, ADAPT_STEPS, recipe.test_tasks, recipe.test_copies, seed=seed, options=options)


def summary(recipe: Recipe, name: str, results: list[dict]) -> dict:
    """Return the recipe's result over seeds, per adaptation step."""
    scores = np.array([[task["return_by_step"] for task in result["tasks"]] for result in results])  # [runs, tasks, S]
    steps = []
    for step in range(scores.shape[2]):
        interval = stratified_bootstrap(scores[:, :, step], rng=Streams(0)["recipe", name, step])
        low, estimate, high = interval.low, interval.estimate, interval.high
        mean = float(scores[:, :, step].mean())
        by_seed = scores[:, :, step].mean(1)
        half = 1.96 * float(by_seed.std(ddof=1)) / len(by_seed) ** 0.5 if len(by_seed) > 1 else None
        published = recipe.published[step] if step < len(recipe.published) else None
        steps.append(
            {"step": step, "mean": mean, "mean_half_width_95": half, "iqm": estimate, "low": low, "high": high}
            | {"published": published, "mean_by_seed": by_seed.tolist()}
        )
    return {
        "recipe": name,
        "source": recipe.source,
        "config": json.loads((Path(results[0]["run"]) / "config.json").read_text()),
        "seeds": [result["seed"] for result in results],
        "return_by_step": steps,
        "env_steps": [result["env_steps"] for result in results],
        "seconds": [result["seconds"] for result in results],
        "versions": rundir.versions(),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--seeds", type=int, default=3, help="train seeds 1 … N")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--threads", type=int, default=0, help="simulator threads; 0: all cores")
    args = parser.parse_args()
    recipe, options = RECIPES[args.name], EnvOptions(threads=args.threads)
    results = []
    for seed in range(1, args.seeds + 1):
        run = str(args.runs / f"{args.name}-seed{seed}")
        results.append(train_seed(recipe, args.name, seed, args.runs, options) | {"run": run})
    stored = summary(recipe, args.name, results)
    rundir.write_json(RESULTS / f"{args.name}.json", stored)
    for point in stored["return_by_step"]:
        print(f"step {point['step']}: {point['mean']:8.2f}   published {point['published']}")


if __name__ == "__main__":
    main()
