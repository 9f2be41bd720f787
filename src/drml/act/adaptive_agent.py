"""An agent that acts and adapts in the user's own loop.

    agent = drml.load("runs/nav").start()
    observation, _ = env.reset()
    while ...:
        action = agent.act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        agent.observe(reward, terminated, truncated)
        ...
        agent.adapt()          # between episodes, as often as wanted

It holds K sessions (tasks that have nothing to do with each other) of B copies (environments of one task). A session's
numbers are a function of (seed, session, what it was shown): those of `drml test`, where it meets the same.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from drml.act import folder
from drml.act.asked import wholes
from drml.act.card import LICENCE
from drml.act.curve import Curve
from drml.act.experience import Look
from drml.act.learned import Learned
from drml.act.prediction import Predictor, State
from drml.act.sessions import Acted, Autoreset, Sessions
from drml.act.snapshot import Held
from drml.act.tally import Change
from drml.act.translation import Translation
from drml.collect.rounds import side_by_side
from drml.core.errors import InputError, NumericError
from drml.core.parallel import one_torch_thread
from drml.core.tree import tree_where
from drml.core.types import Agent, Rollout, join_agents

_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class AdaptStep:
    """Outcome of one call of `adapt`."""

    steps: tuple[int, ...]
    """Adaptation steps that each session has taken by now."""
    env_steps: int
    """Environment steps that were learned from; 0 where a memory adapts while it acts."""
    note: str
    """One line that says what was done."""


@final
class AdaptiveAgent:
    """K sessions of an agent, in B copies of an environment each."""

    def __init__(
        self, learned: Learned, sessions: Sessions, seed: int, autoreset: Autoreset, acted: Acted | None = None
    ) -> None:
        """Take over sessions; `drml.load(PATH).start()` begins them.

        Args:
            learned: what they began with.
            sessions: as they stand.
            seed: root of their random streams.
            autoreset: what environments do after an episode's end.
            acted: action of which nothing came yet.
        """
        self.learned = learned
        """Parameters, learner and spaces that the agent began with."""
        self.sessions = sessions
        """The sessions as they stand."""
        self.seed = seed
        """Root of the random streams."""
        self.autoreset: Autoreset = autoreset
        """Behaviour of environments after an episode's end."""
        self.num_sessions, self.num_copies = sessions.elapsed.shape
        self._translation = Translation(learned.interface, self.num_sessions, self.num_copies)
        self._agent = sessions.joined()
        self._acted = acted

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the adaptation steps that each session has taken."""
        return tuple(self.sessions.steps)

    @property
    def agent(self) -> Agent:
        """Return parameters and memory of all sessions as one value, without the notes of their learners."""
        return replace(self._agent, carry=self.sessions.carry)

    @torch.no_grad()
    @one_torch_thread()
    def act(self, observation: Any, explore: bool = True) -> Any:  # noqa: ANN401 — of the user's spaces
        """Return actions at observations, in the environment's own terms and with the same leading axes.

        Args:
            observation: of the space that was trained on, alone or with axes of sessions and copies before it.
            explore: True draws actions from the policy, as learning needs them; False takes the most likely ones, and
                nothing is learned from that episode then.

        Raises:
            InputError: if the observation is not of the space or not finite, or a memory was not told what came of its
                last action.
            NumericError: if the action is not finite.
        """
        sessions = self.sessions
        if self._acted is not None and sessions.carry:
            raise InputError("act: a memory has to be told of its last action first: observe(reward, terminated, …)")
        obs, lead = self._translation.rows("act", observation)
        distribution, carry = self.learned.policy.step(self._agent.params, obs, sessions.carry)
        action = distribution.sample(sessions.noise.next()) if explore else distribution.mode()
        if not math.isfinite(np.add.reduce(action.numpy(), None, np.float64)):
            raise NumericError("act: the action is not finite, the observation drives the policy beyond all numbers")
        self._acted = Acted(obs, action, distribution, carry, explore, lead)
        return self._translation.actions(action, lead)

    @torch.no_grad()
    def observe(
        self,
        reward: Any,  # noqa: ANN401 — a number, or anything like an array
        terminated: Any,  # noqa: ANN401
        truncated: Any,  # noqa: ANN401
        final_obs: Any = None,  # noqa: ANN401 — of the user's space
    ) -> None:
        """Take in what came of the last action: numbers, or arrays with the leading axes of the observations.

        Args:
            reward: what the step earned.
            terminated: True where the task ended the episode: there is no future.
            truncated: True where only looking ended it.
            final_obs: the observations after the step, or `info["final_obs"]` of a vector environment. They matter
                where looking ended before the horizon; left out, those before the step stand in for them.

        Raises:
            InputError: if nothing was acted, a shape is not that of the observations, or a reward is not finite.
                Nothing of the call is taken in then.
        """
        if (acted := self._acted) is None:
            raise InputError("observe: there was no action since the last call; call act(observation) first")
        sessions, told = self.sessions, self._translation
        earned = told.numbers("reward", reward, acted.lead)
        ends = told.flags("terminated", terminated, acted.lead)
        cut = told.flags("truncated", truncated, acted.lead) & ~ends
        after = acted.obs if final_obs is None else told.final("observe", final_obs, acted.lead, acted.obs)
        taken = ~sessions.ended if self.autoreset == "next_step" else np.ones_like(sessions.ended)
        ended = (ends | cut) & taken
        if acted.carry:
            self._remember(acted, earned, ends | cut, taken)
        else:
            self._record(acted, earned, ends, cut, after, taken)
        sessions.elapsed = np.where(taken & ~ended, sessions.elapsed + 1, 0)
        sessions.ended, self._acted = ended, None
        for k in sessions.tally.add(earned, ended, taken):
            if (change := sessions.tally.change(k)).is_worse:
                _log.warning("adaptation has made session %d worse: %s", int(sessions.ids[k]), change.describe())

    def _record(
        self, acted: Acted, reward: np.ndarray, ends: np.ndarray, cut: np.ndarray, after: Tensor, taken: np.ndarray
    ) -> None:
        """Keep what came of an action for the next adaptation step."""
        look = Look(
            obs=acted.obs,
            action=acted.action,
            reward=torch.from_numpy(reward.astype(np.float32)),
            terminated=torch.from_numpy(ends),
            truncated=torch.from_numpy(cut),
            final_obs=after,
            elapsed=torch.from_numpy(self.sessions.elapsed),
            taken=torch.from_numpy(taken),
            explored=torch.full(taken.shape, acted.explored),
        )
        self.sessions.experience.add(look, acted.distribution)

    def _remember(self, acted: Acted, reward: np.ndarray, ended: np.ndarray, taken: np.ndarray) -> None:
        """Take what came of an action into memory."""
        earned = torch.from_numpy(reward.astype(np.float32))
        carry = self.learned.policy.remember(acted.carry, acted.action, earned, torch.from_numpy(ended))
        is_all = taken.all()
        self.sessions.carry = carry if is_all else tree_where(torch.from_numpy(taken), carry, self.sessions.carry)

    @one_torch_thread()
    def adapt(self, sessions: Sequence[int] | None = None) -> AdaptStep:
        """Take an adaptation step on the episodes since the last one, exactly the one that `drml test` takes.

        A learner that adapts on steps takes in running episodes too, as far as they are; one that adapts on episodes
        leaves them out. A memory has adapted while it acted: for it the call only marks the end of an episode.

        Args:
            sessions: which of the K sessions, from 0; None adapts all.

        Raises:
            InputError: if one of them has nothing to learn from; none has adapted then.
            NumericError: if the step leads to numbers that are not finite; all agents are as before.
        """
        chosen = self._chosen(sessions)
        if self.learned.adapts_while_acting:
            self._count_steps(chosen)
            note = f"{self.learned.config.learner} adapts while it acts: its memory holds what it was told"
            return AdaptStep(self.steps, 0, note)
        rollouts = [(group, self._rollout(group)) for group in self._grouped(chosen)]
        adapted = [(group, self._adapted(group, rollout)) for group, rollout in rollouts]
        for group, agent in adapted:
            for row, k in enumerate(group):
                self.sessions.before[k] = self.sessions.agents[k]
                self.sessions.agents[k] = agent.select(torch.tensor([row]))
        self.sessions.experience.forget(torch.tensor(chosen))
        self._count_steps(chosen)
        self._agent = self.sessions.joined()
        taken = sum(rollout.env_steps for _, rollout in rollouts)
        return AdaptStep(self.steps, taken, f"adapted on {taken} environment steps")

    def change(self, session: int = 0) -> Change:
        """Return what the last adaptation step of a session changed: returns of episodes before it and after it."""
        return self.sessions.tally.change(self._chosen([session])[0])

    def adapt_to(
        self,
        env: Any,  # noqa: ANN401 — of Gymnasium, or of the old gym
        episodes: int = 20,
        steps: int = 1,
        *,
        take_back: bool = False,
        verbose: bool = True,
    ) -> "tuple[AdaptiveAgent, Curve]":
        """Act and adapt in an environment, and return the agent that comes of it, and the curve; this one stays.

        The curve begins with the agent as it is: with episodes that an earlier call has played and nobody has adapted
        to yet, else with new ones. What your own loop has shown since the last step is left out; `adapt` first.

        Args:
            env: a `gymnasium.Env` or `VectorEnv` with the spaces that were trained on. It stays open.
            episodes: episodes before each step and after the last one; for a learner that adapts on steps, stretches
                of as many steps as a horizon; for a memory, trials that are begun from what it remembers.
            steps: adaptation steps.
            take_back: True takes a step back that has made things worse, and ends there.
            verbose: True prints a line to standard error for each point of the curve.

        Raises:
            InputError: if a number is out of its range, the environment has other spaces, there are several sessions,
                or a memory would have to become more or fewer.
            EnvError: if a call of the environment fails, or no sound episode is left.
            NumericError: if a step leads to numbers that are not finite.
        """
        from drml.act.adapting import Plan, adapted_to
        from drml.envs.foreign.lent import Borrowed  # environments are imported by those who have one

        plan = Plan(episodes, steps, take_back, verbose)
        if self.num_sessions != 1:
            raise InputError(f"adapt_to: the agent has {self.num_sessions} sessions, expected one")
        borrowed = Borrowed(env, self.learned.interface)
        begun = self.sessions.in_copies(self.learned.policy, borrowed.copies)
        adapted = adapted_to(self.learned, begun, borrowed, plan)
        autoreset: Autoreset = "next_step" if borrowed.restarts_in_next_step else "same_step"
        return AdaptiveAgent(self.learned, adapted.sessions, self.seed, autoreset), adapted.curve

    def take_back(self, sessions: Sequence[int] | None = None) -> None:
        """Return to the agents before their last adaptation step, and forget what was seen since.

        Raises:
            InputError: if one has no step that can be taken back.
        """
        chosen = self._chosen(sessions)
        for k in chosen:
            if self.sessions.before[k] is None:
                raise InputError(f"take_back: session {k} has no adaptation step to take back, or it was taken back")
        for k in chosen:
            self.sessions.agents[k], self.sessions.before[k] = self.sessions.before[k] or self.sessions.agents[k], None
            self.sessions.steps[k] -= 1
            self._begin_phase(k)
            self.sessions.tally.take_back(k, self.sessions.elapsed[k] > 0)
        self.sessions.experience.forget(torch.tensor(chosen))
        self._agent = self.sessions.joined()

    def predict(
        self,
        observation: Any,  # noqa: ANN401 — of the user's space
        state: State | None = None,
        episode_start: Any = None,  # noqa: ANN401
        deterministic: bool = False,
    ) -> tuple[np.ndarray, State | None]:
        """Return the actions at observations and the next state, as Stable-Baselines3's models do.

        Nothing is learned from it, and the session is as before. No reward comes in this way, so a memory sees 0 in
        its place: to let one adapt, use `act` and `observe`.

        Args:
            observation: one of the space, or several along a first axis.
            state: what the last call returned; None begins with the session's own memory.
            episode_start: True where the observation is the first of an episode.
            deterministic: True takes the most likely action.

        Raises:
            InputError: if the observation is not of the space, the state not of so many, or there are more sessions.
        """
        if self.num_sessions != 1:
            raise InputError(f"predict: the agent has {self.num_sessions} sessions, expected one; use act and observe")
        predictor = Predictor(self.learned, self._agent.params, self.sessions.carry)
        rng = None if deterministic else self.sessions.rng["predict", self.sessions.predicted]
        predicted = predictor(observation, state, episode_start, rng)
        self.sessions.predicted += not deterministic
        return predicted

    def save(self, path: Path | str, license: str = LICENCE) -> None:
        """Write the agent as a folder with a model card; `drml.load` of it goes on to the same bits.

        An action of which nothing came yet is kept too: `observe` may follow after loading.

        Args:
            path: the folder; it is made where there is none, and a saved agent that is there is replaced.
            license: of the weights, by the name that the hubs have for it.

        Raises:
            InputError: if there is something else at the path.
            ResourceError: if it cannot be written; what was there before is untouched.
        """
        folder.save(path, self.learned, Held(self.sessions, self._acted, self.seed, self.autoreset), license)

    def _chosen(self, sessions: Sequence[int] | None) -> list[int]:
        chosen = list(range(self.num_sessions)) if sessions is None else wholes("sessions", sessions)
        for k in chosen:
            if not 0 <= k < self.num_sessions:
                raise InputError(f"there is no session {k}, they are numbered from 0 to {self.num_sessions - 1}")
        return sorted(set(chosen))

    def _rollout(self, group: list[int]) -> Rollout:
        """Return what sessions have seen since their last step: a group in their loops, or one elsewhere too."""
        whole = self.learned.learner.adapts_on == "episodes"
        seen = self.sessions.experience.rollout(torch.tensor(group), self.learned.interface.horizon, whole)
        found = [rollout for rollout in (self.sessions.kept[group[0]], seen) if rollout is not None]
        if not found:
            what = "a whole episode" if whole else "a step"
            raise InputError(
                f"adapt: since the last step there is not {what} to learn from in each session; act(observation) with "
                "explore=True and observe(reward, terminated, truncated) first"
            )
        return side_by_side(found) if len(found) > 1 else found[0]

    def _adapted(self, group: list[int], rollout: Rollout) -> Agent:
        step = self.sessions.steps[group[0]]
        agent = join_agents([self.sessions.agents[k] for k in group])
        with torch.no_grad():
            return self.learned.adapted(agent, rollout, step, self.sessions.rng)

    def _grouped(self, chosen: list[int]) -> list[list[int]]:
        """Return sessions in groups that can adapt at once: after as many steps, on what their loops have shown."""
        kept = [[k] for k in chosen if self.sessions.kept[k] is not None]
        rest = [k for k in chosen if self.sessions.kept[k] is None]
        by_step = [[k for k in rest if self.sessions.steps[k] == step] for step in sorted(set(self.steps))]
        return [*kept, *(group for group in by_step if group)]

    def _count_steps(self, chosen: list[int]) -> None:
        for k in chosen:
            self.sessions.steps[k] += 1
            self._begin_phase(k)
            self.sessions.tally.step(k, self.sessions.elapsed[k] > 0)

    def _begin_phase(self, session: int) -> None:
        """Begin what lies between two steps: actions are drawn from a stream of its own.

        An action that was taken before and of which nothing came yet is not the new agent's: nothing is learned of it.
        """
        if self._acted is not None:
            self._acted = replace(self._acted, explored=False)
        self.sessions.kept[session] = None
        self.sessions.noise.begin(session, self.sessions.noise.phase[session] + 1)

    def __repr__(self) -> str:
        taken = ", ".join(map(str, self.steps))
        which = f"{self.num_sessions} x {self.num_copies} copies, after {taken} adaptation steps"
        return f"<AdaptiveAgent: {which}; {self.learned.describe()}>"
