"""All learners by name."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from drml.algos.api import Learner
from drml.algos.evolution.es_maml import ESMAML, ESMAMLConfig
from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.algos.gradient.reptile import Reptile, ReptileConfig
from drml.algos.memory.rl2 import RL2, RL2Config
from drml.core.errors import InputError
from drml.core.lookup import look_up
from drml.core.types import EnvSpec
from drml.policies.actor_critic import MemoryPolicy, input_size
from drml.policies.api import Policy
from drml.policies.encoders.registry import encoder_of
from drml.policies.made import ModuleConfig, module_policy
from drml.policies.memory.registry import MemoryConfig, head_of, memory_of
from drml.policies.mlp import MLPConfig, mlp_policy

AnyConfig: TypeAlias = object
"""Hyper-parameters of a learner: an instance of its entry's `config_type`."""
AnyPolicyConfig = MLPConfig | ModuleConfig | MemoryConfig
PolicyKinds = tuple[type[MLPConfig] | type[ModuleConfig] | type[MemoryConfig], ...]


def _network_policy(spec: EnvSpec, config: MLPConfig | ModuleConfig, _: object) -> Policy:
    return module_policy(spec, config) if isinstance(config, ModuleConfig) else mlp_policy(spec, config)


@dataclass(frozen=True)
class LearnerEntry:
    """A learner's configuration and constructor."""

    summary: str
    """One sentence with the source."""
    config_type: type[Any]
    """The frozen dataclass of its hyper-parameters."""
    default: AnyConfig
    """The hyper-parameters that it starts from."""
    make: Callable[[EnvSpec, Any, Any], Learner]
    """Makes the learner of a policy and hyper-parameters."""
    default_policy: AnyPolicyConfig = field(default_factory=MLPConfig)
    """The policy that it starts from."""
    policies: PolicyKinds = (MLPConfig, ModuleConfig)
    """Kinds of policies that the learner works with, that of the default first."""
    make_policy: Callable[[EnvSpec, Any, Any], Policy] = _network_policy
    """Makes the policy of its configuration and the learner's hyper-parameters."""


def _fomaml(spec: EnvSpec, policy: Policy, config: MAMLConfig) -> MAML:
    if config.order != 1:
        raise InputError(f"fomaml is MAML of order 1, not {config.order}; leave the order away, or choose maml")
    return MAML(spec, policy, config)


def _memory_policy(spec: EnvSpec, shape: MemoryConfig, config: RL2Config) -> MemoryPolicy:
    trial_steps = config.episodes * spec.horizon
    if shape.kind == "transformer" and trial_steps > shape.context:
        raise InputError(
            f"a trial of {config.episodes} x {spec.horizon} steps is longer than the transformer's context of "
            f"{shape.context}; set the policy's context to {trial_steps} or more, or train with fewer episodes"
        )
    encoder = encoder_of(shape.encoder, spec)
    features = encoder.size_of(spec.obs_size)
    recalled = features if shape.sees_transitions else 0
    memory = memory_of(shape, input_size(features, spec.action, recalled))
    head = head_of(shape, memory.output_size, features, spec.action.size)
    return MemoryPolicy(memory, head, spec.action, trial_steps, recalled, encoder=encoder)


LEARNERS: dict[str, LearnerEntry] = {
    "maml": LearnerEntry(
        "model-agnostic meta-learning, trust-region outer step (Finn et al. 2017)", MAMLConfig, MAMLConfig(), MAML
    ),
    "fomaml": LearnerEntry(
        "first-order MAML: the inner gradient is a constant (Finn et al. 2017, section 5.2)",
        MAMLConfig,
        replace(MAMLConfig(), order=1),
        _fomaml,
    ),
    "promp": LearnerEntry("proximal meta-policy search (Rothfuss et al. 2019)", ProMPConfig, ProMPConfig(), ProMP),
    "reptile": LearnerEntry("Reptile, batched, by Adam (Nichol et al. 2018)", ReptileConfig, ReptileConfig(), Reptile),
    "es_maml": LearnerEntry(
        "ES-MAML, zero order with hill climbing (Song et al. 2020)",
        ESMAMLConfig,
        ESMAMLConfig(),
        ESMAML,
        MLPConfig(hidden=(), init_std=1e-6),
    ),
    "rl2": LearnerEntry(
        "a memory that learns within a trial, trained by PPO (Duan et al. 2016)",
        RL2Config,
        RL2Config(),
        RL2,
        MemoryConfig(),
        (MemoryConfig,),
        _memory_policy,
    ),
}


def learner_entry(name: str) -> LearnerEntry:
    """Return the learner of this name.

    Raises:
        InputError: if there is none; names the closest one.
    """
    return look_up("learner", name, LEARNERS)
