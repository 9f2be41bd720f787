"""Twelve environments that others wrote, from PyPI, through everything that `drml` does with a family of tasks.

Each is made a family in a few lines; then `drml check`, `train` with a gradient learner (MAML) and one with memory
(RL²), `test` of both and `report` run on it with tiny budgets: this tries what the packages are like, not what is
learned. Packages are installed in an environment of their own, without the pins that would change torch, NumPy or
Gymnasium; `--install-line` prints the command. What is not installed is skipped, and said.

    python benchmarks/environments.py --install-line
    python benchmarks/environments.py --json benchmarks/results/environments.json
    python benchmarks/environments.py --only platforms crafter --keep /tmp/runs
    drml check environments:platforms                     from this directory, one of them by hand
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from drml import Choice, Dirichlet, LogUniform, Uniform, task_family

HERE = Path(__file__).resolve().parent
LEVELS = Choice(tuple(range(1000)))
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # flappy-bird and pgtg open a window otherwise


class Seeded(gym.Wrapper):
    """Hands the seed of a reset to an environment whose own reset keeps it to itself."""

    def __init__(self, env: gym.Env, seed_it: Callable[[Any, int], object]) -> None:
        super().__init__(env)
        self.seed_it = seed_it

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Seed, then reset."""
        if seed is not None:
            self.seed_it(self.env.unwrapped, seed)
        return self.env.reset(seed=seed, options=options)


class Continued(gym.Wrapper):
    """Resets without a seed go on from the last one, where the environment would draw from the machine's entropy."""

    draws = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset with a seed, the given one or the next."""
        if seed is None:
            seed = int(self.draws.integers(2**31))
        else:
            self.draws = np.random.default_rng(seed)
        return self.env.reset(seed=seed, options=options)


class Level(gym.Wrapper):
    """One level of an environment that draws its levels when it is reset: every reset gets the task's own seed.

    Some draw from the global generators, which are everybody's: they are lent out for the reset alone.
    """

    def __init__(self, env: gym.Env, level: int) -> None:
        super().__init__(env)
        self.level = level

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start the level again."""
        del seed
        kept = random.getstate(), np.random.get_state()  # noqa: NPY002 — that is what they draw from
        try:
            random.seed(self.level)
            np.random.seed(self.level)  # noqa: NPY002
            return self.env.reset(seed=self.level, options=options)
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002


@task_family(steering=Uniform(15.0, 60.0), acceleration=Uniform(2.0, 8.0), horizon=40)
def parking(steering: float, acceleration: float) -> gym.Env:
    """Park a car whose wheels turn by a hidden angle, and whose motor has a hidden force (a Dict of floats)."""
    turns = np.deg2rad([-steering, steering]).tolist()
    action = {"type": "ContinuousAction", "steering_range": turns, "acceleration_range": [-acceleration, acceleration]}
    return gym.make("highway_env:parking-v0", config={"action": action, "duration": 8})


@task_family(level=LEVELS, traffic=Uniform(0.0, 0.1), horizon=60)
def streets(level: int, traffic: float) -> gym.Env:
    """Drive through one map of streets (nested Dict, keys that are no strings, MultiBinary and MultiDiscrete)."""
    size = {"width": 2, "height": 2}
    return Level(import_module("pgtg").PGTGEnv(random_map_context=size, traffic_density=traffic), level)


@task_family(drift=Uniform(-0.02, 0.02), noise=LogUniform(0.002, 0.02), level=LEVELS)
def stocks(drift: float, noise: float, level: int) -> gym.Env:
    """Trade in one stock of hidden drift and noise (a table of prices; ends with it)."""
    steps = np.random.default_rng(level).normal(drift, noise, 61)
    table = import_module("pandas").DataFrame({"Close": np.exp(np.cumsum(steps))})
    env = gym.make("gym_anytrading:stocks-v0", df=table, window_size=10, frame_bound=(10, 61))
    return gym.wrappers.TimeLimit(env, 50)


