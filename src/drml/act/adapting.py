"""Adapting to a user's environment from beginning to end: the acting and learning of `drml test`, on one task.

The environment is the K = 1 task, its copies are the B copies, and what plays and learns is the code that tests. So
the numbers are those of a test wherever the environment shows the same.

An adaptation step takes `episodes` of them: a vector environment of n copies plays them in ⌈episodes / n⌉ rounds, a
plain one plays one after the other. A learner that adapts on episodes plays an episode in each; one that adapts on
steps acts as many steps as a horizon has, of however many episodes these are. A memory adapts within a trial: there are
`episodes` trials then, independent of each other, of steps + 1 episodes each. A robot may spend only one: pass 1.
"""

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch

from drml.act.curve import Curve, curve_of
from drml.act.learned import Learned
from drml.act.sessions import Sessions
from drml.collect.collector import Collector
from drml.collect.rounds import Rounds
from drml.core.errors import EnvError, InputError
from drml.core.parallel import one_torch_thread
from drml.core.phases import Phases
from drml.core.printable import one_line
from drml.core.tree import tree_map
from drml.core.types import Agent, Rollout, Tasks
from drml.envs.foreign.lent import Borrowed
from drml.loop.meet import Meeting, meet

_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Plan:
    """Plan of an adaptation.

    Raises:
        InputError: if a number is none, or out of its range.
    """

    episodes: int
    """Episodes, or stretches of steps, before each adaptation step and after the last one."""
    steps: int
    """Adaptation steps."""
    take_back: bool = False
    """True takes a step back that made things worse, and ends there."""
    verbose: bool = True
    """True prints a line to standard error for each point of the curve."""

    def __post_init__(self) -> None:
        for name, least in (("episodes", 1), ("steps", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InputError(f"adapt_to: {name} is {value!r}, expected a whole number of {least} or more")


@final
@dataclass(frozen=True)
class Adapted:
    """Outcome of an adaptation."""

    sessions: Sessions
    """The one session as it stands now, of as many copies as the environment has."""
    curve: Curve


@torch.no_grad()
@one_torch_thread()
def adapted_to(learned: Learned, begun: Sessions, env: Borrowed, plan: Plan) -> Adapted:
    """Return a session after it has adapted to an environment.

    Args:
        learned: what it began with.
        begun: the session, of the environment's copies; it is taken over.
        env: the environment.
        plan: how much is played and learned.

    Raises:
        EnvError: if a call of the environment fails, or no sound episode is left.
        NumericError: if a step leads to numbers that are not finite.
    """
    game = _Game.of(learned, begun, env, plan)
    first, agents, seconds = begun.steps[0], [game.agent], [0.0]
    history = [] if begun.kept[0] is None else [begun.kept[0]]
    for point in range(plan.steps + 1):
        started = time.monotonic()
        if point:
            agents.append(game.learned_from(agents[-1], history[-1], first + point - 1))
        if point == len(history):
            history.append(game.played_by(agents[-1]))
            seconds[point:] = [time.monotonic() - started]
        curve = curve_of(first, history, seconds)
        _tell(curve, plan)
        if point and curve.changes[-1].is_worse:
            _log.warning("adaptation step %d has made it worse: %s", curve.steps[-1], curve.changes[-1].describe())
            if plan.take_back:
                return Adapted(game.taken_back(agents, first + point - 1), replace(curve, taken_back=True))
    curve = curve_of(first, history, seconds)
    return Adapted(game.ended(agents, history, curve), curve)


def _tell(curve: Curve, plan: Plan) -> None:
    if plan.verbose:
        print(one_line(curve.line(-1)), file=sys.stderr, flush=True)


@dataclass
class _Game:
    """One session's agents in a lent environment."""

    learned: Learned
    begun: Sessions
    collect: Rounds
    phase: int
    """Phase of the streams that is played next."""

    @staticmethod
    def of(learned: Learned, begun: Sessions, env: Borrowed, plan: Plan) -> "_Game":
        one_episode = learned.learner.adapts_on == "episodes"
        batch = env.batch(one_episode)
        collector = Collector(batch, learned.interface.horizon, env.copies, Phases(), one_episode=one_episode)
        rounds = Rounds(collector, -(-plan.episodes // env.copies))
        return _Game(learned, begun, rounds, begun.noise.phase[0])

    @property
    def agent(self) -> Agent:
        """Return the agent that begins: in each round with the memory that the session has."""
        rounds = self.collect.rounds
        carry = tree_map(lambda leaf: leaf.repeat(1, rounds, *[1] * (leaf.dim() - 2)), self.begun.carry)
        return replace(self.begun.agents[0], carry=carry)

    def played_by(self, agent: Agent) -> Rollout:
        """Return what an agent saw in all rounds.

        Raises:
            EnvError: if a call of the environment failed, or no sound episode is left.
        """
        tasks, rng = Tasks({}, self.begun.ids), self.begun.rng
        met = meet(self.learned.learner, agent, tasks, self.collect, rng, 0, self.phase)
        self.phase += 1
        _check_played(met)
        return met.history[0]

    def learned_from(self, agent: Agent, rollout: Rollout, step: int) -> Agent:
        """Return the agent after an adaptation step."""
        return self.learned.adapted(agent, rollout, step, self.begun.rng)

    def ended(self, agents: Sequence[Agent], history: Sequence[Rollout], curve: Curve) -> Sessions:
        """Return the session after the last point; what a memory was told there is in it, others adapt to it next."""
        returns = [row[row.isfinite()].tolist() for row in curve.returns]
        steps = curve.steps[-1]
        if self.learned.adapts_while_acting:
            return self._session(self.learned_from(agents[-1], history[-1], steps), steps + 1, (returns[-1], []))
        before = agents[-2] if len(agents) > 1 else self.begun.before[0]
        session = self._session(agents[-1], steps, ([[], *returns][-2], returns[-1]))
        return replace(session, before=[before], kept=[history[-1]])

    def taken_back(self, agents: Sequence[Agent], steps: int) -> Sessions:
        """Return the session without its last step; what was seen before that would only lead there again."""
        return self._session(agents[-2], steps, ([], []))

    def _session(self, agent: Agent, steps: int, earned: tuple[list[float], list[float]]) -> Sessions:
        begun, copies = self.begun, self.collect.collect.copies
        begun.noise.begin(0, self.phase)
        begun.tally.before[0], begun.tally.after[0] = earned
        carry = tree_map(lambda leaf: leaf[:, -copies:], agent.carry)  # of the last round
        alone = replace(agent, carry={})
        return replace(begun, agents=[alone], before=[None], kept=[None], steps=[steps], carry=carry)


def _check_played(met: Meeting) -> None:
    if not met.faults:
        return
    first = next((fault for _, fault in met.faults if fault.is_of_numbers), met.faults[0][1]).describe()
    if not met.lost:
        unsound = met.history[0].unsound.any(1)
        dropped = f"{int(unsound.sum())} of {unsound.numel()} episodes"
        _log.warning("%s are dropped, nothing is learned from them: the environment was %s", dropped, first)
    elif any(not fault.is_of_numbers for _, fault in met.faults):
        failed = next(fault for _, fault in met.faults if not fault.is_of_numbers)
        raise EnvError(f"adapt_to: the environment {failed.describe()}")
    else:
        raise EnvError(f"adapt_to: no sound episode is left to learn from, the environment was {first}")
