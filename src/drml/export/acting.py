"""Acting as graphs: the step of a policy from an observation to an action, and an action drawn from its distribution.

A memory's graph takes what the last action brought, then the observation: a trial is one call after another, each fed
with the `next_…` outputs of the one before. Where `steps` is zero a trial begins: the memory is zero, and nothing is
believed of a last action, its reward or an end.
"""

from collections.abc import Mapping
from typing import cast, final

import torch
from torch import Tensor, nn

from drml.core.distribution import Categorical, Distribution, Gaussian
from drml.core.joint import Joint
from drml.core.tree import Params, Tree, tree_leaves
from drml.core.types import ActionSpec
from drml.export.decode import decoder, named_actions
from drml.export.graph import Graph, Weights, given_parameters, parameter_inputs
from drml.policies.actor_critic import MemoryPolicy
from drml.policies.api import Policy
from drml.policies.outputs import Outputs
from drml.spaces.actions import Actions

NEXT = "next_"
"""Prefix of an output that is an input of the next call."""
EXAMPLE_ROWS = 2
"""Rows of the examples; any number but 0 and 1, which tracing takes for constants."""
GIVEN = "action_"
"""Prefix of what stands for the action's distribution."""
BATCH = "batch"
TRIAL_STEP = "trial_step"
MEANING = {
    "observation": "the observation, laid out as drml lays out the observation space; pixels from 0 to 255",
    "previous_action": "the policy_action that was taken at the last call",
    "previous_observation": "what the policy saw in the observation of the last call",
    "reward": "what the last action earned",
    "ended": "true where an episode ended with the last action, in either way; the trial goes on",
    TRIAL_STEP: "steps of the trial so far; zero begins a trial and clears the memory",
    "action": "the action in the units of the action space; of the graph `act`, the most likely one",
    "policy_action": "the same action as the policy gives it: what previous_action and adaptation take",
    "action_mean": "mean of the action's normal distribution, in the units of policy_action",
    "action_log_std": "logarithm of its standard deviation",
    "action_logits": "log-probabilities of the actions, or of the options of each choice; -1e30 is never taken",
    "log_prob": "log-probability (or log-density) of policy_action",
    "noise": "independent numbers: standard normal for each number of an action, or uniform on [0, 1) for an index",
}


@final
class Acting(nn.Module):
    """A step of a policy: observation, and what a memory needs, to action and distribution."""

    def __init__(self, policy: Policy, actions: Actions, params: Params | None = None) -> None:
        """Make the module.

        Args:
            policy: whose step it is.
            actions: the units of the action space.
            params: constants of the graph; None takes them from its inputs.
        """
        super().__init__()
        self._policy = policy
        self.decode = decoder(actions)
        self.weights = None if params is None else Weights(params)

    def forward(self, inputs: Mapping[str, Tensor]) -> Params:
        """Return the outputs by name."""
        params = given_parameters(inputs) if self.weights is None else cast(Params, self.weights())
        with torch.no_grad():
            distribution, fed_back = step_of(self._policy, params, inputs)
            mode = distribution.mode()
            outputs = {**named_actions(self.decode(mode)), "policy_action": mode, **named(distribution)}
            return outputs | fed_back


@final
class Sampling(nn.Module):
    """An action drawn from what `Acting` says of its distribution, by noise that comes from outside."""

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self._kind = actions.spec.kind
        self.decode = decoder(actions)

    def forward(self, inputs: Mapping[str, Tensor]) -> Params:
        """Return the outputs by name."""
        with torch.no_grad():
            tensors = {name.removeprefix(GIVEN): value for name, value in inputs.items() if name.startswith(GIVEN)}
            drawn_from = {"continuous": Gaussian, "discrete": Categorical, "joint": Joint.of}[self._kind]
            distribution = drawn_from(**tensors)
            drawn = distribution.sample(inputs["noise"])
            return {
                **named_actions(self.decode(drawn)),
                "policy_action": drawn,
                "log_prob": distribution.log_prob(drawn),
            }


def acting_graph(policy: Policy, actions: Actions, num_seen: int, params: Params, with_parameters: bool) -> Graph:
    """Return the graph of a step of a policy.

    Args:
        policy: whose step it is.
        actions: the units of the action space.
        num_seen: numbers of an observation.
        params: shared parameters.
        with_parameters: take the parameters as inputs, for those that were adapted; else they are constants.
    """
    inputs = {"observation": torch.zeros(EXAMPLE_ROWS, num_seen), **_memory_inputs(policy, actions.spec)}
    rows = dict.fromkeys(inputs, BATCH)
    module = Acting(policy, actions, None if with_parameters else params)
    inputs |= parameter_inputs(params) if with_parameters else {}
    name, about = ("act_with_parameters", " under given parameters") if with_parameters else ("act", "")
    return Graph(
        name, f"The most likely action, and its distribution{about}.", module.eval(), inputs, rows, _meaning(policy)
    )


