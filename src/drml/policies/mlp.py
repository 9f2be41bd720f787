"""Multi-layer perceptrons on our own stacked linear layers: K sets of weights in one `baddbmm`.

    h₀ = encode(obs),  hᵢ₊₁ = act(hᵢ Wᵢ + bᵢ),  output = h W + b

Shared weights `[in, out]` meet all K x N inputs in one plain matmul; stacked weights `[K, in, out]` meet theirs in one
batched matmul. Weights start Xavier-uniform and biases at zero, as in the MAML and ProMP code.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from drml.core.distribution import Categorical, Gaussian
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Bounds, Params
from drml.core.types import ActionSpec, EnvSpec, Noise
from drml.policies.encoders.api import Encoder
from drml.policies.encoders.flat import Flat
from drml.policies.encoders.registry import EncoderConfig, encoder_of
from drml.policies.memoryless import Memoryless
from drml.policies.outputs import ActionDistribution, Outputs
from drml.policies.stacked import stacked_linear, tanh

Activation = Literal["tanh", "relu"]
MAX_LOG_STD = 5.0  # e⁵ ≈ 148 action units: beyond any use, but still finite when squared
MIN_STD = 1e-15  # the square of one action unit over it is still a float32 number


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return `inputs @ weight + bias` for shared `[in, out]` or stacked `[K, in, out]` weights.

    Args:
        inputs: `[N, in]` for shared weights, `[K, N, in]` for stacked ones.
        weight: `[in, out]` or `[K, in, out]`.
        bias: `[out]` or `[K, out]`.
    """
    if weight.dim() == 2:
        return torch.addmm(bias, inputs, weight)
    return stacked_linear(inputs, weight, bias)


def init_layers(sizes: tuple[int, ...], rng: Streams) -> Params:
    """Return weights uniform on ±√(6/(in + out)) (Glorot & Bengio 2010, eq. 16) and zero biases."""
    params: Params = {}
    for i, (size_in, size_out) in enumerate(pairwise(sizes)):
        bound = math.sqrt(6.0 / (size_in + size_out))
        params[f"layer{i}.weight"] = (2.0 * rng["layer", i].uniform((size_in, size_out)) - 1.0) * bound
        params[f"layer{i}.bias"] = torch.zeros(size_out)
    return params


def forward(params: Params, num_layers: int, activation: Activation, obs: Tensor) -> Tensor:
    """Return the last layer's output `[K, ..., out]` at `obs` `[K, ..., O]`.

    Args:
        params: `layer0.weight`, `layer0.bias`, … from `init_layers`, shared or stacked `[K, ...]`.
        num_layers: layers with weights, the last one included.
        activation: between the layers; there is none behind the last.
        obs: `[K, ..., O]`.
    """
    stacked = params["layer0.weight"].dim() == 3
    lead = (obs.shape[0], -1) if stacked else (-1,)
    hidden = obs.reshape(*lead, obs.shape[-1])
    for i in range(num_layers):
        hidden = linear(hidden, params[f"layer{i}.weight"], params[f"layer{i}.bias"])
        if i < num_layers - 1:
            hidden = tanh(hidden) if activation == "tanh" else hidden.relu()
    return hidden.view(*obs.shape[:-1], hidden.shape[-1])


def per_task(parameter: Tensor, like: Tensor) -> Tensor:
    """Return a shared `[A]` or stacked `[K, A]` parameter shaped to broadcast against `like` `[K, ..., A]`."""
    if parameter.dim() == 1:
        return parameter.view(*(1,) * (like.dim() - 1), -1)
    return parameter.view(parameter.shape[0], *(1,) * (like.dim() - 2), -1)


def log_std_bounds(min_std: float) -> Bounds:
    """Return the bounds of a Gaussian policy's log standard deviation: [ln min_std, 5]."""
    return {"log_std": (math.log(min_std), MAX_LOG_STD)}


