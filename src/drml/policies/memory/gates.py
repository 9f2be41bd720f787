"""Gates: the weights that the gated memories share, and the products over whole sequences.

Of the products of a gated memory, only those that take in or pass on its hidden state must wait for the step before.
The rest is done for all steps at once: inputs times weights before the first step, and the gradients of the weights
and inputs after the last one. Gates lie one after the other in memory, `[gate, T, N, H]`, never side by side in one
row: element-wise operations on rows that are cut out of longer rows take four times as long.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params
from drml.policies.memory.weights import orthogonal, xavier


def init_gates(num_gates: int, input_size: int, size: int, rng: Streams) -> Params:
    """Return weights in the layout of `torch.nn.GRU` and `LSTM`: gates stacked, each `[H, F]` and `[H, H]`.

    Input weights are Xavier-uniform and recurrent weights orthogonal, gate by gate; biases are zero.
    """
    from_inputs = [xavier(input_size, size, rng["weight_ih", gate]).t() for gate in range(num_gates)]
    from_hidden = [orthogonal(size, rng["weight_hh", gate]) for gate in range(num_gates)]
    return {
        "weight_ih": torch.cat(from_inputs),
        "weight_hh": torch.cat(from_hidden),
        "bias_ih": torch.zeros(num_gates * size),
        "bias_hh": torch.zeros(num_gates * size),
    }


def gate_matrices(weight: Tensor, num_gates: int) -> tuple[Tensor, ...]:
    """Return the `[H, in]` weights of each gate of stacked `[gates * H, in]` ones."""
    return weight.unflatten(0, (num_gates, -1)).unbind(0)


def cleared(state: Tensor, starts: Tensor | None) -> Tensor:
    """Return `state` `[..., H]` with zeros where `starts` `[...]` is true; as it is where there are none."""
    return state if starts is None else state.masked_fill(starts.unsqueeze(-1), 0.0)


def starts_of(starts: Tensor | None, inputs: Tensor) -> Tensor:
    """Return `starts` `[N]`, all false where they are None."""
    return torch.zeros(inputs.shape[0], dtype=torch.bool, device=inputs.device) if starts is None else starts


def from_inputs(inputs: Tensor, weight: Tensor, bias: Tensor, products: Sequence[Tensor]) -> None:
    """Write inputs Wᵀ + b of each gate into `products`, one `[T, N, H]` per gate.

    Args:
        inputs: `[T, N, F]`.
        weight: `[gates * H, F]`.
        bias: `[gates * H]`.
        products: where the products go, gate by gate.
    """
    flat, gates = inputs.flatten(0, 1), len(products)
    for product, matrix, offset in zip(products, gate_matrices(weight, gates), bias.view(gates, -1), strict=True):
        torch.addmm(offset, flat, matrix.t(), out=product.flatten(0, 1))


def to_inputs(slopes: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Return the gradient of inputs `[T, N, F]` from those of their products, one `[T, N, H]` per gate."""
    matrices = gate_matrices(weight, len(slopes))
    total = weight.new_zeros(slopes[0][..., 0].numel(), weight.shape[1])
    for slope, matrix in zip(slopes, matrices, strict=True):
        total.addmm_(slope.flatten(0, 1), matrix)
    return total.unflatten(0, slopes[0].shape[:2])


def to_weights(slopes: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Return the gradient of weights `[gates * H, in]` from those of their products, one `[T, N, H]` per gate."""
    flat = inputs.flatten(0, 1)
    return torch.cat([slope.flatten(0, 1).t() @ flat for slope in slopes])


def tanh_(x: Tensor) -> Tensor:
    """Replace x `[...]` by tanh x = 2 σ(2x) − 1, which takes less than half of the library's time."""
    return x.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def differentiate(
    function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], grads: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return Σᵢ ∂yᵢ/∂x gᵢ for y = `function(*inputs)`, shaped as each input x `[...]`; differentiable once more.

    Args:
        function: inputs ↦ outputs.
        inputs: those that need no gradient get None.
        grads: g, one for each output and of its shape.
    """
    wanted = [value for value in inputs if value.requires_grad]
    with torch.enable_grad():
        outputs = function(*inputs)
    found = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=True, allow_unused=True))
    return tuple(next(found) if value.requires_grad else None for value in inputs)
