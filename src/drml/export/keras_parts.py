"""Parts of a policy said in stock Keras layers and operations, which load anywhere without code of ours.

Layers are made with their weights: `Weights` fills them once they have shapes. Whatever a part takes and gives is a
symbolic tensor `[N, …]`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.tree import Params
from drml.policies.heads import Head, HypernetworkHead, LinearHead
from drml.policies.memory.api import Memory
from drml.policies.memory.feedforward import Feedforward
from drml.policies.memory.gru import GRU
from drml.policies.memory.layered import Layered
from drml.policies.memory.lstm import LSTM
from drml.policies.memory.recurrence import MinGRU
from drml.spaces.actions import ListedActions
from drml.spaces.box_actions import BoxActions, OneSided

Symbolic = Any
"""A `keras.KerasTensor`; no types come with Keras."""
States = dict[str, Symbolic]
LARGEST = float(np.finfo(np.float32).max)
TYPES = {"uint16": "int32", "uint32": "int64", "uint64": "int64", "float16": "float32", "float64": "float32"}
"""Types of actions that not every backend computes in, and those that stand in for them."""


@final
@dataclass
class Weights:
    """Weights of layers that have been called once."""

    params: Params
    later: list[Callable[[], None]] = field(default_factory=lambda: [])

    def give(self, layer: Any, *values: Tensor) -> Any:  # noqa: ANN401
        """Return the layer, whose weights will be these."""
        arrays = [value.detach().cpu().numpy() for value in values]
        self.later.append(lambda: layer.set_weights(arrays))
        return layer

    def dense(self, name: str, activation: str | None = None) -> Any:  # noqa: ANN401
        """Return the layer x W + b of parameters `name.weight` `[in, out]` and `name.bias`."""
        import keras

        weight, bias = (self.params[f"{name}.{part}".removeprefix(".")] for part in ("weight", "bias"))
        layer = keras.layers.Dense(weight.shape[1], activation=activation)
        return self.give(layer, weight, bias)

    def fill(self) -> None:
        """Fill all layers."""
        for fill in self.later:
            fill()


def decoded(decode: BoxActions | ListedActions, action: Symbolic) -> Symbolic:
    """Return a policy's actions `[N, A]`, or indices `[N]`, in the units of an action space `[N, *shape]`."""
    from keras import ops

    if isinstance(decode, ListedActions):
        return ops.take(decode.table.astype(_type(decode.table.dtype)), action, axis=0)
    scaled = ops.add(ops.multiply(action, _constant(decode.gain)), _constant(decode.mid))
    if decode.one_sided is not None:
        scaled = _bent(decode.one_sided, len(decode.mid), scaled)
    low, high = (np.clip(bound.astype(np.float64), -LARGEST, LARGEST) for bound in (decode.low, decode.high))
    if (low > -LARGEST).any() or (high < LARGEST).any():
        scaled = ops.minimum(ops.maximum(scaled, _constant(low)), _constant(high))
    if decode.rounds:
        scaled = ops.cast(ops.round(scaled), _type(decode.dtype))
    return scaled if decode.shape == decode.mid.shape else ops.reshape(scaled, (-1, *decode.shape))


def _bent(bounds: OneSided, size: int, scaled: Symbolic) -> Symbolic:
    """Return numbers `[N, A]`, those with one bound bent away from it, as `OneSided.bend` does."""
    from keras import ops

    bent, sign, bound = np.zeros(size, bool), np.ones(size), np.zeros(size)
    bent[bounds.columns], sign[bounds.columns], bound[bounds.columns] = True, bounds.sign, bounds.bound
    base = np.minimum(bound, 0.0)
    soft = ops.softplus(ops.subtract(ops.multiply(scaled, _constant(sign)), _constant(base)))
    gain = np.maximum(1.0, bound)  # log(exp(base) + exp(x)) = base + softplus(x − base)
    moved = ops.add(ops.multiply(soft, _constant(sign * gain)), _constant(sign * (bound - base + gain * base)))
    return ops.where(bent, moved, scaled)


def remembered(weights: Weights, memory: Memory, inputs: Symbolic, states: States) -> tuple[Symbolic, States]:
    """Return the outputs `[N, D]` of one step of a memory and the next states, by their names.

    Args:
        weights: with the memory's parameters by their own names.
        memory: its kind and sizes.
        inputs: `[N, F]`.
        states: by name, cleared where a trial begins.

    Raises:
        InputError: if stock Keras layers cannot say it.
    """
    if isinstance(memory, Layered):
        after: States = {}
        for i, layer in enumerate(memory.layers):
            own = _below(states, f"layer{i}_")
            inputs, following = remembered(_of_layer(weights, i), layer, inputs, own)
            after |= {f"layer{i}_{name}": value for name, value in following.items()}
        return inputs, after
    for kind, step in STEPS.items():
        if isinstance(memory, kind):
            return step(weights, memory, inputs, states)
    raise InputError(
        f"a {type(memory).__name__.lower()} memory is nothing that stock Keras layers say; Keras takes gru, lstm, "
        "mingru and none, and ONNX takes all: --to onnx"
    )