@task_family(level=LEVELS, horizon=60)
def numberlink(level: int) -> gym.Env:
    """Connect the pairs of one board (a small picture)."""
    board = import_module("numberlink").GeneratorConfig(width=5, height=5, colors=3, min_path_length=2, seed=level)
    return gym.make("numberlink:NumberLinkRGB-v0", generator=board)


@task_family(clear_line=Uniform(1.0, 10.0), gravity=Choice((False, True)), horizon=100)
def tetris(clear_line: float, gravity: bool) -> gym.Env:
    """Play Tetris on a small board, where a line is worth something hidden (a Dict of bytes that are symbols)."""
    game = import_module("tetris_gymnasium.envs.tetris")
    worth = import_module("tetris_gymnasium.mappings.rewards").RewardsMapping(clear_line=clear_line)
    env = game.Tetris(width=6, height=10, gravity=gravity, rewards_mapping=worth)
    return Seeded(env, lambda inner, seed: inner.queue.reset(seed=seed + 1))  # it takes seed 0 for none


@task_family(arms=Dirichlet(shape=(3,)), horizon=50)
def arms(arms: np.ndarray) -> gym.Env:
    """Choose among arms of hidden chances, trial after trial (no end and no time limit)."""
    env = import_module("neurogym").make("Bandit-v0", n=3, p=arms.tolist())
    return gym.wrappers.DtypeObservation(Seeded(env, lambda inner, seed: inner.seed(seed)), np.float32)


@task_family(gap=Choice(tuple(range(80, 160, 5))), horizon=100)
def flappy(gap: int) -> gym.Env:
    """Fly a bird through gaps of one height."""
    return gym.make("flappy_bird_gymnasium:FlappyBird-v0", use_lidar=False, pipe_gap=gap)


@task_family(resistance=LogUniform(0.5, 2.0), inductance=LogUniform(0.5, 2.0), horizon=100)
def motor(resistance: float, inductance: float) -> gym.Env:
    """Make the current of a motor of hidden resistance and inductance follow a reference (a Tuple of boxes)."""
    gem = import_module("gym_electric_motor")
    parameters = {"r_a": 0.016 * resistance, "l_a": 0.019 * inductance}
    return Continued(gem.make("Cont-CC-SeriesDc-v0", motor={"motor_parameter": parameters}))


@task_family(level=LEVELS, horizon=40)
def sokoban(level: int) -> gym.Env:
    """Push the box of one room to its target (old Gym; a picture, of which one pixel in 64 is kept)."""
    room = import_module("gym_sokoban.envs").SokobanEnv(dim_room=(6, 6), num_boxes=1, max_steps=40, reset=False)
    env = Level(import_module("shimmy").GymV21CompatibilityV0(env=room), level)
    small = gym.spaces.Box(0, 255, (12, 12, 3), np.uint8)
    return gym.wrappers.TransformObservation(env, lambda picture: picture[4::8, 4::8], small)


@task_family(level=LEVELS, horizon=40)
def crafter(level: int) -> Any:  # noqa: ANN401 — an environment of the old Gym
    """Survive in one world (old Gym, a picture)."""
    package: Any = import_module("crafter")

    class World(package.Env):
        def reset(self) -> Any:  # noqa: ANN401
            self._episode = 0  # the world is drawn from the seed and the number of the episode
            return super().reset()

        def _balance_chunk(self, chunk: Any, objs: Any) -> None:  # noqa: ANN401
            super()._balance_chunk(chunk, sorted(objs, key=lambda one: tuple(one.pos)))  # a set, in order of addresses

    return World(area=(32, 32), size=(27, 27), seed=level)


@task_family(weight=Dirichlet(shape=(3,)), horizon=80)
def minecart(weight: np.ndarray) -> gym.Env:
    """Mine two ores and burn fuel, each worth something hidden (a vector of rewards)."""
    env = gym.make("mo_gymnasium:minecart-deterministic-v0")
    return import_module("mo_gymnasium.wrappers").LinearReward(env, weight=weight)