@dataclass(frozen=True)
class GaussianMLP(Memoryless[Gaussian]):
    """Gaussian policy π(·|s) = N(MLP(s), e^(2 log_std)), with a free parameter `log_std` `[A]`."""

    obs_size: int
    action_size: int
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers (ProMP: 64, 64; MAML: 100, 100)."""
    activation: Activation = "tanh"
    """Activation of the hidden layers (ProMP: tanh; MAML: relu)."""
    init_std: float = 1.0
    """Standard deviation at the start, in policy action units."""
    min_std: float = 1e-6
    """Standard deviation never falls below this (ProMP: 1e-6)."""
    encoder: Encoder = field(default_factory=Flat)
    """Encoder that sees the observations first."""

    @property
    def noise(self) -> Noise:
        """Return standard normal noise `[A]`."""
        return Noise("normal", (self.action_size,))

    @property
    def bounds(self) -> Bounds:
        """Return those of the log standard deviation."""
        return log_std_bounds(self.min_std)

    def init(self, rng: Streams) -> Params:
        """Return initial shared parameters."""
        layers = init_layers((self.encoder.size_of(self.obs_size), *self.hidden, self.action_size), rng)
        return self.encoder.init(rng) | layers | {"log_std": torch.full((self.action_size,), math.log(self.init_std))}

    def distribution(self, params: Params, obs: Tensor) -> Gaussian:
        """Return the action distributions `[K, ...]`."""
        mean = forward(params, len(self.hidden) + 1, self.activation, self.encoder.encode(params, obs))
        log_std = params["log_std"].clamp(*self.bounds["log_std"])
        return Gaussian(mean, per_task(log_std, mean))


@dataclass(frozen=True)
class CategoricalMLP(Memoryless[Categorical]):
    """Categorical policy over discrete actions: π(·|s) = softmax(MLP(s))."""

    obs_size: int
    num_actions: int
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    activation: Activation = "tanh"
    """Activation of the hidden layers."""
    encoder: Encoder = field(default_factory=Flat)
    """Encoder that sees the observations first."""

    @property
    def noise(self) -> Noise:
        """Return one uniform number per action."""
        return Noise("uniform", ())

    @property
    def bounds(self) -> Bounds:
        """Return none."""
        return {}

    def init(self, rng: Streams) -> Params:
        """Return initial shared parameters."""
        sizes = (self.encoder.size_of(self.obs_size), *self.hidden, self.num_actions)
        return self.encoder.init(rng) | init_layers(sizes, rng)

    def distribution(self, params: Params, obs: Tensor) -> Categorical:
        """Return the action distributions `[K, ...]`."""
        logits = forward(params, len(self.hidden) + 1, self.activation, self.encoder.encode(params, obs))
        return Categorical(torch.log_softmax(logits, -1))


def check_std(init_std: float, min_std: float) -> None:
    """Check the standard deviation of a Gaussian policy at the start, and its lowest.

    Raises:
        InputError: if one is out of its range.
    """
    if not min_std >= MIN_STD:
        raise InputError(f"policy min_std is {min_std:g}, must be {MIN_STD:g} or more")
    if not min_std <= init_std < math.exp(MAX_LOG_STD):
        raise InputError(f"policy init_std is {init_std:g}, must be at least min_std and below 148")


@dataclass(frozen=True)
class MLPConfig:
    """The shape of an MLP policy.

    Raises:
        InputError: if a width is below 1, or a standard deviation is out of its range.
    """

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers (ProMP: 64 64; MAML: 100 100); none makes the policy linear (ES-MAML)."""
    activation: Activation = "tanh"
    """Activation of the hidden layers (ProMP: tanh; MAML: relu)."""
    init_std: float = 1.0
    """Gaussian policies: standard deviation at the start, in policy action units (papers: 1)."""
    min_std: float = 1e-6
    """Gaussian policies: the standard deviation never falls below this (ProMP: 1e-6)."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Layers in front that see pictures and symbols."""

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise InputError(f"policy hidden is {self.hidden}, widths must be 1 or more")
        check_std(self.init_std, self.min_std)

    def num_weights(self, inputs: int, outputs: int) -> int:
        """Return how many weights the layers have."""
        return sum(i * o for i, o in pairwise((inputs, *self.hidden, outputs)))

    def with_room(self, steps: int) -> "MLPConfig":
        """Return the configuration: there is no memory that needs room for the steps of a sequence."""
        return self

    def num_units(self, inputs: int, outputs: int) -> int:
        """Return how many numbers the layers make of one observation."""
        return sum(self.hidden) + outputs


@dataclass(frozen=True)
class JointMLP(Memoryless[ActionDistribution]):
    """Policy over joint actions: each choice has a softmax of its own, each number a Gaussian, on one network."""

    obs_size: int
    action: ActionSpec
    shape: MLPConfig
    encoder: Encoder = field(default_factory=Flat)
    """Encoder that sees the observations first."""

    @property
    def noise(self) -> Noise:
        """Return the noise of one action."""
        return self._outputs.noise

    @property
    def bounds(self) -> Bounds:
        """Return those of the log standard deviation, where actions hold numbers."""
        return log_std_bounds(self.shape.min_std) if self.action.num_numbers else {}

    def init(self, rng: Streams) -> Params:
        """Return initial shared parameters."""
        layers = init_layers((self.encoder.size_of(self.obs_size), *self.shape.hidden, self.action.size), rng)
        numbers = self.action.num_numbers
        spread = {"log_std": torch.full((numbers,), math.log(self.shape.init_std))} if numbers else {}
        return self.encoder.init(rng) | layers | spread

    def distribution(self, params: Params, obs: Tensor) -> ActionDistribution:
        """Return the action distributions `[K, ...]`."""
        layers = len(self.shape.hidden) + 1
        outputs = forward(params, layers, self.shape.activation, self.encoder.encode(params, obs))
        if not self.action.num_numbers:
            return self._outputs.distribution(outputs, None)
        log_std = params["log_std"].clamp(*self.bounds["log_std"])
        return self._outputs.distribution(outputs, per_task(log_std, outputs))

    @cached_property
    def _outputs(self) -> Outputs:
        return Outputs(self.action)


def mlp_policy(spec: EnvSpec, config: MLPConfig) -> GaussianMLP | CategoricalMLP | JointMLP:
    """Return the MLP policy that fits an environment's actions."""
    encoder = encoder_of(config.encoder, spec)
    if spec.action.kind == "continuous":
        return GaussianMLP(
            spec.obs_size, spec.action.size, config.hidden, config.activation, config.init_std, config.min_std, encoder
        )
    if spec.action.kind == "discrete":
        return CategoricalMLP(spec.obs_size, spec.action.size, config.hidden, config.activation, encoder)
    return JointMLP(spec.obs_size, spec.action, config, encoder)
