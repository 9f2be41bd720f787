"""How fast meta-training runs, and how much of the bare simulator's speed it keeps.

Whole meta-iterations (collect, adapt, collect, update) and the simulator alone take turns in one process. The simulator
starts from the states and replays the actions of the meta-iteration before it, with as many simulations and threads.
Both speeds count environment steps, adaptation included:

    share_of_simulator = median over turns of (seconds of the simulator / seconds of the meta-iteration)

    python benchmarks/throughput.py --suite half-cheetah-dir-promp-v1 --learner promp --json -

Other questions are answered instead with --until-return (how long until it has learned) and --memory-growth.
"""

import argparse
import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from drml.algos.api import Learner, LearnerState
from drml.algos.normalised import NormalisedLearner
from drml.algos.registry import LEARNERS, learner_entry
from drml.collect.collector import Collector
from drml.core.config import from_dict, to_dict
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.api import BatchEnv, EnvOptions
from drml.envs.mujoco.robot_env import RobotEnv
from drml.envs.mujoco.simulation import Simulation
from drml.learning.returns import episode_returns
from drml.loop.meet import meta_episode
from drml.suites.registry import suite
from drml.tasks.samplers.stratified import StratifiedSampler

T = TypeVar("T")
WARM_UP_ITERS = 2
HOLDING_ITERS = 5  # meta-iterations that a return has to hold for
MAX_ITERS = 300  # meta-iterations after which a return counts as out of reach
SETTLE_ITERS = 10  # meta-iterations before memory is expected to have levelled off


class RecordingEnv:
    """An environment that remembers how its episodes began and which actions it was given."""

    def __init__(self, env: BatchEnv) -> None:
        self.env = env
        self.replays: list[tuple[Callable[[], object], list[Tensor]]] = []
        """One (function that goes back to the start, actions) per rollout."""

    @property
    def spec(self) -> EnvSpec:
        """Return the environment's spec."""
        return self.env.spec

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Reset and remember."""
        env = self.env
        obs = env.reset(tasks, copies, rng)
        if isinstance(env, RobotEnv):
            qpos, qvel = env.simulation.qpos.copy(), env.simulation.qvel.copy()
            self.replays.append((partial(env.simulation.reset, None, qpos, qvel), []))
        else:
            self.replays.append((partial(env.reset, tasks, copies, rng), []))
        return obs

    def step(self, action: Tensor) -> Step:
        """Step and remember."""
        self.replays[-1][1].append(action)
        return self.env.step(action)

    def replay(self) -> float:
        """Return the seconds that the simulator alone needs for the remembered steps, and forget them."""
        seconds = 0.0
        for go_back, actions in self.replays:
            go_back()
            run = self._bare_run(actions)
            start = time.perf_counter()
            run()
            seconds += time.perf_counter() - start
        self.replays.clear()
        return seconds

    def _bare_run(self, actions: list[Tensor]) -> Callable[[], None]:
        env = self.env
        if not isinstance(env, RobotEnv):
            return partial(_step_all, env, actions)
        return partial(step_bare, env.simulation, [env.control(action) for action in actions])


def step_bare(simulation: Simulation, controls: list[np.ndarray]) -> None:
    """Step the simulator alone under the given controls."""
    for control in controls:
        simulation.ctrl[:] = control
        simulation.batch.step(nstep=simulation.frame_skip)


def _step_all(env: BatchEnv, actions: list[Tensor]) -> None:
    for action in actions:
        env.step(action)


def changed(settings: T, changes: str) -> T:
    """Return settings with some of them replaced by those of a JSON object."""
    return from_dict(type(settings), to_dict(settings) | json.loads(changes))


class Loop:
    """Meta-iterations of one learner on one suite."""

    def __init__(self, args: argparse.Namespace) -> None:
        family = suite(args.suite)
        self.env = RecordingEnv(family.make(EnvOptions(threads=args.threads)))
        entry = learner_entry(args.learner)
        self.config = changed(entry.default, args.config)
        self.policy = changed(entry.default_policy, args.policy)
        policy = entry.make_policy(family.spec, self.policy, self.config)
        self.learner: Learner = entry.make(family.spec, policy, self.config)
        if args.normalise:
            self.learner = NormalisedLearner(family.spec, self.learner)
        self.state: LearnerState = self.learner.init(Streams(args.seed)["init"])
        self.phases = Phases()
        self.collect = Collector(self.env, family.spec.horizon, args.episodes, self.phases)
        self.rng, self.num_tasks, self.tasks = Streams(args.seed), args.tasks, family.tasks
        self.sampler = StratifiedSampler()
        self.meta_iter = 0
        self.post_return = math.nan

    def run(self) -> tuple[float, int]:
        """Run one meta-iteration and return its seconds and environment steps; `post_return` is its last rollout's."""
        self.phases.seconds.clear()
        rng = self.rng["train", self.meta_iter]
        start = time.perf_counter()
        tasks = self.sampler.sample({}, self.tasks, "train", self.num_tasks, rng["tasks"])
        episode = meta_episode(self.learner, self.state.shared, tasks, self.collect, rng, self.learner.adapt_steps)
        with self.phases("update"):
            self.state, _ = self.learner.update(self.state, episode, rng["update"])
        self.meta_iter += 1
        self.post_return = float(episode_returns(episode.history[-1]).nanmean())
        return time.perf_counter() - start, sum(rollout.reward.numel() for rollout in episode.history)


