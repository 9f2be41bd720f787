"""Configuration of a run: what was asked for, written and read back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from drml.algos.api import Learner
from drml.algos.normalised import NormaliseConfig, NormalisedLearner
from drml.algos.registry import AnyConfig, AnyPolicyConfig, LearnerEntry, learner_entry
from drml.core.config import from_dict, to_dict
from drml.core.errors import InputError
from drml.core.types import EnvSpec
from drml.loop.config import TrainConfig
from drml.policies.encoders.registry import FLAT
from drml.policies.mlp import MLPConfig
from drml.run import rundir
from drml.tasks.samplers.registry import SamplerConfig


@dataclass(frozen=True)
class RunConfig:
    """Configuration that determines a run, down to the last bit on one machine."""

    suite: str
    """Name of the task family."""
    learner: str
    """Name of the learner."""
    learner_config: AnyConfig
    """Its hyper-parameters."""
    policy: AnyPolicyConfig = field(default_factory=MLPConfig)
    """The policy: an MLP or a network of your own, or a memory for a learner that remembers."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Sizes and stop rules."""
    seed: int = 0
    """Root of all random streams."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """Rule by which training draws its tasks."""
    normalise: NormaliseConfig = field(default_factory=NormaliseConfig)
    """Observations in units of what training has seen; runs of before there was a choice have none of it."""

    def __post_init__(self) -> None:
        self.sampler.check_gives(self.train.num_tasks)


def read_config(run: Path) -> RunConfig:
    """Return the configuration of a run directory.

    Raises:
        InputError: if there is no run, or its configuration is damaged.
    """
    fields = {key: value for key, value in rundir.read_fields(run).items() if key not in rundir.WRITTEN_BESIDE}
    return kept_config(fields, f"{run / rundir.CONFIG}: config")


def kept_config(data: Mapping[str, Any], where: str) -> RunConfig:
    """Return the configuration that was kept as plain values, also of before there were encoders."""
    policy = data.get("policy")
    if isinstance(policy, dict) and "encoder" not in policy and policy.keys() & {"hidden", "head"}:
        data = {**data, "policy": {**policy, "encoder": to_dict(FLAT)}}
    return typed_config(data, where)


def typed_config(data: Mapping[str, Any], where: str) -> RunConfig:
    """Return the configuration that plain values stand for; each must be of the type that its field says."""
    try:
        entry = learner_entry(str(data.get("learner", "")))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    kinds = {"learner_config": entry.config_type, "policy": _policy_kind(entry, data.get("policy"))}
    typed = {key: from_dict(kind, data.get(key), f"{where}.{key}") for key, kind in kinds.items()}
    return from_dict(RunConfig, {**data, **typed}, where)


def learner_of(config: RunConfig, spec: EnvSpec) -> Learner:
    """Return the learner of a configuration, with its policy.

    Raises:
        InputError: if the two do not fit each other, or the environment.
    """
    entry = learner_entry(config.learner)
    learner = entry.make(spec, entry.make_policy(spec, config.policy, config.learner_config), config.learner_config)
    return NormalisedLearner(spec, learner) if config.normalise.observations else learner


def _policy_kind(entry: LearnerEntry, data: object) -> type[AnyPolicyConfig]:
    """Return the kind of policy that plain values say most of."""
    said = set(cast(Mapping[str, Any], data)) if isinstance(data, Mapping) else set[str]()
    return max(entry.policies, key=lambda kind: len(said & {f.name for f in fields(kind)}))
