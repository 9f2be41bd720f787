"""Which torch modules can be policies: those that are pure functions, with exact derivatives, of all their parameters.

Meta-gradients differentiate through gradients, for K sets of parameters at once. Some modules fail there, some are
silently wrong, and some ignore the parameters they are called with. Known ones are refused by kind with a way out; all
others are tried at a few points in float64, where a wrong derivative shows against finite differences.
"""

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage] — batch and instance norms
from torch.nn.modules.dropout import _DropoutNd  # pyright: ignore[reportPrivateUsage] — all dropout layers

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Params, params_map
from drml.policies.functional import apply, trainable

NUM_ROWS = 6  # observations per probe
NUM_PROBES = 3  # points tried before a derivative is called wrong: finite differences may straddle a kink at one of them
STEP = 1e-5  # of central differences in float64: truncation ~ STEP², rounding ~ 1e-16/STEP, both about 1e-11
TOLERANCE = 1e-5  # far above those, far below the errors of the wrong kernels (1e-3 and more)


@dataclass(frozen=True)
class Refusal:
    """Kinds of modules that cannot be part of a policy, and why."""

    kinds: tuple[type[nn.Module], ...]
    reason: str
    instead: str


REFUSALS = (
    Refusal(
        (nn.LayerNorm,),
        "its second-order gradients are silently wrong",
        "use drml.policies.layers.LayerNorm, which reads its state_dict",
    ),
    Refusal(
        (_NormBase,),
        "it mixes the rows of a batch or keeps running statistics, and its second-order gradients can be wrong",
        "use drml.policies.layers.LayerNorm or torch.nn.RMSNorm",
    ),
    Refusal(
        (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.MultiheadAttention),
        "its attention kernel has no second derivative and its LayerNorm a wrong one",
        "write attention with torch.softmax and use drml.policies.layers.LayerNorm",
    ),
    Refusal(
        (nn.RNN, nn.GRU, nn.LSTM, nn.LSTMCell),
        "it fails under torch.vmap, and a module policy has no memory",
        "use a policy with memory for history, or torch.nn.GRUCell for gating",
    ),
)


def check_module(module: nn.Module, obs_size: int, num_outputs: int) -> None:
    """Check that a module `[N, obs_size]` → `[N, num_outputs]` can be meta-learned.

    Raises:
        InputError: names the submodule or the parameters, the reason and the alternative.
    """
    _check_kinds(module)
    _check_parameters(module)
    rows = Streams(0)["admission", "obs"].normal((NUM_ROWS, obs_size))
    with torch.random.fork_rng(devices=[]):
        _check_outputs(module, rows, num_outputs)
        _check_derivatives(copy.deepcopy(module).double(), rows.double())


def _check_kinds(module: nn.Module) -> None:
    for path, part in module.named_modules():
        place = f"{f'submodule {path!r}' if path else 'the module'} ({type(part).__name__})"
        for refusal in REFUSALS:
            harmless = isinstance(part, nn.LayerNorm) and not part.elementwise_affine
            if isinstance(part, refusal.kinds) and not harmless:
                raise InputError(f"{place} cannot be part of a policy: {refusal.reason}; {refusal.instead}")
        if isinstance(part, _DropoutNd) and part.training and part.p > 0.0:
            reason = "it draws from the global random generator, and a policy is a function of its parameters"
            raise InputError(f"{place} cannot be part of a policy: {reason}; remove it or call module.eval()")


def _check_parameters(module: nn.Module) -> None:
    for name, value in module.named_parameters():
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise InputError(f"parameter '{name}' has no shape yet; call the module once before it becomes a policy")
        if value.requires_grad and value.dtype != torch.float32:
            raise InputError(f"parameter '{name}' is {value.dtype}, expected torch.float32; convert by module.float()")
        if name == "log_std":
            raise InputError("parameter 'log_std' clashes with the policy's own; give the module's another name")
    if not trainable(module):
        raise InputError("the module has no parameter that requires a gradient, so there is nothing to learn")


