"""A run's configuration from the words of one call."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from drml.algos.normalised import NormaliseConfig
from drml.algos.registry import AnyConfig, AnyPolicyConfig, learner_entry
from drml.core.config import from_dict, to_dict
from drml.core.errors import InputError, suggest
from drml.envs.api import EnvOptions, Isolation
from drml.loop.config import TrainConfig
from drml.run.config import RunConfig
from drml.tasks.samplers.registry import SamplerConfig

Part = TypeVar("Part")
SIZES = tuple(f.name for f in fields(TrainConfig))


def run_config(
    suite: str,
    learner: str,
    learner_config: AnyConfig | None,
    policy: AnyPolicyConfig | None,
    train: TrainConfig,
    sampler: SamplerConfig,
    normalise: NormaliseConfig,
    seed: int,
    sizes: Mapping[str, Any],
) -> RunConfig:
    """Return the configuration of a new run; what is None is as the learner has it by default.

    Raises:
        InputError: if a name is unknown, or a value is not of the type that it has to be.
    """
    entry = learner_entry(str(learner))
    learner_config = _of_type("learner_config", learner, learner_config, entry.default, (entry.config_type,))
    policy = _of_type("policy", learner, policy, entry.default_policy, entry.policies)
    sampler = _of_type("sampler", "meta-training", sampler, SamplerConfig(), (SamplerConfig,))
    normalise = _of_type("normalise", "meta-training", normalise, NormaliseConfig(), (NormaliseConfig,))
    parts: dict[str, Any] = {
        "learner_config": learner_config,
        "policy": policy,
        "sampler": sampler,
        "normalise": normalise,
        "isolation": Isolation(),
    }
    for name in sizes:
        for keyword, part in parts.items():
            if name not in SIZES and name in {f.name for f in fields(part)}:
                kind = type(part).__name__
                raise InputError(f"'{name}' is a setting of {kind}; pass it as {keyword}=drml.{kind}({name}=…)")
    return RunConfig(suite, learner, learner_config, policy, with_sizes(train, sizes), seed, sampler, normalise)


def with_sizes(train: TrainConfig, sizes: Mapping[str, Any]) -> TrainConfig:
    """Return sizes and stop rules with some of them changed by name.

    Raises:
        InputError: if there is no such size, or a value is not of its type or range.
    """
    if type(train) is not TrainConfig:
        raise InputError(f"train is of type {type(train).__name__}, expected TrainConfig: train=drml.TrainConfig(…)")
    for name in sizes:
        if name not in SIZES:
            raise InputError(f"unknown setting '{name}'{suggest(name, list(SIZES))}")
    return from_dict(TrainConfig, to_dict(train) | dict(sizes), "train") if sizes else train


def env_options(threads: int, isolation: Isolation) -> EnvOptions:
    """Return how environments run.

    Raises:
        InputError: if the number of threads is no number or negative, or the isolation is none.
    """
    if type(threads) is not int or threads < 0:
        raise InputError(f"threads is {threads!r}, must be 0 (all cores) or more")
    if type(isolation) is not Isolation:
        raise InputError(f"isolation is {isolation!r}, expected an Isolation: isolation=drml.Isolation(isolate=True)")
    return EnvOptions(threads=threads, isolation=isolation)


def _of_type(keyword: str, learner: str, given: Part | None, default: Part, kinds: tuple[type[Any], ...]) -> Part:
    if given is not None and type(given) not in kinds:
        found, names = type(given).__name__, [kind.__name__ for kind in kinds]
        ways = " or ".join(f"{keyword}=drml.{name}(…)" for name in names)
        raise InputError(f"{keyword} is of type {found}, {learner} takes {' or '.join(names)}: {ways}")
    return default if given is None else given
