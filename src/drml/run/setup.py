"""The objects that a configuration stands for."""

from dataclasses import dataclass, replace

from drml.algos.api import Learner
from drml.collect.collector import Collector
from drml.core.check import check_memory
from drml.core.config import to_dict
from drml.core.phases import Phases
from drml.envs.api import EnvOptions, Suite
from drml.executors.isolated.env import isolated
from drml.policies.encoders.registry import FLAT, encoder_of
from drml.run.config import RunConfig, learner_of, typed_config
from drml.run.footprint import Plan, check_fit
from drml.suites.registry import suite


@dataclass(frozen=True)
class Setup:
    """The objects that a configuration stands for."""

    config: RunConfig
    suite: Suite
    learner: Learner

    def with_room(self, adapt_steps: int) -> "Setup":
        """Return the setup of the same weights, whose memory has room for trials of so many adaptation steps."""
        policy = self.config.policy.with_room((adapt_steps + 1) * self.suite.spec.horizon)
        config = replace(self.config, policy=policy)
        return Setup(config, self.suite, learner_of(config, self.suite.spec))

    def check_fit(self, num_tasks: int, copies: int, adapt_steps: int, learns: bool) -> None:
        """Refuse a meta-episode that can never fit into memory."""
        config, spec = self.config, self.suite.spec
        sizes = (num_tasks, copies, adapt_steps)
        check_fit(
            Plan(spec, config.learner_config, config.policy, *sizes, learns, normalised=config.normalise.observations)
        )

    def collector(self, copies: int, options: EnvOptions, phases: Phases) -> Collector:
        """Return a collector of what the learner adapts on, in a fresh environment."""
        one_episode, bounds = self.learner.adapts_on == "episodes", options.isolation
        options = replace(options, one_episode=one_episode)
        env = isolated(self.suite, bounds, one_episode) if bounds.isolate else self.suite.make(options)
        return Collector(env, self.suite.spec.horizon, copies, phases, options.device, one_episode)


def set_up(config: RunConfig) -> Setup:
    """Return suite and learner of a configuration.

    Raises:
        InputError: if a name or a value is not right.
        ResourceError: if the policy cannot fit into memory.
    """
    config = typed_config(to_dict(config), "config")
    chosen = suite(config.suite)
    encoder = encoder_of(getattr(config.policy, "encoder", FLAT), chosen.spec)
    features = encoder.size_of(chosen.spec.obs_size)
    num_weights = encoder.num_weights + config.policy.num_weights(features, chosen.spec.action.size)
    check_memory(f"a policy of {config.policy}", num_weights)
    return Setup(config, chosen, learner_of(config, chosen.spec))
