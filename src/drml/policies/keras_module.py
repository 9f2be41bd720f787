"""Keras models as torch modules that are functions of their parameters, so that tasks can adapt them.

A Keras 3 model on the torch backend is a torch module, and `torch.func.functional_call` takes it, but does not reach
its weights: its layers read variables of their own, and every gradient is zero without an error. So a model is never
called as a module here. `KerasModule` holds copies of its weights as parameters and passes them by `stateless_call`.

Keras is imported where a model of it is at hand, and never before.
"""

import inspect
import os
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from drml.core.errors import InputError
from drml.core.tree import Params
from drml.policies.keras_layers import check_layers

BACKEND = "torch"
VARIABLE = "KERAS_BACKEND"


def is_keras(found: object) -> bool:
    """Return whether something is a Keras model or layer."""
    keras: Any = sys.modules.get("keras")  # where it has not been imported there is none of its models
    return keras is not None and isinstance(found, getattr(keras, "Layer", ()))


def as_module(network: Any) -> nn.Module:  # noqa: ANN401 — a torch module, or a Keras model
    """Return a network as a torch module that is a function of its parameters.

    Raises:
        InputError: if it is a Keras model that cannot be one, or neither this nor a torch module.
    """
    if is_keras(network):
        return KerasModule(network)
    if not isinstance(network, nn.Module):
        raise InputError(f"the network is a {type(network).__name__}, expected a torch.nn.Module or a Keras model")
    for path, part in network.named_modules():
        if is_keras(part):
            raise InputError(
                f"submodule '{path}' ({type(part).__name__}) is Keras', whose weights torch.func does not reach; wrap "
                "the model that it is of: drml.policies.keras_module.KerasModule(model)"
            )
    return network


