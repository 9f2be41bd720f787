"""Torch modules as pure functions of their parameters, for one set of parameters or K at once."""

import threading

import torch
from torch import Tensor, nn

from drml.core.tree import Params

_ONE_AT_A_TIME = threading.RLock()
"""Held while a module is called: `functional_call` puts parameters into the module itself, which threads share."""


def trainable(module: nn.Module) -> Params:
    """Return copies of the parameters that require gradients, by name; the others are constants of the module."""
    return {name: value.detach().clone() for name, value in module.named_parameters() if value.requires_grad}


def is_stacked(module: nn.Module, params: Params) -> bool:
    """Return whether parameters are stacked `[K, ...]`: one axis more than the module's own."""
    name = next(iter(params))
    return params[name].dim() > module.get_parameter(name).dim()


def apply(module: nn.Module, params: Params, obs: Tensor) -> Tensor:
    """Return the outputs `[K, ..., A]` of a module `[N, O]` → `[N, A]` at `obs` `[K, ..., O]`.

    Args:
        module: gives the code and the constants; its own parameters are not read.
        params: shared, or stacked `[K, ...]`.
        obs: `[K, ..., O]`.
    """

    def call(own: Params, flat: Tensor) -> Tensor:
        return torch.func.functional_call(module, own, (flat,))

    with _ONE_AT_A_TIME:
        if is_stacked(module, params):
            outputs = torch.vmap(call)(params, obs.reshape(obs.shape[0], -1, obs.shape[-1]))
        else:
            outputs = call(params, obs.reshape(-1, obs.shape[-1]))
    return outputs.reshape(*obs.shape[:-1], -1)
