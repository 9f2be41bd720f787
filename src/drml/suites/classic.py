"""Classic control with varied physics: Gymnasium's own environments as families of tasks, a few minutes each.

They are made as a user's own tasks are made. Where buttons can be swapped (`wiring` is −1), no policy without
adaptation or memory is good at all tasks; where only masses and lengths differ, a robust policy comes close to it.

Acrobot and MountainCar pay −1 per step until the goal. Of 50 episodes of random actions one reached Acrobot's, which is
enough to start from, and none MountainCar's: there a gradient learner has nothing to follow until it explores better.
"""

from dataclasses import replace
from typing import Any

import gymnasium as gym

from drml.core.errors import InputError
from drml.core.types import ActionSpec, EnvSpec
from drml.envs.api import Suite
from drml.envs.foreign.copies import AnyEnv, AnyVectorEnv
from drml.envs.foreign.family import GymFamily, task_family
from drml.tasks.parameter import Choice, Uniform

PICTURES = "rgb_array"  # nothing is drawn until somebody asks for it
SWAPPED_OR_NOT = Choice((-1, 1))


@task_family(length=Uniform(0.25, 1.0, ood=(1.0, 1.5)), mass=Uniform(0.05, 0.5), wiring=SWAPPED_OR_NOT)
def cartpole(length: float, mass: float, wiring: int, num_envs: int) -> AnyVectorEnv:
    """Balance a pole of unknown length (half of it, in m) and mass (kg); left and right may be swapped."""
    envs = gym.make_vec(
        "CartPole-v1", num_envs, vectorization_mode="vector_entry_point", max_episode_steps=200, render_mode=PICTURES
    )
    physics: Any = envs.unwrapped
    physics.length, physics.masspole = length, mass
    physics.total_mass, physics.polemass_length = physics.masscart + mass, mass * length
    physics.force_mag = 10.0 * wiring
    return envs


@task_family(gravity=Uniform(5.0, 15.0, ood=(15.0, 20.0)), length=Uniform(0.6, 1.4), mass=Uniform(0.6, 1.4))
def pendulum(gravity: float, length: float, mass: float) -> AnyEnv:
    """Swing up and hold a pendulum of unknown length (m) and mass (kg) under unknown gravity (m/s²)."""
    env = gym.make("Pendulum-v1", render_mode=PICTURES, g=gravity)
    physics: Any = env.unwrapped
    physics.l, physics.m = length, mass
    return env


@task_family(mass_1=Uniform(0.7, 1.3), mass_2=Uniform(0.7, 1.3, ood=(1.3, 1.6)), wiring=SWAPPED_OR_NOT)
def acrobot(mass_1: float, mass_2: float, wiring: int) -> AnyEnv:
    """Swing two links of unknown masses (kg) above the bar; the torque's sign may be swapped. Reward −1 per step."""
    env = gym.make("Acrobot-v1", render_mode=PICTURES)
    physics: Any = env.unwrapped
    physics.LINK_MASS_1, physics.LINK_MASS_2 = mass_1, mass_2
    physics.AVAIL_TORQUE = [-1.0 * wiring, 0.0, 1.0 * wiring]
    return env


@task_family(gravity=Uniform(0.0015, 0.003, ood=(0.003, 0.0035)), wiring=SWAPPED_OR_NOT)
def mountain_car(gravity: float, wiring: int) -> AnyEnv:
    """Rock a car out of a valley of unknown steepness; left and right may be swapped. Reward −1 per step, sparse."""
    env = gym.make("MountainCar-v0", render_mode=PICTURES)
    physics: Any = env.unwrapped
    physics.gravity, physics.force = gravity, 0.001 * wiring
    return env


@task_family(
    gravity=Uniform(-11.0, -6.0, ood=(-6.0, -3.0)),
    wind=Uniform(0.0, 15.0),
    turbulence=Uniform(0.0, 1.5),
    wiring=SWAPPED_OR_NOT,
)
def lunar_lander(gravity: float, wind: float, turbulence: float, wiring: int) -> AnyEnv:
    """Land on a moon of unknown gravity (m/s²), wind and turbulence; the side engines may be swapped."""
    physics: dict[str, Any] = {
        "gravity": gravity,
        "enable_wind": True,
        "wind_power": wind,
        "turbulence_power": turbulence,
    }
    try:
        env = gym.make("LunarLander-v3", render_mode=PICTURES, max_episode_steps=400, **physics)
    except gym.error.DependencyNotInstalled as error:
        raise InputError('the lunar lander needs Box2D: pip install "drml[box2d]"') from error
    return gym.wrappers.TransformAction(env, _other_side, env.action_space) if wiring < 0 else env


def _other_side(action: int) -> int:
    """Return 3 for 1 and 1 for 3, the side engines; 0 is none and 2 the main one."""
    return -action % 4


def _suite(name: str, family: GymFamily, source: str, obs_size: int, action: ActionSpec, horizon: int) -> Suite:
    # The spec is written down, so that listing suites builds no environment; the first one built is held against it.
    spec = EnvSpec(obs_size, action, horizon)
    return replace(family, name=name, source=f"Gymnasium's {source}; the ranges are this project's.", spec=spec).suite()


SUITES: tuple[Suite, ...] = (
    _suite("cartpole-varied-v1", cartpole, "CartPole-v1, cut at 200 steps", 4, ActionSpec("discrete", 2), 200),
    _suite("pendulum-varied-v1", pendulum, "Pendulum-v1", 3, ActionSpec("continuous", 1, bound=1.0), 200),
    _suite("acrobot-varied-v1", acrobot, "Acrobot-v1", 6, ActionSpec("discrete", 3), 500),
    _suite("mountain-car-varied-v1", mountain_car, "MountainCar-v0", 2, ActionSpec("discrete", 3), 200),
    _suite(
        "lunar-lander-varied-v1", lunar_lander, "LunarLander-v3, cut at 400 steps", 8, ActionSpec("discrete", 4), 400
    ),
)
"""The families of classic control."""