def _check_outputs(module: nn.Module, rows: Tensor, num_outputs: int) -> None:
    params = trainable(module)
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    with torch.no_grad():
        try:
            outputs, again = _call(module, params, rows), _call(module, params, rows)
            half = _call(module, params, rows[: NUM_ROWS // 2])
        except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
            raise InputError(f"the module fails at observations {list(rows.shape)}: {_first_line(error)}") from error
    if outputs.shape != (NUM_ROWS, num_outputs):
        expected = [NUM_ROWS, num_outputs]
        raise InputError(f"the module maps {list(rows.shape)} to {list(outputs.shape)}, expected {expected}")
    changed = [name for name, value in module.named_buffers() if not torch.equal(value, buffers[name])]
    if changed:
        raise InputError(
            f"the module changes its buffer '{changed[0]}' when it is called, so it is no function of its parameters "
            "(spectral norm does so); remove what does, or call module.eval()"
        )
    if not torch.equal(outputs, again):
        raise InputError("the module gives two answers to one question: it is random or keeps a hidden state")
    if not torch.allclose(outputs[: NUM_ROWS // 2], half, rtol=1e-3, atol=1e-4):
        raise InputError("the module mixes the rows of [N, O]: each observation must be answered by itself")


def _check_derivatives(module: nn.Module, rows: Tensor) -> None:
    """Compare second and third derivatives of the stacked module with differences of the first and second."""
    errors: list[float] = []
    for probe in range(NUM_PROBES):
        rng = Streams(0)["admission", "probe", probe]
        point = _stacked_noise(module, rng["point"], scale=0.05)  # off zeros, so that no layer hides another
        point = params_map(torch.add, point, trainable(module))
        direction = _stacked_noise(module, rng["direction"], scale=1.0)
        norm = torch.cat([value.flatten() for value in direction.values()]).norm()
        direction = params_map(lambda value: value / norm, direction)  # noqa: B023 — used at once
        try:
            at = _derivatives(module, point, direction, rows)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise InputError(f"the module has no third derivative under torch.vmap: {_first_line(error)}") from error
        _check_gradient(at[0])
        ahead = _derivatives(module, params_map(lambda p, d: p + STEP * d, point, direction), direction, rows)
        behind = _derivatives(module, params_map(lambda p, d: p - STEP * d, point, direction), direction, rows)
        errors.append(max(_error(at[order + 1], ahead[order], behind[order]) for order in (0, 1)))
        if errors[-1] < TOLERANCE:
            return
    raise InputError(
        f"the module's higher derivatives are wrong by {min(errors):.0e} of their size, and meta-gradients with them; "
        "replace functional.layer_norm, batch_norm and custom autograd functions by elementary operations"
    )


def _stacked_noise(module: nn.Module, rng: Streams, scale: float) -> Params:
    """Return noise for two stacked sets of parameters."""
    own = trainable(module)
    return {name: scale * rng[name].normal((2, *value.shape)).to(value) for name, value in own.items()}


def _check_gradient(gradient: Params) -> None:
    ignored = [f"'{name}'" for name, value in gradient.items() if not bool(value.any())]
    if ignored:
        raise InputError(
            f"the module ignores its parameters {', '.join(ignored)}: its output does not depend on them when "
            "it is called through torch.func.functional_call (Keras models do so; wrap their stateless_call); "
            "exclude parameters that are not meant to learn by requires_grad_(False)"
        )


def _derivatives(module: nn.Module, point: Params, direction: Params, rows: Tensor) -> tuple[Params, Params, Params]:
    """Return ∇f, ∇(v·∇f) and ∇(v·∇(v·∇f)) for f = Σ c sin(output), whose derivatives do not vanish at any order."""
    names = list(point)
    theta = [value.detach().requires_grad_() for value in point.values()]
    outputs = _call(module, dict(zip(names, theta, strict=True)), torch.stack([rows, -rows]))
    weights = Streams(0)["admission", "weights"].uniform(outputs.shape).to(outputs) + 0.5
    value = (weights * outputs.sin()).sum()
    if not value.requires_grad:  # called with these parameters, the module did not read a single one
        _check_gradient(params_map(torch.zeros_like, point))
    orders: list[Params] = []
    for _ in range(3):
        grads = torch.autograd.grad(value, theta, create_graph=True, materialize_grads=True)
        orders.append({name: grad.detach() for name, grad in zip(names, grads, strict=True)})
        value = torch.stack([(grad * direction[name]).sum() for name, grad in zip(names, grads, strict=True)]).sum()
    return cast(tuple[Params, Params, Params], tuple(orders))


def _error(exact: Params, ahead: Params, behind: Params) -> float:
    """Return the greatest difference between a derivative and the central difference, relative to their size."""
    worst, size = 0.0, 1e-30
    for name, value in exact.items():
        difference = (ahead[name] - behind[name]) / (2.0 * STEP)
        worst = max(worst, float((value - difference).abs().max()))
        size = max(size, float(difference.abs().max()), float(ahead[name].abs().max()))
    return worst / size


def _call(module: nn.Module, params: Params, rows: Tensor) -> Tensor:
    return apply(module, params, rows)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
