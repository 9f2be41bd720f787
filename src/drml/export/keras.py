"""Agents as Keras models: a `.keras` file that loads under TensorFlow and torch, without code of ours.

    observation [O] ──────────────────────────────▶ action           in the units of the action space, the most likely
                                                     policy_action    the same as the policy gives it
                                                     action_mean, action_log_std | action_logits
    previous_action, reward, ended, trial_step ───▶ next_trial_step   where a memory adapts; so `memory_…`
    memory_…, previous_observation                   next_memory_…

A memory takes what its last action brought with the next observation: each `next_…` output goes in again at the next
call. Where `trial_step` is zero a trial begins: the memory is zero, and nothing is believed of what came before.
"""

import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor

from drml.act.learned import Learned
from drml.core.errors import InputError
from drml.core.tree import Params, Tree, tree_leaves
from drml.export.keras_parts import States, Symbolic, Weights, acted, decoded, remembered
from drml.policies.actor_critic import MemoryPolicy
from drml.policies.keras_module import KerasModule, torch_backend
from drml.policies.mlp import CategoricalMLP, GaussianMLP
from drml.policies.module import ModulePolicy
from drml.run import durable
from drml.spaces.actions import ListedActions
from drml.spaces.box_actions import BoxActions
from drml.spaces.joint_actions import JointActions

NEXT = "next_"
"""Prefix of an output that is an input of the next call."""
TRIAL_STEP = "trial_step"


def check_can_write() -> None:
    """Check, before any work is done, that Keras models can be written.

    Raises:
        InputError: names the package that is missing and the way to get it.
    """
    from importlib.util import find_spec

    if find_spec("keras") is None:
        raise InputError("a Keras model needs keras: pip install 'drml[keras]'")


def to_keras(learned: Learned, out: Path | str) -> Path:
    """Write what was learned as a Keras model, and return its file.

    Args:
        learned: of a run, or of an agent that has adapted.
        out: a file whose name ends in `.keras`.

    Raises:
        InputError: if `drml[keras]` is not installed, or Keras' own layers cannot say what was learned.
        ResourceError: if the file cannot be written.
    """
    out = Path(out)
    if out.suffix != ".keras":
        raise InputError(f"{out}: a file of Keras ends in .keras: {out.with_suffix('.keras')}")
    durable.replace_file(out.absolute(), file_of(learned))
    return out


def file_of(learned: Learned) -> bytes:
    """Return the bytes of the `.keras` file."""
    model = keras_model(learned)
    with tempfile.TemporaryDirectory() as place:
        model.save(Path(place) / "agent.keras")
        return (Path(place) / "agent.keras").read_bytes()


def keras_model(learned: Learned) -> Any:  # noqa: ANN401 — no types come with Keras
    """Return what was learned as a `keras.Model`; a policy that was made of one gives its own, with what it learned.

    Raises:
        InputError: if `drml[keras]` is not installed, or Keras' own layers cannot say what was learned.
    """
    if learned.config.normalise.observations:
        raise InputError("the agent sees normalised observations, which is not written for Keras; export it --to onnx")
    check_can_write()
    policy, params = learned.policy, learned.shared
    if isinstance(policy, ModulePolicy):
        if isinstance(policy.module, KerasModule):
            return policy.module.filled(params)
        raise InputError(
            f"'{getattr(learned.config.policy, 'make', '')}' makes a torch module, which Keras layers cannot say; "
            "export it --to onnx, or make a Keras model"
        )
    spec = learned.interface.spec
    if spec.parts:
        raise InputError(
            f"{learned.config.suite} shows pictures or symbols, and what sees them is not written for Keras; export it "
            "--to onnx or --to torch"
        )
    if isinstance(learned.interface.actions.decode, JointActions):
        raise InputError(
            f"{learned.config.suite} takes actions of several parts, {learned.interface.action_space}, which is not "
            "written for Keras; export it --to onnx or --to torch"
        )
    with torch_backend():
        import keras

    obs = keras.Input((spec.obs_size,), name="observation")
    if isinstance(policy, MemoryPolicy):
        inputs, outputs, following, weights = _with_memory(policy, params, obs)
    elif isinstance(policy, GaussianMLP | CategoricalMLP):
        (outputs, weights), inputs, following = _without_memory(policy, params, obs), {}, {}
    else:
        raise InputError(f"a {type(policy).__name__} is no policy that Keras layers say; export it --to onnx")
    log_std = params["log_std"].clamp(*policy.bounds["log_std"]) if "log_std" in params else None
    given = _actions(learned, outputs, log_std) | {NEXT + name: value for name, value in following.items()}
    model = keras.Model({"observation": obs, **inputs}, given, name="agent")
    weights.fill()
    return model