class OneJump(gym.ActionWrapper):
    """A jump and its three lengths as four numbers, of which the first chooses the jump."""

    def __init__(self, env: gym.Env, strength: float) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.most = strength * np.concatenate([box.high for box in env.action_space[1]])

    def action(self, action: np.ndarray) -> tuple[int, tuple[np.ndarray, ...]]:
        """Return the platform's own action."""
        lengths = ((action[1:] + 1) / 2 * self.most).astype(np.float32)
        return min(int(1.5 * (action[0] + 1)), 2), tuple(lengths[:, None])


@task_family(strength=Uniform(0.5, 1.0))
def platforms(strength: float) -> gym.Env:
    """Jump from platform to platform with legs of hidden strength (an action of a choice and three numbers)."""
    return OneJump(gym.make("gym_platform:Platform-v0"), strength)


@dataclass(frozen=True)
class Package:
    """Where a family's environment comes from, and what was needed until it was one."""

    name: str
    version: str
    environment: str
    varies: str
    needed: str
    also: str = ""
    """What it imports and `drml` does not bring, by the names of PyPI."""


PACKAGES: dict[str, Package] = {
    "parking": Package(
        "highway-env",
        "1.12.1",
        "parking-v0",
        "steering angle, motor force",
        "a horizon; its own `duration` is 100 s",
        "pandas==3.1.1",
    ),
    "streets": Package(
        "pgtg",
        "0.6.1",
        "PGTGEnv",
        "map, density of traffic",
        "a horizon; each reset draws another map: a wrapper gives it the task's seed",
        "pyyaml==6.0.4 pydantic==2.14.4 pydantic-core==2.50.5 annotated-types==0.8.0 typing-inspection==0.4.5",
    ),
    "stocks": Package(
        "gym-anytrading",
        "2.0.0",
        "stocks-v0",
        "drift, noise, table of prices",
        "`TimeLimit` says what its table ends at, or a horizon",
        "pandas==3.1.1",
    ),
    "numberlink": Package("numberlink", "0.1.7", "NumberLinkRGB-v0", "board", "a horizon"),
    "tetris": Package(
        "tetris-gymnasium",
        "0.3.1",
        "Tetris",
        "worth of a line, gravity",
        "a horizon; seeds: it takes seed 0 for none (`check`: seeding)",
        "opencv-python-headless==5.0.0.93",
    ),
    "arms": Package(
        "neurogym",
        "2.3.1",
        "Bandit-v0",
        "chances of three arms",
        "a horizon; `reset` keeps its seed to itself (`check`: determinism), and observations are float64 "
        "where float32 is declared (`check`: observation): two wrappers",
        "loguru==0.7.3 tqdm==4.70.1 tomlkit==0.15.2 natsort==8.4.0 pydantic-settings==2.16.3 python-dotenv==1.2.4 "
        "pydantic==2.14.4 pydantic-core==2.50.5 annotated-types==0.8.0 typing-inspection==0.4.5",
    ),
    "flappy": Package("flappy-bird-gymnasium", "0.4.0", "FlappyBird-v0", "height of the gaps", "a horizon"),
    "motor": Package(
        "gym-electric-motor",
        "3.0.3",
        "Cont-CC-SeriesDc-v0",
        "resistance, inductance",
        "a horizon; resets without a seed start from the machine's entropy (`check`: determinism): a wrapper, which "
        "training does not need, as it seeds every episode",
        "pathspec==1.1.1",
    ),
    "sokoban": Package(
        "gym-sokoban",
        "0.0.6",
        "SokobanEnv",
        "room",
        "`drml[shimmy]`; rooms are drawn from the global generators at each reset (`check`: seeding, global-rng): the "
        "wrapper of `streets`, which lends them out; a smaller picture, for speed",
        "gym==0.26.2 gym-notices==0.1.0 imageio==2.38.1 tqdm==4.70.1 requests==2.34.2 urllib3==2.8.0 idna==3.20 "
        "certifi==2026.10.19.post1 charset-normalizer==3.5.3",
    ),
    "crafter": Package(
        "crafter",
        "1.8.3",
        "Env",
        "world",
        "`drml[shimmy]`; a horizon; each reset draws another world, and creatures go away in the order of addresses "
        "(`check`: determinism): four lines",
        "gym==0.26.2 gym-notices==0.1.0 imageio==2.38.1 opensimplex==0.4.5.1 ruamel.yaml==0.19.1",
    ),
    "minecart": Package(
        "mo-gymnasium",
        "1.3.2",
        "minecart-deterministic-v0",
        "worth of two ores and of fuel",
        "its own `LinearReward`: rewards are vectors (`check`: reward); a horizon below its limit of 1000, for speed",
    ),
    "platforms": Package(
        "hybrid-platform",
        "0.1.0",
        "Platform-v0",
        "strength of the legs",
        "an `ActionWrapper`: an action is a choice and three numbers, which is refused in one line (exit code 2)",
        "numba==0.68.1 llvmlite==0.50.0",
    ),
}

