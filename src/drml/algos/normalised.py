"""A learner of any kind whose agents see normalised observations; it learns from what they saw.

    shared = (θ, count, mean, M2)        acting, adapting and the update of one meta-iteration see the same moments
    update:  θ by the learner, from normalised rollouts; then count, mean, M2 ← merged with what was shown in them

Nothing but `update` changes the moments, so testing does not. Rollouts hold what environments showed. Steps of episodes
that are not sound are not counted, and flags and one-hot entries count as zeros, so that nothing is done to them.
Baselines, too, see what the policy sees.
"""

from dataclasses import dataclass, replace

from drml.algos.api import Learner, LearnerState, Metrics, Proposes
from drml.core.rng import Streams
from drml.core.tree import Params, stack_shared
from drml.core.types import AdaptsOn, Agent, EnvSpec, MetaEpisode, Rollout, Tasks
from drml.policies.normalised import Moments, NormalisedPolicy, Normaliser, own


@dataclass(frozen=True)
class NormaliseConfig:
    """Running normalisation of what agents see."""

    observations: bool = False
    """Numbers of observations in units of their running mean and standard deviation, within ten of them; pictures,
    symbols, flags and one-hot entries stay as they are."""


class NormalisedLearner:
    """A learner behind a normaliser; implements `Learner` and `Proposes`."""

    def __init__(self, spec: EnvSpec, learner: Learner) -> None:
        self.learner = learner
        self.normaliser, self._flags = Normaliser(spec.parts, spec.obs_size), list(spec.flags)
        self.policy = NormalisedPolicy(learner.policy, self.normaliser)
        self.adapt_steps = learner.adapt_steps
        self.adapts_on: AdaptsOn = learner.adapts_on

    def init(self, rng: Streams) -> LearnerState:
        """Return the learner's state before meta-training, and the moments of nothing."""
        state = self.learner.init(rng)
        return replace(state, shared=state.shared | Moments.none(self.normaliser.size).params())

    def prior(self, shared: Params, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return the learner's prior with the moments."""
        return _with(Moments.of(shared), self.learner.prior(own(shared), tasks, copies, rng), len(tasks))

    def propose(self, state: LearnerState, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return what the learner proposes, or else its prior, with the moments."""
        if not isinstance(self.learner, Proposes):
            return self.prior(state.shared, tasks, copies, rng)
        agent = self.learner.propose(replace(state, shared=own(state.shared)), tasks, copies, rng)
        return _with(Moments.of(state.shared), agent, len(tasks))

    def adapt(self, agent: Agent, rollout: Rollout, adapt_step: int, rng: Streams) -> Agent:
        """Return the agent after an adaptation step on what it saw, with the same moments."""
        moments = Moments.of(agent.params)
        seen = self.normaliser.see_rollout(moments, rollout)
        adapted = self.learner.adapt(replace(agent, params=own(agent.params)), seen, adapt_step, rng)
        return _with(moments, adapted, len(rollout.reward))

    def update(self, state: LearnerState, episode: MetaEpisode, rng: Streams) -> tuple[LearnerState, Metrics]:
        """Return the state after the learner's update, and after that of the moments."""
        moments = Moments.of(state.shared)
        agents = [replace(agent, params=own(agent.params)) for agent in episode.agents]
        history = [self.normaliser.see_rollout(moments, rollout) for rollout in episode.history]
        seen = MetaEpisode(episode.tasks, agents, history)
        updated, metrics = self.learner.update(replace(state, shared=own(state.shared)), seen, rng)
        for rollout in episode.history:
            counted = self.normaliser.numbers(rollout.obs[rollout.valid])
            counted[:, self._flags] = 0.0
            moments = moments.merged(counted)
        return replace(updated, shared=updated.shared | moments.params()), metrics


def _with(moments: Moments, agent: Agent, num_tasks: int) -> Agent:
    params = moments.params()
    return replace(agent, params=agent.params | (stack_shared(params, num_tasks) if agent.stacked else params))
