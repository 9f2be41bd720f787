"""A control loop at a fixed rate: an agent acts on a pendulum 50 times a second, and says how long an action takes.

python examples/control_loop.py AGENT [SECONDS]     AGENT is a run, or what agent.save() or `drml adapt` wrote
"""

import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np

import drml

RATE = 50.0  # Hz


def main(path: Path, seconds: float) -> None:
    """Act for so many seconds."""
    loaded = drml.load(path)
    agent = loaded.start() if isinstance(loaded, drml.MetaAgent) else loaded
    env = gym.make("Pendulum-v1")
    observation, _ = env.reset(seed=0)
    took: list[float] = []
    due = time.perf_counter()
    for _ in range(int(seconds * RATE)):
        start = time.perf_counter()
        action = agent.act(observation, explore=False)
        took.append(time.perf_counter() - start)
        observation, reward, terminated, truncated, _ = env.step(action)
        agent.observe(reward, terminated, truncated)  # of what a memory needs; a gradient learner may leave it out
        if terminated or truncated:
            observation, _ = env.reset()
        due += 1.0 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
    p50, p99 = np.percentile(took, (50, 99)) * 1e6
    print(f"{len(took)} actions, {p50:.0f} µs each at the 50th percentile and {p99:.0f} µs at the 99th")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 5.0)