def sampling_graph(actions: Actions) -> Graph:
    """Return the graph that draws an action from a distribution."""
    outputs = Outputs(actions.spec)
    numbers = torch.zeros(EXAMPLE_ROWS, actions.spec.num_numbers)
    distribution = outputs.distribution(torch.zeros(EXAMPLE_ROWS, actions.spec.size), numbers)
    inputs = {**named(distribution), "noise": torch.zeros(EXAMPLE_ROWS, *outputs.noise.shape)}
    about = "An action drawn from the distribution that `act` gives, for exploring."
    return Graph("sample", about, Sampling(actions).eval(), inputs, dict.fromkeys(inputs, BATCH), MEANING)


def named(distribution: Distribution) -> Params:
    """Return the tensors of a distribution `[N]` by their names among the outputs, `[N, A]`."""
    return {GIVEN + name: value.clone() for name, value in distribution.tensors().items()}


def step_of(policy: Policy, params: Params, inputs: Mapping[str, Tensor]) -> tuple[Distribution, Params]:
    """Return the distribution `[N]` of a step of a policy, and the outputs that are inputs of the next call."""
    if isinstance(policy, MemoryPolicy):
        return _remembering_step_of(policy, params, inputs)
    distribution, _ = policy.step(params, inputs["observation"].unsqueeze(0), {})
    tensors = distribution.tensors()
    rows = inputs["observation"].shape[0]  # and not its len, which tracing takes for a constant
    return distribution.replace({n: value.expand(1, rows, *value.shape[2:])[0] for n, value in tensors.items()}), {}


def _remembering_step_of(
    policy: MemoryPolicy, params: Params, inputs: Mapping[str, Tensor]
) -> tuple[Distribution, Params]:
    obs, steps = inputs["observation"], inputs[TRIAL_STEP]
    memory = _filled(cast(Tree, policy.initial_carry(1, 1)["memory"]), inputs, "memory")
    seen = inputs["previous_observation"] if policy.recalled_size else obs[..., :0]
    blank: Tree = {"memory": {}, "before": {"obs": seen, "elapsed": torch.zeros_like(obs[..., 0])}}
    told = policy.remember(blank, inputs["previous_action"], inputs["reward"], inputs["ended"])
    before = {**cast(Params, told["before"]), "elapsed": steps.to(obs.dtype)}
    distribution, memory, recalled = policy.step_in_a_row(params, obs, before, memory, steps <= 0)
    following = {NEXT + _flat("memory", path): leaf for path, leaf in tree_leaves(memory)}
    if policy.recalled_size:
        following[NEXT + "previous_observation"] = recalled.clone()
    return distribution, following | {NEXT + TRIAL_STEP: steps + 1}


def memory_shapes(policy: Policy) -> dict[str, tuple[int, ...]]:
    """Return the shapes, without the batch, of the inputs that are fed back; all of them begin as zeros."""
    if not isinstance(policy, MemoryPolicy):
        return {}
    leaves = tree_leaves(cast(Tree, policy.initial_carry(1, 1)["memory"]))
    shapes = {_flat("memory", path): tuple(leaf.shape[2:]) for path, leaf in leaves}
    return (
        shapes | ({"previous_observation": (policy.recalled_size,)} if policy.recalled_size else {}) | {TRIAL_STEP: ()}
    )


def _meaning(policy: Policy) -> dict[str, str]:
    fed_back = dict.fromkeys(memory_shapes(policy), "part of the memory") | MEANING
    following = {NEXT + name: f"{name} of the next call" for name in memory_shapes(policy)}
    return fed_back | following


def _memory_inputs(policy: Policy, action: ActionSpec) -> Params:
    if not isinstance(policy, MemoryPolicy):
        return {}
    taken = torch.zeros(EXAMPLE_ROWS, *action.shape, dtype=action.dtype)
    inputs = {"previous_action": taken, "reward": torch.zeros(EXAMPLE_ROWS)}
    inputs["ended"] = torch.zeros(EXAMPLE_ROWS, dtype=torch.bool)
    leaves = tree_leaves(cast(Tree, policy.initial_carry(1, EXAMPLE_ROWS)["memory"]))
    inputs |= {_flat("memory", path): leaf.squeeze(0) for path, leaf in leaves}
    if policy.recalled_size:
        inputs["previous_observation"] = torch.zeros(EXAMPLE_ROWS, policy.recalled_size)
    return inputs | {TRIAL_STEP: torch.zeros(EXAMPLE_ROWS, dtype=torch.int64)}


def _filled(like: Tree, inputs: Mapping[str, Tensor], name: str) -> Tree:
    filled: Tree = {}
    for key, value in like.items():
        at = _flat(name, key)
        filled[key] = _filled(value, inputs, at) if isinstance(value, dict) else inputs[at]
    return filled


def _flat(name: str, path: str) -> str:
    return f"{name}_{path.replace('/', '_')}"
