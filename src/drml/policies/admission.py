"""Admission of torch modules as policies: pure functions, with exact derivatives, of all their parameters.

Meta-gradients differentiate through gradients, for K sets of parameters at once. Some modules fail there, some are
silently wrong, and some ignore the parameters they are called with. Known ones are refused by kind with a way out; all
others are tried at a few points in float64, where a wrong derivative shows against finite differences.
"""

import copy
import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage] — all batch and instance norms
from torch.nn.modules.dropout import _DropoutNd  # pyright: ignore[reportPrivateUsage] — all dropout layers

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Params, flatten, params_map
from drml.policies.functional import apply, trainable

NUM_OBS = 6  # observations per trial
NUM_TRIALS = 3  # points tried before a derivative is called wrong: a finite difference may straddle a kink at one
SPREAD = 0.05  # of the points around the module's weights: off zeros, so that no layer hides another
STEP = 1e-5  # of central differences in float64: truncation ~ STEP², rounding ~ 1e-16/STEP, both about 1e-11
TOLERANCE = 1e-5  # exact modules are within 1e-8, torch's wrong derivatives off by 1e-3 and more (up to 1024 units)

FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)
"""Errors that foreign code may raise when it meets shapes, types or transforms that it was not made for."""


@dataclass(frozen=True)
class Refusal:
    """Kinds of modules that cannot be part of a policy."""

    kinds: tuple[type[nn.Module], ...]
    reason: str
    instead: str
    """The way out."""


REFUSALS = (
    Refusal(
        (nn.LayerNorm,),
        "its higher derivatives are silently wrong",
        "use drml.policies.layers.LayerNorm, which reads its state_dict",
    ),
    Refusal(
        (_NormBase,),
        "it mixes the rows of a batch or keeps running statistics, and its higher derivatives can be silently wrong",
        "use drml.policies.layers.LayerNorm or torch.nn.RMSNorm",
    ),
    Refusal(
        (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.MultiheadAttention),
        "its attention can lack a second derivative, and its LayerNorm has wrong ones",
        "write attention with torch.softmax and use drml.policies.layers.LayerNorm",
    ),
    Refusal(
        (nn.RNNBase, nn.LSTMCell),
        "it fails under torch.vmap, and a module policy has no memory",
        "use a policy with memory, or torch.nn.GRUCell for gating within a step",
    ),
)


def check_module(module: nn.Module, obs_size: int, num_outputs: int) -> None:
    """Check that a module `[N, obs_size]` → `[N, num_outputs]` can be meta-learned.

    Raises:
        InputError: names the submodule or the parameters, the reason and the way out.
    """
    seen: dict[nn.Module, str] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        _check_kind(f"submodule '{path}'" if path else "the module", part)
        if seen.setdefault(part, path) != path and any(True for _ in part.parameters()):
            # functional_call swaps its parameters twice and restores them once
            raise InputError(f"submodule '{path}' is submodule '{seen[part]}' again; keep it once and call it twice")
    _check_parameters(module)
    obs = Streams(0)["admission", "obs"].normal((NUM_OBS, obs_size))
    with torch.random.fork_rng(devices=[]):  # foreign code may draw from the global generator
        shape = _outputs(module, trainable(module), obs).shape
        if shape != (NUM_OBS, num_outputs):
            expected = [NUM_OBS, num_outputs]
            raise InputError(f"the module maps {list(obs.shape)} to {list(shape)}, expected {expected}")
        exact = copy.deepcopy(module).double()
        _check_purity(exact, obs.double())
        _check_derivatives(exact, obs.double())


def _check_kind(name: str, part: nn.Module) -> None:
    for refusal in REFUSALS:
        if isinstance(part, refusal.kinds):
            what = f"{name} ({type(part).__name__}) cannot be part of a policy"
            raise InputError(f"{what}: {refusal.reason}; {refusal.instead}")
    if isinstance(part, _DropoutNd) and part.training and part.p > 0.0:
        what = f"{name} ({type(part).__name__}) cannot be part of a policy"
        raise InputError(f"{what}: it is random where a policy is a function; remove it or call module.eval()")


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


def _check_purity(module: nn.Module, obs: Tensor) -> None:
    params = params_map(lambda value: value[0], _point(module, trial=0))
    before = {name: value.clone() for name, value in module.named_buffers()}
    first, second = _outputs(module, params, obs), _outputs(module, params, obs)
    for name, value in module.named_buffers():
        if not torch.equal(value, before[name]):
            raise InputError(
                f"the module changes its buffer '{name}' when it is called, so it is no function of its parameters "
                "(spectral norm in training mode does so); remove what changes it or call module.eval()"
            )
    if not torch.equal(first, second):
        raise InputError("the module answers the same question in two ways: it is random or keeps a hidden state")
    in_pairs = torch.cat([_outputs(module, params, pair) for pair in obs.split(2)])
    if not torch.allclose(first, in_pairs, rtol=1e-6, atol=1e-9):  # float64: far above rounding, below any mixing
        raise InputError("the module mixes the rows of [N, O]; each observation must be answered by itself")


