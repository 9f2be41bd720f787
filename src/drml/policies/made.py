"""A network of the user's own as the policy of a run, named by the function that makes it.

    # networks.py
    def small(obs_size: int, num_outputs: int):
        return torch.nn.Sequential(torch.nn.Linear(obs_size, 64), torch.nn.Tanh(), torch.nn.Linear(64, num_outputs))

    drml.train(suite, "promp", policy=drml.ModuleConfig("networks:small"))

Foreign code draws initial weights from global generators. They are seeded from the run's streams while the network is
made and as before afterwards, so that a seed repeats to the bit and another one begins elsewhere. Weights that are not
trained are constants of the code, for every seed and in every process.
"""

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from drml.core.blame import foreign
from drml.core.errors import InputError
from drml.core.global_generators import seeded
from drml.core.named import imported, is_of, may_be_called, without_arguments
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.core.types import EnvSpec
from drml.policies.keras_module import as_module, own_generator, torch_backend
from drml.policies.mlp import check_std
from drml.policies.module import ModulePolicy

PACKAGES = ("torch", "keras")
Maker = Callable[[int, int], Any]


@dataclass(frozen=True)
class ModuleConfig:
    """A network of your own: a function that makes a torch module, or a built Keras model.

    Raises:
        InputError: if `make` is no name, or a standard deviation is out of its range.
    """

    make: str
    """Function (obs_size, num_outputs) that returns a torch.nn.Module or a built Keras model, by its name
    package.module:function."""
    init_std: float = 1.0
    """Gaussian policies: standard deviation at the start, in policy action units (papers: 1)."""
    min_std: float = 1e-6
    """Gaussian policies: the standard deviation never falls below this (ProMP: 1e-6)."""

    def __post_init__(self) -> None:
        made: Any = self.make
        if not isinstance(made, str):
            home, name = getattr(made, "__module__", "package.module"), getattr(made, "__qualname__", "function")
            raise InputError(f"policy make is a {type(made).__name__}, expected its name: make='{home}:{name}'")
        module, _, name = self.make.partition(":")
        if not (module and name):
            raise InputError(f"policy make is '{self.make}', expected package.module:function")
        check_std(self.init_std, self.min_std)

    def num_weights(self, inputs: int, outputs: int) -> int:
        """Return how many weights the network has."""
        return _counted(_maker(self.make), self.make, inputs, outputs)[0]

    def with_room(self, steps: int) -> "ModuleConfig":
        """Return the configuration: there is no memory that needs room for the steps of a sequence."""
        return self

    def num_units(self, inputs: int, outputs: int) -> int:
        """Return how many numbers learning keeps of one observation."""
        return _counted(_maker(self.make), self.make, inputs, outputs)[1]


def module_policy(spec: EnvSpec, config: ModuleConfig) -> ModulePolicy:
    """Return the policy of a network of the user's own.

    Raises:
        InputError: if there is no such function, it fails, or what it makes cannot be meta-learned.
    """
    maker = _maker(config.make)

    def fresh(rng: Streams) -> nn.Module:
        first, again = (_made(maker, config.make, spec.num_seen, spec.action.size, rng) for _ in range(2))
        if not _are_equal(dict(first.named_parameters()), dict(again.named_parameters())):
            raise InputError(
                f"'{config.make}' makes other weights each time, so a run could not be repeated; let it draw from "
                "Python's, NumPy's or torch's global generator, which the run seeds"
            )
        if not _are_equal(_constants(first), _constants(constant)):
            raise InputError(
                f"'{config.make}' draws weights that are not trained, so no other process would find them again; let "
                "it draw these from a generator of their own: torch.Generator().manual_seed(0)"
            )
        return first

    constant = _made(maker, config.make, spec.num_seen, spec.action.size, Streams(0)["constants"])
    with _naming(config.make):
        return ModulePolicy(constant, spec, config.init_std, config.min_std, fresh)


def _maker(name: str) -> Maker:
    """Return the function that a name stands for."""
    with torch_backend():
        found: Any = imported(name, "network")
    plain = without_arguments(found)
    is_maker = is_of(plain, PACKAGES) if inspect.isclass(plain) else may_be_called(plain, PACKAGES)
    if not is_maker:
        raise InputError(
            f"policy make '{name}' is a {type(found).__name__}, expected a function (obs_size, num_outputs) that "
            "returns a torch.nn.Module or a built Keras model"
        )
    return found


def _made(maker: Maker, name: str, obs_size: int, num_outputs: int, rng: Streams) -> nn.Module:
    """Return the network that a function makes where the global generators begin as a stream says."""
    seed = int(rng["network"].generator().integers(2**31))
    doing = f"'{name}': making a network of {obs_size} inputs and {num_outputs} outputs"
    with torch_backend(), seeded(seed), own_generator(), foreign(doing):
        network = maker(obs_size, num_outputs)
    with _naming(name):
        return as_module(network)


@contextmanager
def _naming(name: str) -> Generator[None]:
    """Say whose network a complaint is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"'{name}': {error}") from error


@lru_cache(maxsize=8)
def _counted(maker: Maker, name: str, obs_size: int, num_outputs: int) -> tuple[int, int]:
    """Return how many weights a network has, and how many numbers its derivative keeps of one observation."""
    module = _made(maker, name, obs_size, num_outputs, Streams(0)["constants"])
    own = {value.untyped_storage().data_ptr() for value in (*module.parameters(), *module.buffers())}
    kept: dict[int, Tensor] = {}  # by the memory that they lie in: some are kept twice, or as views

    def keep(value: Tensor) -> Tensor:
        if (place := value.untyped_storage().data_ptr()) not in own:
            kept[place] = value
        return value

    doing = f"'{name}': calling the network on observations [1, {obs_size}]"
    with foreign(doing), seeded(0), torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        outputs = module(torch.zeros(1, obs_size))
    del outputs
    num_units = num_outputs + sum(value.numel() for value in kept.values())
    return sum(value.numel() for value in module.parameters() if value.requires_grad), num_units


def _constants(module: nn.Module) -> Params:
    """Return what of a module is not trained."""
    frozen = {name: value for name, value in module.named_parameters() if not value.requires_grad}
    # Keras keeps seeds in whole numbers, of generators that a policy never draws from
    return frozen | {name: value for name, value in module.named_buffers() if value.is_floating_point()}


def _are_equal(first: Params, second: Params) -> bool:
    shapes = [{name: value.shape for name, value in params.items()} for params in (first, second)]
    return shapes[0] == shapes[1] and all(torch.equal(value, second[name]) for name, value in first.items())
