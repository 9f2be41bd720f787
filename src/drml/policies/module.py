"""Any torch module or Keras model as a policy: what it gives is means, or the logits of choices.

    policy = ModulePolicy(torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2)), spec)

The module is code only: its weights flow as values, through `torch.func.functional_call` where tasks share them and
`torch.vmap` where each task has its own.
"""

import copy
import math
from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from drml.core.observation import as_numbers
from drml.core.rng import Streams
from drml.core.tree import Bounds, Params
from drml.core.types import EnvSpec, Noise
from drml.policies.admission import check_module
from drml.policies.functional import apply, trainable
from drml.policies.keras_module import as_module
from drml.policies.memoryless import Memoryless
from drml.policies.mlp import check_std, log_std_bounds, per_task
from drml.policies.outputs import ActionDistribution, Outputs


@final
class ModulePolicy(Memoryless[ActionDistribution]):
    """A policy made of a torch module `[N, O]` → `[N, A]`.

    Its parameters are the module's trainable ones under their own names; frozen ones and buffers are constants.
    Continuous numbers add `log_std`. Parameters stacked `[K, ...]` are told from shared ones by their rank.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: EnvSpec,
        init_std: float = 1.0,
        min_std: float = 1e-6,
        fresh: Callable[[Streams], nn.Module] | None = None,
    ) -> None:
        """Make a policy of a copy of the module.

        Args:
            module: maps observations `[N, O]` to means or logits `[N, A]`, row by row; a Keras model is wrapped.
            spec: the environment's; continuous numbers are Gaussian, choices categorical.
            init_std: standard deviation at the start, in policy action units.
            min_std: the standard deviation never falls below this.
            fresh: makes the module anew with initial weights from a stream; left out, they are always the module's own.

        Raises:
            InputError: if the module is not a pure function of its parameters, or its higher derivatives are not to
                be trusted; names the submodule or the parameters.
        """
        check_std(init_std, min_std)
        self._module = copy.deepcopy(as_module(module))
        self._spec, self._init_std, self._min_std, self._fresh = spec, init_std, min_std, fresh
        self._outputs = Outputs(spec.action)
        check_module(self._module, spec.num_seen, spec.action.size)

    @property
    def module(self) -> nn.Module:
        """Return the module; its weights are those that it came with."""
        return self._module

    @property
    def noise(self) -> Noise:
        """Return the noise of one action."""
        return self._outputs.noise

    @property
    def bounds(self) -> Bounds:
        """Return those of the log standard deviation where actions hold numbers; the module's own have none."""
        return log_std_bounds(self._min_std) if self._spec.action.num_numbers else {}

    def init(self, rng: Streams) -> Params:
        """Return initial weights: those of a module that is made anew, or copies of those that the module came with.

        How a foreign module is initialised is its own affair, and torch does it from the global generator. So runs of
        different seeds start from the same weights, unless the policy knows how to make its module anew.
        """
        params = trainable(self._module if self._fresh is None else self._fresh(rng))
        if num_numbers := self._spec.action.num_numbers:
            like = next(iter(params.values()))
            params["log_std"] = like.new_full((num_numbers,), math.log(self._init_std))
        return params

    def distribution(self, params: Params, obs: Tensor) -> ActionDistribution:
        """Return the action distributions `[K, ...]`."""
        own = {name: value for name, value in params.items() if name != "log_std"}
        outputs = apply(self._module, own, as_numbers(self._spec.parts, obs))
        if not self._spec.action.num_numbers:
            return self._outputs.distribution(outputs, None)
        log_std = params["log_std"].clamp(*self.bounds["log_std"])
        return self._outputs.distribution(outputs, per_task(log_std, outputs))