def _check_derivatives(module: nn.Module, obs: Tensor) -> None:
    """Compare the second and third derivative of the stacked module with differences of the first and second."""
    errors: list[float] = []
    for trial in range(NUM_TRIALS):
        point, direction = _point(module, trial), _direction(module, trial)
        at = _derivatives(module, point, direction, obs)
        _check_gradient(at[0])
        ahead = _derivatives(module, params_map(lambda p, d: p + STEP * d, point, direction), direction, obs)
        behind = _derivatives(module, params_map(lambda p, d: p - STEP * d, point, direction), direction, obs)
        errors.append(max(_error(at[order + 1], ahead[order], behind[order]) for order in (0, 1)))
        if errors[-1] < TOLERANCE:
            return
    raise InputError(
        f"the module's higher derivatives are wrong by {min(errors):.0e} of their size; replace fused operations "
        "(functional.layer_norm, weight_norm, custom autograd functions) by elementary ones"
    )


def _check_gradient(gradient: Params) -> None:
    ignored = [f"'{name}'" for name, value in gradient.items() if not bool(value.any())]
    if ignored:
        raise InputError(
            f"the module ignores its parameters {', '.join(ignored)}: they do not change its output when it is called "
            "through torch.func.functional_call (Keras models ignore all; wrap their stateless_call); freeze those "
            "that are not meant to learn by requires_grad_(False)"
        )


def _derivatives(module: nn.Module, point: Params, direction: Params, obs: Tensor) -> list[Params]:
    """Return ∇f, ∇(v·∇f) and ∇(v·∇(v·∇f)) at stacked parameters, for direction v and f = Σ sin(c · output).

    The sine keeps every order from vanishing, and the constants c keep the outputs from cancelling.
    """
    theta = params_map(lambda value: value.detach().requires_grad_(), point)
    outputs = _outputs(module, theta, torch.stack([obs, -obs]))
    scale = Streams(0)["admission", "scale"].uniform(outputs.shape).to(outputs) + 0.5
    value = (scale * outputs).sin().sum()
    if not value.requires_grad:  # not a single one of the parameters was read
        return [params_map(torch.zeros_like, point)] * 3
    orders: list[Params] = []
    try:
        for _ in range(3):
            grads = torch.autograd.grad(value, list(theta.values()), create_graph=True, materialize_grads=True)
            orders.append({name: grad.detach() for name, grad in zip(theta, grads, strict=True)})
            value = (torch.cat([grad.flatten() for grad in grads]) * flatten(direction)).sum()
    except FAILURES as error:
        raise InputError(f"the module has no third derivative under torch.vmap: {_first_line(error)}") from error
    return orders


def _outputs(module: nn.Module, params: Params, obs: Tensor) -> Tensor:
    """Return the outputs, or refuse the module with the reason it fails for."""
    try:
        return apply(module, params, obs)
    except FAILURES as error:
        where = f"observations {list(obs.shape)} of {obs.dtype}"
        raise InputError(f"the module fails at {where}: {_first_line(error)}") from error


def _point(module: nn.Module, trial: int) -> Params:
    """Return two stacked sets of parameters around the module's own."""
    return params_map(lambda p, x: p + SPREAD * x, trainable(module), _noise(module, "point", trial))


def _direction(module: nn.Module, trial: int) -> Params:
    """Return a direction in which each parameter moves by length 1, so that small ones are seen beside large ones."""
    return params_map(lambda value: value / value.norm(), _noise(module, "direction", trial))


def _noise(module: nn.Module, purpose: str, trial: int) -> Params:
    rng = Streams(0)["admission", purpose, trial]
    return {name: rng[name].normal((2, *value.shape)).to(value) for name, value in trainable(module).items()}


def _error(exact: Params, ahead: Params, behind: Params) -> float:
    """Return the greatest difference between a derivative and a central difference, relative to the parameter's own."""
    worst = 0.0
    for name, value in exact.items():
        difference = (ahead[name] - behind[name]) / (2.0 * STEP)
        size = max(float(difference.abs().max()), float(ahead[name].abs().max()), sys.float_info.min)  # never 0/0
        worst = max(worst, float((value - difference).abs().max()) / size)
    return worst


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
