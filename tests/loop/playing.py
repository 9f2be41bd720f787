"""One meta-iteration by hand, of any learner on any family."""

from drml.algos.registry import LEARNERS
from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import MetaEpisode
from drml.envs.api import EnvOptions
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.tasks.samplers.uniform import UniformSampler

STEPS, COPIES, TASKS = 6, 2, 3


def played(learner_name, family, **shape):
    """States before and after the update, and the rollouts of its meta-episode; `shape` is of the policy."""
    entry = LEARNERS[learner_name]
    is_memory = isinstance(entry.default_policy, MemoryConfig)
    config = MemoryConfig(size=8, sees_transitions=True, **shape) if is_memory else MLPConfig((8,), **shape)
    learner = entry.make(family.spec, entry.make_policy(family.spec, config, entry.default), entry.default)
    rng = Streams(0)
    state = learner.init(rng["init"])
    tasks = UniformSampler().sample({}, family.tasks, "train", TASKS, rng["tasks"])
    options = EnvOptions(one_episode=learner.adapts_on == "episodes")
    collect = Collector(family.make(options), STEPS, COPIES, Phases(), one_episode=options.one_episode)
    agents, history = [learner.prior(state.shared, tasks, COPIES, rng["prior"])], []
    if hasattr(learner, "propose"):
        agents = [learner.propose(state, tasks, COPIES, rng["prior"])]
    for j in range(learner.adapt_steps + 1):
        rollout, faults = collect.with_faults(learner.policy, agents[-1], tasks, rng["collect", j])
        assert not faults
        history.append(rollout)
        if j < learner.adapt_steps:
            agents.append(learner.adapt(agents[-1], rollout, j, rng["adapt", j]))
    after, _ = learner.update(state, MetaEpisode(tasks, agents, history), rng["update"])
    return state, after, history
