"""Episodes of highway-env 1.12.1 that this project's highways are held against: writes their traces.json.

    pip install highway-env==1.12.1
    python benchmarks/driving_traces.py

Each trace has the cars at the start, the actions, and after each step the cars, what is seen, the reward and the end.
It is highway-fast-v0 with 15 other cars; crowded ones make lane changes, rivalry for a lane and crashes frequent.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import gymnasium
import highway_env  # noqa: F401  registers the environments
import numpy as np
from highway_env.envs.common.abstract import AbstractEnv
from numpy.typing import ArrayLike

TO = Path(__file__).parents[1] / "tests" / "suites" / "driving" / "traces.json"
STEPS = 12
WANTED = (14.0, 29.0)
"""Speeds (m/s) that others want, spread further than there: so they overtake."""
# name: seed, settings, politeness, actions (None: drawn; "steering": drawn throttle and steering)
SCENES: dict[str, tuple[int, dict[str, Any], float, list[int] | str | None]] = {
    "following": (0, {"lanes_count": 1}, 0.0, [4] * STEPS),
    "lane-changes": (11, {"lanes_count": 3, "vehicles_density": 2.0}, 0.0, [4] * STEPS),
    "rivals": (12, {"lanes_count": 4, "vehicles_density": 3.0, "ego_spacing": 2.0}, 0.0, [4] * STEPS),
    "polite": (2, {"lanes_count": 4, "vehicles_density": 2.0}, 0.5, [4, 1] * (STEPS // 2)),
    "commands": (3, {"lanes_count": 4}, 0.0, None),
    "cutting-in": (4, {"lanes_count": 3, "vehicles_density": 1.5, "ego_spacing": 2.5}, 0.2, None),
    "crash-behind": (5, {"lanes_count": 1, "vehicles_density": 2.0, "ego_spacing": 2.5}, 0.0, [3] * STEPS),
    "crash-aside": (6, {"lanes_count": 2, "vehicles_density": 2.5}, 0.0, [3, 0, 2, 3] * 3),
    "steering": (7, {"lanes_count": 3, "vehicles_density": 1.5, "ego_spacing": 1.0}, 0.0, "steering"),
}


def record(seed: int, settings: dict[str, Any], politeness: float, given: list[int] | str | None) -> dict[str, Any]:
    """Return one trace."""
    config = {"vehicles_count": 15, **settings}
    if given == "steering":
        config["action"] = {"type": "ContinuousAction"}
    env = gymnasium.make("highway-fast-v0", config=config).unwrapped
    seen, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for car in env.road.vehicles[1:]:
        car.POLITENESS = politeness
        car.target_speed = round(float(rng.uniform(*WANTED)), 3)
    trace: dict[str, Any] = {"lanes": config["lanes_count"], "politeness": politeness, "start": start(env)}
    trace |= {"seen_at_start": rounded(seen), "actions": [], "steps": []}
    for step in range(STEPS):
        if given == "steering":
            action = [float(v) for v in np.round(rng.uniform(-1.0, 1.0, 2) * [1.0, 0.03], 3)]
        else:
            action = int(rng.integers(5)) if given is None else given[step]
        seen, reward, terminated, _, _ = env.step(np.array(action) if given == "steering" else action)
        cars = [[*car.position, car.heading, car.speed, float(car.crashed)] for car in env.road.vehicles]
        lanes = [int(car.target_lane_index[2]) for car in env.road.vehicles if hasattr(car, "target_lane_index")]
        trace["actions"].append(action)
        trace["steps"].append(
            {
                "cars": rounded(cars),
                "lanes": lanes,
                "seen": rounded(seen),
                "reward": float(reward),
                "end": bool(terminated),
            }
        )
        if terminated:
            break
    return trace


def start(env: AbstractEnv) -> list[list[float]]:
    """Return of each car: x, y, heading, speed, lane, speed wanted, clock of lane changes, exponent."""
    rows: list[list[float]] = []
    for car in env.road.vehicles:
        lane = car.target_lane_index[2] if hasattr(car, "target_lane_index") else car.lane_index[2]
        wanted, clock = getattr(car, "target_speed", car.speed), getattr(car, "timer", 0.0)
        rows.append(
            [*map(float, (*car.position, car.heading, car.speed, lane, wanted, clock, getattr(car, "DELTA", 4.0)))]
        )
    return rows


def rounded(numbers: ArrayLike) -> list[Any]:
    """Return numbers to nine digits after the point."""
    return np.round(np.asarray(numbers, np.float64), 9).tolist()


if __name__ == "__main__":
    traces = {name: record(*scene) for name, scene in SCENES.items()}
    for name, trace in traces.items():
        changes = sum(
            a != b for s, t in itertools.pairwise(trace["steps"]) for a, b in zip(s["lanes"], t["lanes"], strict=True)
        )
        print(f"{name:14s} {len(trace['steps'])} steps, {changes} lane changes, crash {trace['steps'][-1]['end']}")
    TO.write_text(
        json.dumps(traces, separators=(",", ":")).replace('"start"', '\n"start"').replace('{"cars"', '\n{"cars"') + "\n"
    )
