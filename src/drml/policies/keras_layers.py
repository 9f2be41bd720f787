"""Keras layers that cannot be part of a policy: refused by kind, each with a way out.

What is not known here is tried by `admission`, as are all torch modules: second and third derivatives beside finite
differences.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from drml.core.errors import InputError

Layer = Any
"""A `keras.Layer`; no types come with Keras."""


@dataclass(frozen=True)
class Refusal:
    """Kinds of layers that cannot be part of a policy."""

    kinds: tuple[str, ...]
    """Names of classes in `keras.layers`; those of the user's that derive from them are meant, too."""
    reason: str
    instead: str
    """The way out."""
    where: Callable[[Layer], bool] = lambda layer: True
    """True of the layers that are refused."""


def _drops(layer: Layer) -> bool:
    cells = getattr(layer, "cell", layer)
    return any(getattr(cells, rate, 0.0) for rate in ("dropout", "recurrent_dropout"))


REFUSALS = (
    Refusal(
        ("LayerNormalization",),
        "torch's higher derivatives of it are silently wrong",
        "use keras.layers.GroupNormalization(1) or RMSNormalization",
    ),
    Refusal(
        ("BatchNormalization",),
        "it mixes the rows of a batch in training, and its running statistics would never move",
        "use keras.layers.GroupNormalization(1) or RMSNormalization",
    ),
    Refusal(
        ("MultiHeadAttention", "GroupQueryAttention"),
        "its attention has no second derivative",
        "write attention with keras.ops.softmax and keras.ops.matmul",
    ),
    Refusal(
        ("RNN",),
        "it keeps a state between calls, where a policy is a function",
        "set stateful=False, or use a policy with memory: drml.MemoryConfig",
        lambda layer: layer.stateful,
    ),
    Refusal(
        ("RNN", "GRUCell", "LSTMCell", "SimpleRNNCell"),
        "it drops units at random in training, where a policy is a function",
        "set dropout and recurrent_dropout to 0",
        _drops,
    ),
    Refusal(
        ("Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "DepthwiseConv2D", "SeparableConv2D"),
        "with channels last it fails under torch.vmap",
        'set data_format="channels_first"',
        lambda layer: layer.data_format == "channels_last",
    ),
    Refusal(
        ("TorchModuleWrapper",),
        "its weights are torch's and Keras does not reach them",
        "build the network of torch modules alone",
    ),
)
RECURRENT = ("RNN", "GRUCell", "LSTMCell", "SimpleRNNCell")  # they hold a generator even where they draw nothing


def check_layers(model: Any) -> None:  # noqa: ANN401
    """Check the parts of a Keras model that are known to fail, or to be silently something else.

    Raises:
        InputError: names the layer, the reason and the way out.
    """
    for layer in model._flatten_layers():
        for reason, instead in _objections(layer):
            raise InputError(
                f"layer '{layer.name}' ({type(layer).__name__}) cannot be part of a policy: {reason}; {instead}"
            )
    for variable in model.trainable_variables:
        if variable.regularizer is not None or variable.constraint is not None:
            kind = "constraint" if variable.regularizer is None else "regularizer"
            raise InputError(f"weight '{variable.path}' has a {kind}, which meta-learning would ignore; leave it away")


def _objections(layer: Layer) -> Iterator[tuple[str, str]]:
    """Yield the reasons why a layer cannot be part of a policy, each with the way out."""
    for refusal in REFUSALS:
        if _is_one_of(layer, refusal.kinds) and refusal.where(layer):
            yield refusal.reason, refusal.instead
    if getattr(layer, "_seed_generators", ()) and not _is_one_of(layer, RECURRENT):
        yield "it is random in training, where a policy is a function", "leave it away"
    if getattr(layer, "activity_regularizer", None) is not None:
        yield "it has an activity_regularizer, which meta-learning would ignore", "leave that away"
    if layer.compute_dtype != "float32":
        yield f"it computes in {layer.compute_dtype}, expected float32", 'make it with dtype="float32"'


def _is_one_of(layer: Layer, kinds: tuple[str, ...]) -> bool:
    import keras

    return isinstance(layer, tuple(getattr(keras.layers, kind) for kind in kinds if hasattr(keras.layers, kind)))
