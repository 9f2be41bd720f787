"""Environments whose observations are numbers."""

from importlib import import_module

import gymnasium as gym
import numpy as np

from drml import Choice, Dirichlet, LogUniform, Uniform, task_family
from foreign.package import comes_from
from foreign.wrappers import LEVELS, Continued, Level, Seeded


@comes_from(
    "highway-env",
    "1.12.1",
    "parking-v0",
    varies="steering angle, motor force",
    needed="a horizon; its own `duration` is 100 s",
    also="pandas==3.1.1",
)
@task_family(steering=Uniform(15.0, 60.0), acceleration=Uniform(2.0, 8.0), horizon=40)
def parking(steering: float, acceleration: float) -> gym.Env:
    """Park a car whose wheels turn by a hidden angle, and whose motor has a hidden force (a Dict of floats)."""
    turns = np.deg2rad([-steering, steering]).tolist()
    action = {"type": "ContinuousAction", "steering_range": turns, "acceleration_range": [-acceleration, acceleration]}
    return gym.make("highway_env:parking-v0", config={"action": action, "duration": 8})


@comes_from(
    "pgtg",
    "0.6.1",
    "PGTGEnv",
    varies="map, density of traffic",
    needed="a horizon; each reset draws another map: a wrapper gives it the task's seed",
    also="pyyaml==6.0.4 pydantic==2.14.4 pydantic-core==2.50.5 annotated-types==0.8.0 typing-inspection==0.4.5",
)
@task_family(level=LEVELS, traffic=Uniform(0.0, 0.1), horizon=60)
def streets(level: int, traffic: float) -> gym.Env:
    """Drive through one map of streets (nested Dict, keys that are no strings, MultiBinary and MultiDiscrete)."""
    size = {"width": 2, "height": 2}
    return Level(import_module("pgtg").PGTGEnv(random_map_context=size, traffic_density=traffic), level)


@comes_from(
    "gym-anytrading",
    "2.0.0",
    "stocks-v0",
    varies="drift, noise, table of prices",
    needed="`TimeLimit` says what its table ends at, or a horizon",
    also="pandas==3.1.1",
)
@task_family(drift=Uniform(-0.02, 0.02), noise=LogUniform(0.002, 0.02), level=LEVELS)
def stocks(drift: float, noise: float, level: int) -> gym.Env:
    """Trade in one stock of hidden drift and noise (a table of prices; ends with it)."""
    steps = np.random.default_rng(level).normal(drift, noise, 61)
    table = import_module("pandas").DataFrame({"Close": np.exp(np.cumsum(steps))})
    env = gym.make("gym_anytrading:stocks-v0", df=table, window_size=10, frame_bound=(10, 61))
    return gym.wrappers.TimeLimit(env, 50)


@comes_from(
    "neurogym",
    "2.3.1",
    "Bandit-v0",
    varies="chances of three arms",
    needed="a horizon; `reset` keeps its seed to itself (`check`: determinism), and observations are float64 "
    "where float32 is declared (`check`: observation): two wrappers",
    also="loguru==0.7.3 tqdm==4.70.1 tomlkit==0.15.2 natsort==8.4.0 pydantic-settings==2.16.3 python-"
    "dotenv==1.2.4 pydantic==2.14.4 pydantic-core==2.50.5 annotated-types==0.8.0 typing-inspection==0.4.5",
)
@task_family(arms=Dirichlet(shape=(3,)), horizon=50)
def arms(arms: np.ndarray) -> gym.Env:
    """Choose among arms of hidden chances, trial after trial (no end and no time limit)."""
    env = import_module("neurogym").make("Bandit-v0", n=3, p=arms.tolist())
    return gym.wrappers.DtypeObservation(Seeded(env, lambda inner, seed: inner.seed(seed)), np.float32)


@comes_from(
    "flappy-bird-gymnasium",
    "0.4.0",
    "FlappyBird-v0",
    varies="height of the gaps",
    needed="a horizon",
)
@task_family(gap=Choice(tuple(range(80, 160, 5))), horizon=100)
def flappy(gap: int) -> gym.Env:
    """Fly a bird through gaps of one height."""
    return gym.make("flappy_bird_gymnasium:FlappyBird-v0", use_lidar=False, pipe_gap=gap)


@comes_from(
    "gym-electric-motor",
    "3.0.3",
    "Cont-CC-SeriesDc-v0",
    varies="resistance, inductance",
    needed="a horizon; resets without a seed start from the machine's entropy (`check`: determinism): a wrapper,"
    " which training does not need, as it seeds every episode",
    also="pathspec==1.1.1",
)
@task_family(resistance=LogUniform(0.5, 2.0), inductance=LogUniform(0.5, 2.0), horizon=100)
def motor(resistance: float, inductance: float) -> gym.Env:
    """Make the current of a motor of hidden resistance and inductance follow a reference (a Tuple of boxes)."""
    gem = import_module("gym_electric_motor")
    parameters = {"r_a": 0.016 * resistance, "l_a": 0.019 * inductance}
    return Continued(gem.make("Cont-CC-SeriesDc-v0", motor={"motor_parameter": parameters}))


@comes_from(
    "mo-gymnasium",
    "1.3.2",
    "minecart-deterministic-v0",
    varies="worth of two ores and of fuel",
    needed="its own `LinearReward`: rewards are vectors (`check`: reward); a horizon below its limit of 1000, "
    "for speed",
)
@task_family(weight=Dirichlet(shape=(3,)), horizon=80)
def minecart(weight: np.ndarray) -> gym.Env:
    """Mine two ores and burn fuel, each worth something hidden (a vector of rewards)."""
    env = gym.make("mo_gymnasium:minecart-deterministic-v0")
    return import_module("mo_gymnasium.wrappers").LinearReward(env, weight=weight)
