"""All graphs of what was learned, and the facts that each of them carries."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drml.act.adaptive_agent import AdaptiveAgent
from drml.act.learned import Learned
from drml.algos.api import Descends
from drml.core.errors import InputError
from drml.export.acting import acting_graph, memory_shapes, sampling_graph
from drml.export.adapting import adaptation_graph, parameters_graph
from drml.export.graph import Graph
from drml.export.normalising import core_of
from drml.learning.adapt import InnerLoop
from drml.policies.actor_critic import MemoryPolicy

GRAPHS = ("act", "sample", "parameters", "act_with_parameters", "adapt")
"""Names of all graphs that an agent may have."""
ADAPTED = "adaptation_steps"
FACTS = ("reached", "versions", ADAPTED)
"""Facts of a run, or of an agent that has adapted, that exports carry."""


def adapted(agent: AdaptiveAgent, session: int = 0) -> Learned:
    """Return a session of an agent as what was learned: to begin with the parameters that it acts by now.

    What a memory holds of its task is no parameter, so that stays behind.
    """
    own = agent.sessions.agents[session]
    params = {name: value[0] for name, value in own.params.items()} if own.stacked else own.params
    return replace(agent.learned, shared=params, facts={**agent.learned.facts, ADAPTED: agent.steps[session]})


def graphs_of(learned: Learned) -> list[Graph]:
    """Return the graphs that a device without Python needs to act and, where it can be said as a graph, to adapt.

    act                     the most likely action and its distribution; a memory in, a memory out
    sample                  an action drawn from that distribution
    parameters              the parameters to start from                              where no memory adapts
    act_with_parameters     `act` under given parameters                              where no memory adapts
    adapt                   one inner step                                            of a gradient learner
    """
    core, interface = core_of(learned), learned.interface
    policy, shared = core.learner.policy, core.params
    actions, num_seen = interface.actions, interface.spec.num_seen
    graphs = [acting_graph(policy, actions, num_seen, shared, False), sampling_graph(actions)]
    if not learned.adapts_while_acting:
        graphs += [parameters_graph(shared), acting_graph(policy, actions, num_seen, shared, True)]
    if isinstance(core.learner, Descends):
        graphs.append(adaptation_graph(core.learner.inner.adaptation, num_seen, shared))
    return [core.behind(graph) for graph in graphs]


def inner_loop_of(learned: Learned) -> InnerLoop:
    """Return the inner loop of a gradient learner.

    Raises:
        InputError: if the learner adapts in another way; says in which, and what is written instead.
    """
    learner = core_of(learned).learner
    if isinstance(learner, Descends):
        return learner.inner
    name = learned.config.learner
    if learned.adapts_while_acting:
        raise InputError(
            f"{name} has no adaptation step to export: it adapts while it acts, by its memory, which the graph 'act' "
            "takes in and gives out"
        )
    raise InputError(
        f"{name} has no adaptation step to export: it takes no gradient, it tries other parameters and keeps the best; "
        "the graph 'act_with_parameters' acts under any"
    )


def facts_of(learned: Learned) -> dict[str, Any]:
    """Return what each file says of the agent, as JSON values."""
    from drml import __version__

    config, learner = learned.config, core_of(learned).learner
    facts: dict[str, Any] = {
        "drml_version": __version__,
        "suite": config.suite,
        "learner": config.learner,
        **{name: learned.facts[name] for name in FACTS if name in learned.facts},
        **learned.interface.facts(),
        "observation_layout": [list(part) for part in learned.interface.observations.layout],
    }
    if isinstance(learner.policy, MemoryPolicy):
        facts["trial_steps"] = learner.policy.trial_steps
        facts["memory"] = {name: list(shape) for name, shape in memory_shapes(learner.policy).items()}
        facts["memory_starts_as"] = "zeros"
    if isinstance(learner, Descends):
        facts |= _inner_facts(learner.inner)
    return facts


def _inner_facts(inner: InnerLoop) -> Mapping[str, Any]:
    config = inner.adaptation.config
    return {
        "adapts_on": config.adapts_on,
        "step_sizes": [config.lr, config.later_lr],
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
    }
