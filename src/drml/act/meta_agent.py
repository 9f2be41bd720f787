"""The outcome of a training, ready to be used: `drml.load(PATH)`."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from gymnasium import Space

from drml.act import folder
from drml.act.adaptive_agent import AdaptiveAgent
from drml.act.asked import LARGEST, whole, wholes
from drml.act.card import LICENCE
from drml.act.curve import Curve
from drml.act.learned import Learned
from drml.act.prediction import State
from drml.act.sessions import Autoreset, Sessions
from drml.core.errors import InputError


@final
@dataclass(frozen=True, repr=False)
class MetaAgent:
    """An agent that has learned to adapt, before it meets a task of yours."""

    learned: Learned
    """Parameters, learner, spaces and facts."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return versions, tasks, what was reached and how the test went, as plain values."""
        return self.learned.facts

    @property
    def observation_space(self) -> "Space[Any]":
        """Return the space of one environment's observations."""
        return self.learned.interface.observation_space

    @property
    def action_space(self) -> "Space[Any]":
        """Return the space of one environment's actions."""
        return self.learned.interface.action_space

    def start(
        self,
        num_copies: int = 1,
        seed: int = 0,
        *,
        sessions: int | Sequence[int] = (0,),
        autoreset: Autoreset = "same_step",
        max_steps: int = 0,
    ) -> AdaptiveAgent:
        """Return an agent that begins to act on a task, or on several at once.

        Args:
            num_copies: B, environments of one task that are acted in at once.
            seed: root of the random streams.
            sessions: how many tasks, K; or a name for each, whole numbers. Sessions of one seed differ by their names,
                and one does in company what it does alone.
            autoreset: what environments do after an episode's end: `same_step` begins the next one within the step, as
                a loop does that calls `reset`; `next_step` spends a step on it (Gymnasium's vector environments, unless
                told otherwise), of which nothing is learned.
            max_steps: the longest life of a transformer's memory, in steps; 0 leaves room for what it was trained on.

        Raises:
            InputError: if a number is out of its range.
        """
        copies, root = whole("start: num_copies", num_copies, 1), whole("start: seed", seed, -LARGEST)
        names = wholes("start: sessions", _names(sessions))
        if len(set(names)) < len(names) or min(names) < 0:
            raise InputError(f"start: sessions is {sessions}, expected different whole numbers of 0 or more")
        if autoreset not in ("same_step", "next_step"):
            raise InputError(f"start: autoreset is {autoreset!r}, expected 'same_step' or 'next_step'")
        learned = self.learned.with_room(whole("start: max_steps", max_steps))
        return AdaptiveAgent(learned, Sessions.of(learned, copies, root, names), root, autoreset)

    def adapt_to(
        self,
        env: Any,  # noqa: ANN401 — of Gymnasium, or of the old gym
        episodes: int = 20,
        steps: int = 1,
        *,
        seed: int = 0,
        session: int = 0,
        take_back: bool = False,
        verbose: bool = True,
        max_steps: int = 0,
    ) -> tuple[AdaptiveAgent, Curve]:
        """Act and adapt in an environment, as `drml test` does; return the adapted agent and its adaptation curve.

        Args:
            env: a `gymnasium.Env` or `VectorEnv` with the spaces that were trained on. It is reset with seeds of the
                session's own, and stays open.
            episodes: episodes before each adaptation step and after the last one. A vector environment of n copies
                plays them in ⌈episodes / n⌉ rounds. A learner that adapts on steps plays as many stretches of a
                horizon's steps. A memory plays as many trials, of steps + 1 episodes each, independent of each other;
                where only one may be spent, as on one robot, pass 1.
            steps: adaptation steps.
            seed: root of the random streams.
            session: name of the session; those of one seed differ by their names.
            take_back: True takes a step back that has made things worse, and ends there.
            verbose: True prints a line to standard error for each point of the curve.
            max_steps: the longest life of a transformer's memory, in steps; at least the steps + 1 episodes.

        Raises:
            InputError: if a number is out of its range, or the environment has other spaces.
            EnvError: if a call of the environment fails, or no sound episode is left.
            NumericError: if a step leads to numbers that are not finite.
        """
        from drml.act.adapting import Plan  # environments are imported by those who have one
        from drml.envs.foreign.lent import Borrowed

        plan, borrowed = Plan(episodes, steps, take_back, verbose), Borrowed(env, self.learned.interface)
        room = max(max_steps, (plan.steps + 1) * self.learned.interface.horizon)
        agent = self.start(borrowed.copies, seed, sessions=[session], max_steps=room)
        return agent.adapt_to(env, episodes, steps, take_back=take_back, verbose=verbose)

    def predict(
        self,
        observation: Any,  # noqa: ANN401 — of the user's space
        state: State | None = None,
        episode_start: Any = None,  # noqa: ANN401
        deterministic: bool = False,
    ) -> tuple[np.ndarray, State | None]:
        """Return actions before adaptation and the next state, as Stable-Baselines3's models do."""
        return self._alone.predict(observation, state, episode_start, deterministic)

    def save(self, path: Path | str, license: str = LICENCE) -> None:
        """Write what was learned as a folder with a model card, which `drml.load` reads.

        Args:
            path: the folder; it is made where there is none, and a saved agent that is there is replaced.
            license: of the weights, by the name that the hubs have for it.

        Raises:
            InputError: if there is something else at the path.
            ResourceError: if it cannot be written; what was there before is untouched.
        """
        folder.save(path, self.learned, licence=license)

    @cached_property
    def _alone(self) -> AdaptiveAgent:
        return self.start()

    def __repr__(self) -> str:
        return f"<MetaAgent: {self.learned.describe()}>"


def _names(sessions: Any) -> Any:  # noqa: ANN401 — the caller's
    """Return the names of so many sessions, or what was given as names."""
    try:
        count = operator.index(sessions)
    except TypeError:
        return sessions
    return range(whole("start: sessions", count, 1))
