"""How much of the bare simulator's speed each robot family keeps, under random actions.

Rollouts through our environment (a reset to new tasks, then a horizon of steps) and the simulator alone take turns in
one process. The simulator replays the controls of the rollout before it, with as many simulations and threads, each
simulation with the physics of its task; where an episode ended, it is put into the state in which the next one began.
What we add is observing (derived fields are copied out for us alone), rewards, ends of episodes, noise and the change
of the robots' physics at reset:

    share_of_simulator = median over turns of (seconds of the simulator / seconds of our rollout)

    python benchmarks/robots.py --json benchmarks/results/robots.json
"""

import argparse
import os
import sys
import time
from typing import Any

import numpy as np
from throughput import emit, machine
from torch import Tensor

from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.envs.mujoco.robot_env import RobotEnv
from drml.envs.mujoco.simulation import Floats, Indices, Simulation
from drml.suites.registry import suite
from drml.tasks.samplers.stratified import StratifiedSampler

WARM_UP_TURNS = 1
FAMILIES = (
    "half-cheetah-dir-promp-v1",
    "half-cheetah-vel-promp-v1",
    "half-cheetah-broken-v1",
    "half-cheetah-payload-v1",
    "ant-dir-promp-v1",
    "ant-vel-maml-rl-pytorch-v1",
    "ant-goal-promp-v1",
    "ant-broken-v1",
    "walker2d-params-promp-v1",
    "walker2d-dir-promp-v1",
    "hopper-params-promp-v1",
    "humanoid-dir-promp-v1",
    "humanoid-dir2d-promp-v1",
    "reacher-goal-v1",
)


class Rollouts:
    """Rollouts of one suite, and the simulator alone on the same controls and restarts."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.suite = suite(name)
        env = self.suite.make(EnvOptions(threads=args.threads))
        if not isinstance(env, RobotEnv):
            raise SystemExit(f"{name} is no robot")
        self.env, self.copies, self.num_tasks = env, args.copies, args.tasks
        self.steps = min(args.steps, self.suite.spec.horizon)
        self.rng = Streams(args.seed)
        variant, num_sims = env.variant, args.tasks * args.copies
        self.bare = Simulation(variant.robot.model_path, num_sims, args.threads, variant.frame_skip)
        """The simulator alone: no derived field is read."""
        self.restarts: list[tuple[int, Indices | None, Floats, Floats]] = []
        """When, which simulations, and their states: the first is the reset's."""

    def run(self, turn: int) -> tuple[float, list[Tensor]]:
        """Run a rollout under random controls and return its seconds and its actions."""
        rng, env = self.rng["turn", turn], self.env
        sampler = StratifiedSampler()
        tasks = sampler.sample({}, self.suite.tasks, "train", self.num_tasks, rng["tasks"])
        shape = (self.steps, self.num_tasks, self.copies, self.suite.spec.action.size)
        actions = list((rng["action"].uniform(shape) * 2.0 - 1.0) / env.variant.action_scale)  # all of [-1, 1]
        self.restarts.clear()
        start = time.perf_counter()
        env.reset(tasks, self.copies, rng["env"])
        seconds = time.perf_counter() - start
        self.restarts.append((0, None, env.simulation.qpos.copy(), env.simulation.qvel.copy()))
        for t, action in enumerate(actions):
            start = time.perf_counter()
            step = env.step(action)
            seconds += time.perf_counter() - start
            ended = np.flatnonzero((step.terminated | step.truncated).reshape(-1).numpy())
            if ended.size and t < self.steps - 1:
                self.restarts.append((t + 1, ended, env.simulation.qpos[ended], env.simulation.qvel[ended]))
        return seconds, actions

    def replay(self, actions: list[Tensor]) -> float:
        """Return the seconds that the simulator alone needs for the last rollout; the first reset is not counted."""
        simulation, controls = self.bare, [self.env.control(action) for action in actions]
        varied = {variation.field for variation in self.env.variant.varies}
        if varied:
            simulation.vary({field: self.env.simulation.batch.expand(field) for field in varied})
        restarts = {t: (ended, qpos, qvel) for t, ended, qpos, qvel in self.restarts}
        simulation.reset(*restarts.pop(0))
        start = time.perf_counter()
        for t, control in enumerate(controls):
            if t in restarts:
                simulation.reset(*restarts[t])
            simulation.ctrl[:] = control
            simulation.batch.step(nstep=simulation.frame_skip)
        return time.perf_counter() - start


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return both speeds of a suite and their ratio."""
    rollouts = Rollouts(name, args)
    ours: list[float] = []
    bare: list[float] = []
    for turn in range(WARM_UP_TURNS + args.turns):
        seconds, actions = rollouts.run(turn)
        alone = rollouts.replay(actions)
        if turn >= WARM_UP_TURNS:
            ours.append(seconds)
            bare.append(alone)
    env_steps = rollouts.steps * args.tasks * args.copies
    shares = np.array(bare) / np.array(ours)
    return {
        "env_steps_per_rollout": env_steps,
        "env_steps_per_second": env_steps / float(np.median(ours)),
        "simulator_steps_per_second": env_steps / float(np.median(bare)),
        "share_of_simulator": float(np.median(shares)),
        "share_quartiles": np.quantile(shares, [0.25, 0.75]).tolist(),
        "rollout_seconds": ours,
        "simulator_seconds": bare,
    }


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--suites", nargs="+", default=list(FAMILIES))
    parser.add_argument("--json", default="-", help="file to write; standard output without")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200, help="steps per rollout; a horizon at most")
    parser.add_argument("--turns", type=int, default=7, help="timed turns, after a warm-up")
    parser.add_argument("--threads", type=int, default=0, help="simulator threads; 0 takes all cores")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse(argv)
    load_before = os.getloadavg()
    families: dict[str, Any] = {}
    for name in args.suites:
        families[name] = measured = measure(name, args)
        share, speed = measured["share_of_simulator"], measured["env_steps_per_second"]
        print(f"{name:<32} {speed:>9,.0f} steps/s  {share:.2f} of the simulator", file=sys.stderr)
    result = {
        "families": families,
        "load_before_and_after": [load_before, os.getloadavg()],
        "settings": vars(args),
        "machine": machine(),
    }
    emit(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
