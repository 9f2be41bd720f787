"""All learners by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from drml.algos.api import Learner
from drml.algos.maml import MAML, MAMLConfig
from drml.algos.promp import ProMP, ProMPConfig
from drml.core.errors import InputError
from drml.core.lookup import look_up
from drml.core.types import EnvSpec
from drml.policies.api import Policy

AnyConfig = MAMLConfig | ProMPConfig


@dataclass(frozen=True)
class LearnerEntry:
    """A learner's configuration and constructor."""

    summary: str
    """One sentence with the source."""
    config_type: type[Any]
    """The frozen dataclass of its hyper-parameters."""
    default: AnyConfig
    """The hyper-parameters that it starts from."""
    make: Callable[[EnvSpec, Policy, Any], Learner]


def _fomaml(spec: EnvSpec, policy: Policy, config: MAMLConfig) -> MAML:
    if config.order != 1:
        raise InputError(f"fomaml is MAML of order 1, not {config.order}; leave the order away, or choose maml")
    return MAML(spec, policy, config)


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
}


def learner_entry(name: str) -> LearnerEntry:
    """Return the learner of this name.

    Raises:
        InputError: if there is none; names the closest one.
    """
    return look_up("learner", name, LEARNERS)