@final
class KerasModule(nn.Module):
    """A built Keras model `[N, O]` → `[N, A]` as a torch module; the model itself is code, and never changed.

    Parameters are named by their place and their own name, `0_kernel`, `1_bias`: the names that Keras gives to layers
    count what the process has made before.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 — no types come with Keras
        """Copy the weights of a model.

        Args:
            model: a `keras.Model` with weights, on the torch backend.

        Raises:
            InputError: if it has another backend, no weights yet, or a part that cannot be meta-learned.
        """
        super().__init__()
        check_model(model)
        check_layers(model)
        self._held = (model,)  # in a tuple, where torch does not take it for a part
        for i, variable in enumerate(model.trainable_variables):
            self.register_parameter(f"{i}_{variable.name}", nn.Parameter(_value(variable)))
        for i, variable in enumerate(model.non_trainable_variables):
            self.register_buffer(f"constant{i}_{variable.name}", _value(variable))
        self._takes_mode = "training" in inspect.signature(model.call).parameters

    @property
    def model(self) -> Any:  # noqa: ANN401
        """Return the Keras model; its weights are those it came with."""
        return self._held[0]

    def forward(self, obs: Tensor) -> Tensor:
        """Return the model's outputs `[N, A]`, as in inference.

        Raises:
            ValueError: if it gives more than one tensor, or changes a state of its own.
        """
        import keras

        mode = {"training": False} if self._takes_mode else {}
        constants = list(self.buffers())
        with keras.device(str(obs.device)), _exact(obs.dtype):
            outputs, after = self.model.stateless_call(list(self.parameters()), constants, obs, **mode)
        if not isinstance(outputs, Tensor):
            raise ValueError(f"the Keras model gives a {type(outputs).__name__}, expected one tensor")
        if outputs.dtype != obs.dtype:
            raise ValueError(f"the Keras model gives {outputs.dtype} for {obs.dtype}; let it cast nothing")
        if any(not (now is then or torch.equal(now, then)) for now, then in zip(after, constants, strict=True)):
            raise ValueError("the Keras model changes a state of its own when it is called, so it is no function")
        return outputs

    def filled(self, params: Params) -> Any:  # noqa: ANN401
        """Return another Keras model of the same kind with these weights; parameters that it has not are left out.

        Raises:
            InputError: if Keras cannot make the model again from its own configuration.
        """
        model = remade(self.model, "float32")
        names = [name for name, _ in self.named_parameters()]
        for name, variable in zip(names, model.trainable_variables, strict=True):
            variable.assign(params[name].detach().cpu().numpy())
        return model

    def __deepcopy__(self, memo: dict[int, Any]) -> "KerasModule":
        """Return a module with copies of the weights and the same code, which Keras need not be able to copy."""
        copied = KerasModule.__new__(KerasModule)
        nn.Module.__init__(copied)
        memo[id(self)] = copied
        copied._held, copied._takes_mode = self._held, self._takes_mode
        for name, value in self.named_parameters():
            copied.register_parameter(name, nn.Parameter(value.detach().clone(), value.requires_grad))
        for name, value in self.named_buffers():
            copied.register_buffer(name, value.clone())
        return copied.train(self.training)

    def _apply(self, fn: Any, recurse: bool = True) -> "KerasModule":  # noqa: ANN401
        """Convert the weights, and make the model again where their type is another: Keras casts what it is given."""
        before = next(self.parameters()).dtype
        super()._apply(fn, recurse)
        after = next(self.parameters()).dtype
        if after != before:
            self._held = (remade(self.model, str(after).removeprefix("torch.")),)
        return self


def check_model(model: Any) -> None:  # noqa: ANN401
    """Check that something is a Keras model whose weights are torch's.

    Raises:
        InputError: says what it is, and the way out.
    """
    import keras

    if (backend := keras.backend.backend()) != BACKEND:
        raise InputError(
            f"the Keras model is one of the {backend} backend, expected torch: set {VARIABLE}=torch in the "
            "environment before keras is imported"
        )
    if not isinstance(model, keras.Model):
        kind = type(model).__name__
        raise InputError(f"the network is a Keras layer ({kind}), expected a model: keras.Sequential([…])")
    if not model.built or not model.weights:
        raise InputError(f"the Keras model '{model.name}' has no weights yet; begin it with keras.Input((obs_size,))")


def remade(model: Any, dtype: str) -> Any:  # noqa: ANN401
    """Return a model made again from its own configuration, with its weights, that computes in another type.

    Raises:
        InputError: if Keras cannot do so.
    """
    import keras

    own = {type(layer).__name__: type(layer) for layer in _layers(model)}
    try:
        described = _in_type(keras.saving.serialize_keras_object(model), dtype)
        with _by_default(dtype):
            again = keras.saving.deserialize_keras_object(described, custom_objects=own, safe_mode=False)
        again.set_weights([value.detach().cpu().numpy() for value in map(_value, model.weights)])
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the Keras model '{model.name}' cannot be made again from its own configuration, as checking its "
            f"derivatives and saving it takes: {reason}; build it of keras.Sequential or keras.Model(inputs, outputs), "
            "or give its classes get_config"
        ) from error
    return again


@contextmanager
def torch_backend() -> Generator[None]:
    """Let code that imports Keras for the first time import it on torch; say what is missing where it cannot.

    Raises:
        InputError: in place of one that Keras, or its backend, is the reason for.
    """
    chosen, is_first = os.environ.get(VARIABLE), "keras" not in sys.modules
    if is_first and chosen is None:
        os.environ[VARIABLE] = BACKEND
    try:
        yield
    except InputError as error:
        if re.search(r"no module (named )?'keras'", str(error), re.IGNORECASE):
            raise InputError(f"{error}; Keras comes with: pip install 'drml[keras]'") from error
        if is_first and chosen not in (None, BACKEND):
            raise InputError(
                f"{error}; {VARIABLE} is '{chosen}', and Keras models are meta-learned on torch: set {VARIABLE}=torch"
            ) from error
        raise
    finally:
        if is_first and chosen is None:
            del os.environ[VARIABLE]


@contextmanager
def own_generator() -> Generator[None]:
    """Let Keras draw from a generator of its own, seeded from Python's, as if the process had drawn nothing before."""
    name, before = "global_seed_generator", None
    if "keras" in sys.modules:
        before = _global_state().get_global_attribute(name)
        _global_state().set_global_attribute(name, None)
    try:
        yield
    finally:
        if "keras" in sys.modules:
            _global_state().set_global_attribute(name, before)


@contextmanager
def _by_default(dtype: str) -> Generator[None]:
    """Make layers compute in this type whose configuration names none."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def _exact(dtype: torch.dtype) -> Generator[None]:
    """Let Keras compute in float64 where that is asked for: on the torch backend it rounds results to float32."""
    from keras.src.backend.common import dtypes

    rounded: dict[str, str] = dtypes.BIT64_TO_BIT32_DTYPE
    before = rounded["float64"]
    rounded["float64"] = str(dtype).removeprefix("torch.") if dtype == torch.float64 else before
    try:
        yield
    finally:
        rounded["float64"] = before


def _global_state() -> Any:  # noqa: ANN401
    from keras.src.backend.common import global_state

    return global_state


def _layers(model: Any) -> Iterator[Any]:  # noqa: ANN401
    return model._flatten_layers()


def _value(variable: Any) -> Tensor:  # noqa: ANN401
    return cast(Tensor, variable.value).detach().clone()


def _in_type(described: Any, dtype: str) -> Any:  # noqa: ANN401 — nested dictionaries and lists
    """Return a description in which every float type is this one."""
    if isinstance(described, dict):
        return {key: _in_type(value, dtype) for key, value in cast(dict[str, Any], described).items()}
    if isinstance(described, list | tuple):
        return type(described)(_in_type(value, dtype) for value in cast(list[Any], described))
    return dtype if described in ("float32", "float64") else described