def _gru(weights: Weights, memory: GRU, inputs: Symbolic, states: States) -> tuple[Symbolic, States]:
    import keras

    def in_order(value: Tensor) -> Tensor:
        r, z, n = value.chunk(3)  # Keras has the update gate first
        return torch.cat([z, r, n])

    w, u, b, c = (in_order(weights.params[name]) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    cell = weights.give(keras.layers.GRUCell(memory.size, reset_after=True), w.T, u.T, torch.stack([b, c]))
    outputs, after = cell(inputs, [states["hidden"]])
    return outputs, {"hidden": after[0]}


def _lstm(weights: Weights, memory: LSTM, inputs: Symbolic, states: States) -> tuple[Symbolic, States]:
    import keras

    w, u, b, c = (weights.params[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    cell = weights.give(keras.layers.LSTMCell(memory.size), w.T, u.T, b + c)
    outputs, (hidden, kept) = cell(inputs, [states["hidden"], states["cell"]])
    return outputs, {"hidden": hidden, "cell": kept}


def _mingru(weights: Weights, memory: MinGRU, inputs: Symbolic, states: States) -> tuple[Symbolic, States]:
    import keras

    (w_z, w_n), (b_z, b_n) = weights.params["weight"].chunk(2, 1), weights.params["bias"].chunk(2)
    gate = weights.give(keras.layers.Dense(memory.size, activation="sigmoid"), w_z, b_z)(inputs)
    candidate = weights.give(keras.layers.Dense(memory.size), w_n, b_n)(inputs)
    hidden = keras.ops.add(states["hidden"], keras.ops.multiply(gate, keras.ops.subtract(candidate, states["hidden"])))
    return hidden, {"hidden": hidden}


def _feedforward(weights: Weights, memory: Feedforward, inputs: Symbolic, states: States) -> tuple[Symbolic, States]:
    return weights.dense("", "tanh")(inputs), {}


STEPS: dict[type[Any], Callable[[Weights, Any, Symbolic, States], tuple[Symbolic, States]]] = {
    GRU: _gru,
    LSTM: _lstm,
    MinGRU: _mingru,
    Feedforward: _feedforward,
}


def acted(weights: Weights, head: Head, outputs: Symbolic, obs: Symbolic) -> Symbolic:
    """Return what a head gives the actor `[N, A]`, of a memory's outputs `[N, D]` and observations `[N, O]`."""
    if isinstance(head, LinearHead):
        return weights.dense("actor")(outputs)
    hyper = cast(HypernetworkHead, head)
    hidden = obs
    if hyper.hidden:
        import keras

        hidden = keras.layers.Activation("tanh")(_generated(weights, "hidden", outputs, obs))
    return _generated(weights, "actor", outputs, hidden)


def _generated(weights: Weights, layer: str, outputs: Symbolic, inputs: Symbolic) -> Symbolic:
    """Return inputs `[N, in]` times W(z), plus b(z): z is what remembers, and each row meets a layer of its own."""
    import keras

    weight, bias = (_generated_values(weights, f"{layer}.{part}", outputs) for part in ("weight", "bias"))
    row: Symbolic = keras.layers.Reshape((1, inputs.shape[-1]))(inputs)
    products: Symbolic = keras.ops.matmul(row, weight)
    return keras.ops.add(keras.layers.Reshape((products.shape[-1],))(products), bias)


def _generated_values(weights: Weights, name: str, outputs: Symbolic) -> Symbolic:
    """Return θ₀ + z G of one parameter, `[N, *shape]`."""
    import keras

    start, generator = weights.params[name], weights.params[f"generator.{name}"]
    layer = weights.give(keras.layers.Dense(start.numel()), generator, start.flatten())
    return keras.layers.Reshape(tuple(start.shape))(layer(outputs))


def _of_layer(weights: Weights, index: int) -> Weights:
    return Weights(_below(weights.params, f"layer{index}."), weights.later)


def _below(named: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}


def _constant(values: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _type(dtype: np.dtype[Any]) -> str:
    return TYPES.get(dtype.name, dtype.name)