LEARNERS = {"maml": (), "rl2": ("--policy.size", "32")}
FEW = ("--num-tasks", "2", "--copies", "2")


def command(*words: str, out: Path) -> dict[str, Any]:
    """Run a command of `drml` beside this file; return its exit code and, where it failed, the end of what it said."""
    with (out / "said.txt").open("w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "drml", *words], cwd=HERE, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    said = (out / "said.txt").read_text(errors="replace").strip().splitlines()
    wrong = [] if done.returncode == 0 else [line.replace(str(out), "OUT") for line in said[-3:]]
    return {"exit_code": done.returncode, "said": wrong}


def attempt(family: str, out: Path) -> dict[str, Any]:
    """Return what check, training, test and report gave for one family."""
    name, found = f"environments:{family}", out / "check.json"
    out.mkdir(parents=True)
    outcome: dict[str, Any] = asdict(PACKAGES[family])
    steps = ("--num-tasks", "2", "--steps", "150", "--max-seconds", "150", "--json", str(found))
    outcome["check"] = command("check", name, *steps, out=out)
    if found.exists():
        findings = json.loads(found.read_text())
        outcome["check"]["findings"] = findings
    for learner, flags in LEARNERS.items():
        run = str(out / learner)
        budget = ("--meta-iters", "2", "--validation-tasks", "2", *FEW, *flags)
        outcome[learner] = {
            "train": command("train", name, learner, "--out", run, *budget, out=out),
            "test": command("test", run, "--adapt-steps", "1", *FEW, out=out),
            "report": command("report", run, out=out),
        }
    return outcome


def installed(family: str) -> bool:
    """Return whether a family's package is there, and say so where it is not."""
    package = PACKAGES[family]
    try:
        found = version(package.name)
    except PackageNotFoundError:
        print(f"{family}: {package.name} is not installed, skipped", file=sys.stderr)
        return False
    if found != package.version:
        print(f"{family}: {package.name} is {found}, tried was {package.version}", file=sys.stderr)
    return True


def brief(outcome: dict[str, Any]) -> str:
    """Return the exit codes of one family in a line."""
    parts = [f"check {outcome['check']['exit_code']}"]
    for learner in LEARNERS:
        parts += [f"{learner} {step} {done['exit_code']}" for step, done in outcome[learner].items()]
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=PACKAGES, default=list(PACKAGES), metavar="FAMILY")
    parser.add_argument("--keep", type=Path, help="keep the runs below this directory")
    parser.add_argument("--json", help="write the raw results to this file")
    parser.add_argument("--install-line", action="store_true", help="print how the packages are installed")
    args = parser.parse_args()
    if args.install_line:
        names = {f"{package.name}=={package.version}": None for package in PACKAGES.values()}
        also = {name: None for package in PACKAGES.values() for name in package.also.split()}
        print(sys.executable, "-m pip install --no-deps", *names, *also)
        return
    result: dict[str, Any] = {name: version(name) for name in ("torch", "numpy", "gymnasium", "shimmy")}
    result |= {"python": platform.python_version(), "families": {}}
    with tempfile.TemporaryDirectory() as scratch:
        base = (args.keep or Path(scratch)).resolve()
        for family in filter(installed, args.only):
            outcome = result["families"][family] = attempt(family, base / family)
            print(f"{family}: {brief(outcome)}", flush=True)
            if args.json:  # after each, as all of them take long
                Path(args.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