def throughput(loop: Loop, meta_iters: int) -> dict[str, Any]:
    """Return speeds and their ratio, from turns of a meta-iteration and the simulator alone."""
    loop_seconds: list[float] = []
    simulator_seconds: list[float] = []
    phases: list[dict[str, float]] = []
    env_steps = 0
    for turn in range(WARM_UP_ITERS + meta_iters):
        seconds, env_steps = loop.run()
        bare = loop.env.replay()
        if turn >= WARM_UP_ITERS:
            loop_seconds.append(seconds)
            simulator_seconds.append(bare)
            phases.append(dict(loop.phases.seconds))
    shares = np.array(simulator_seconds) / np.array(loop_seconds)
    return {
        "env_steps_per_meta_iter": env_steps,
        "env_steps_per_second": env_steps / float(np.median(loop_seconds)),
        "simulator_steps_per_second": env_steps / float(np.median(simulator_seconds)),
        "share_of_simulator": float(np.median(shares)),
        "share_quartiles": np.quantile(shares, [0.25, 0.75]).tolist(),
        "phases": {name: float(np.median([p[name] for p in phases])) for name in phases[0]},
        "loop_seconds": loop_seconds,
        "simulator_seconds": simulator_seconds,
    }


def time_to_return(loop: Loop, target: float) -> dict[str, Any]:
    """Return the seconds until the return after adaptation first holds at or above `target`.

    It holds where it stays there for `HOLDING_ITERS` meta-iterations; counted are the seconds to the first of them.
    """
    curve: list[tuple[float, int, float]] = []  # seconds, environment steps, return after adaptation
    seconds, env_steps, held = 0.0, 0, 0
    while held < HOLDING_ITERS and len(curve) < MAX_ITERS:
        took, steps = loop.run()
        loop.env.replays.clear()
        seconds, env_steps = seconds + took, env_steps + steps
        held = held + 1 if loop.post_return >= target else 0
        curve.append((seconds, env_steps, loop.post_return))
    reached = curve[-HOLDING_ITERS] if held == HOLDING_ITERS else None
    return {
        "target": target,
        "seconds_to_target": reached and reached[0],
        "env_steps_to_target": reached and reached[1],
        "meta_iters_to_target": reached and len(curve) - HOLDING_ITERS + 1,
        "curve": curve,
    }


def memory_growth(loop: Loop, meta_iters: int) -> dict[str, Any]:
    """Return the slope of resident memory over meta-iterations, by least squares, with its standard error."""
    resident: list[float] = []
    page_mb = resource.getpagesize() / 2**20
    for _ in range(meta_iters):
        loop.run()
        loop.env.replays.clear()
        resident.append(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page_mb)
    y = np.array(resident[SETTLE_ITERS:])
    x = np.arange(len(y)) - (len(y) - 1) / 2.0
    slope = float(x @ y / (x @ x))
    residual = y - y.mean() - slope * x
    error = float(np.sqrt(residual @ residual / (len(y) - 2) / (x @ x)))
    return {"rss_mb_per_meta_iter": slope, "standard_error": error, "settle_iters": SETTLE_ITERS, "rss_mb": resident}


def machine() -> dict[str, Any]:
    """Return what the numbers depend on besides the code."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    packages = ("torch", "numpy", "mujoco")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "torch_threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
    }


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--suite", required=True)
    parser.add_argument("--learner", required=True, choices=sorted(LEARNERS))
    parser.add_argument("--json", nargs="?", const="-", default="-", help="file to write; standard output without")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--meta-iters", type=int, default=7, help="timed turns, after a warm-up")
    parser.add_argument("--threads", type=int, default=0, help="simulator threads; 0 takes all cores")
    parser.add_argument("--torch-threads", type=int, default=0, help="0 is torch's own choice")
    parser.add_argument("--config", default="{}", help="learner settings to change, as a JSON object")
    parser.add_argument("--policy", default="{}", help="policy settings to change, as a JSON object")
    parser.add_argument("--normalise", action="store_true", help="agents see normalised observations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until-return", type=float, metavar="R", help="measure the time to this return instead")
    parser.add_argument("--memory-growth", type=int, default=0, metavar="N", help="measure memory over N instead")
    args = parser.parse_args(argv)
    if args.memory_growth and args.memory_growth < SETTLE_ITERS + 3:
        parser.error(f"--memory-growth needs at least {SETTLE_ITERS + 3} meta-iterations")
    return args


def emit(result: dict[str, Any], file: str) -> None:
    text = json.dumps(result, indent=1)
    if file == "-":
        print(text)
    else:
        Path(file).write_text(text + "\n", encoding="utf-8")


def main(argv: list[str]) -> None:
    args = parse(argv)
    if args.torch_threads:
        torch.set_num_threads(args.torch_threads)
    load_before = os.getloadavg()
    loop = Loop(args)
    if args.memory_growth:
        measured = memory_growth(loop, args.memory_growth)
    elif args.until_return is not None:
        measured = time_to_return(loop, args.until_return)
    else:
        measured = throughput(loop, args.meta_iters)
    result = measured | {
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "load_before_and_after": [load_before, os.getloadavg()],
        "settings": vars(args) | {"config": asdict(loop.config), "policy": asdict(loop.policy)},
        "machine": machine(),
    }
    emit(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