def _without_memory(policy: GaussianMLP | CategoricalMLP, params: Params, obs: Symbolic) -> tuple[Symbolic, Weights]:
    weights, hidden = Weights(params), obs
    for i in range(len(policy.hidden) + 1):
        hidden = weights.dense(f"layer{i}", policy.activation if i < len(policy.hidden) else None)(hidden)
    return hidden, weights


def _with_memory(policy: MemoryPolicy, params: Params, obs: Symbolic) -> tuple[States, Symbolic, States, Weights]:
    """Return the inputs beside the observation, the actor's outputs, the next states and the weights to fill."""
    from keras import Input, ops

    inputs, before = _memory_inputs(policy)
    has_begun = ops.greater(inputs[TRIAL_STEP], 0)

    def since_start(value: Symbolic) -> Symbolic:
        is_row = len(value.shape) > 1
        return ops.where(ops.expand_dims(has_begun, -1) if is_row else has_begun, value, ops.zeros_like(value))

    action = inputs["previous_action"]
    if policy.action.kind == "discrete":
        action = ops.one_hot(action, policy.action.size, dtype="float32")
    seen = []
    if policy.recalled_size:
        inputs["previous_observation"] = Input((policy.recalled_size,), name="previous_observation")
        seen = [since_start(inputs["previous_observation"])]
    ended = ops.cast(inputs["ended"], "float32")
    time = ops.divide(ops.cast(inputs[TRIAL_STEP], "float32"), float(policy.trial_steps))
    told = [ops.expand_dims(x, -1) for x in (since_start(inputs["reward"]), since_start(ended), time)]
    sight = ops.concatenate([obs, *seen, since_start(action), *told], axis=-1)
    weights = Weights({name.removeprefix("memory."): value for name, value in params.items()})
    states = {name: since_start(value) for name, value in before.items()}
    outputs, after = remembered(weights, policy.memory, sight, states)
    following: States = {f"memory_{name}": value for name, value in after.items()}
    if policy.recalled_size:
        following["previous_observation"] = ops.multiply(obs, 1.0)
    following[TRIAL_STEP] = ops.add(inputs[TRIAL_STEP], 1)
    inputs |= {f"memory_{name}": value for name, value in before.items()}
    return inputs, acted(weights, policy.head, outputs, obs), following, weights


def _memory_inputs(policy: MemoryPolicy) -> tuple[States, States]:
    """Return what a memory is told, and the states before the step, by their names."""
    from keras import Input

    is_gaussian = policy.action.kind == "continuous"
    shape, dtype = ((policy.action.size,), "float32") if is_gaussian else ((), "int32")
    told = {
        "previous_action": Input(shape, dtype=dtype, name="previous_action"),
        "reward": Input((), name="reward"),
        "ended": Input((), dtype="bool", name="ended"),
        TRIAL_STEP: Input((), dtype="int32", name=TRIAL_STEP),
    }
    leaves = tree_leaves(cast(Tree, policy.initial_carry(1, 1)["memory"]))
    held = {path.replace("/", "_"): value for path, value in leaves}
    return told, {name: Input(tuple(value.shape[2:]), name=f"memory_{name}") for name, value in held.items()}


def _actions(learned: Learned, outputs: Symbolic, log_std: Tensor | None) -> States:
    """Return the most likely action, and the parameters of its distribution."""
    from keras import ops

    decode = cast("BoxActions | ListedActions", learned.interface.actions.decode)
    if log_std is None:
        # Keras' argmax tells −0 from 0 by its bits, which TFLite has no operation for
        index = ops.squeeze(cast(Any, ops.top_k(outputs, 1))[1], -1)
        logits = ops.log_softmax(outputs, -1)
        return {"action": decoded(decode, index), "policy_action": index, "action_logits": logits}
    spread = np.asarray(log_std.detach().cpu().numpy(), np.float32)
    return {
        "action": decoded(decode, outputs),
        "policy_action": ops.multiply(outputs, 1.0),
        "action_mean": outputs,
        "action_log_std": ops.add(ops.zeros_like(outputs), spread),
    }
