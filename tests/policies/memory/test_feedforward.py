"""A policy without memory: its outputs depend on the present alone, in both forms."""

import torch

from drml.core.rng import Streams
from drml.policies.memory.registry import MemoryConfig, memory_of

STARTS = torch.zeros((4, 3), dtype=torch.bool)


def test_both_forms_are_one_layer_of_the_present_input():
    memory = memory_of(MemoryConfig("none", 8), 5)
    params = {name: value.double() for name, value in memory.init(Streams(0)).items()} | {
        "bias": Streams(1).normal((8,)).double()
    }
    inputs = Streams(2).normal((4, 3, 5)).double()
    outputs, state = memory.sequence(params, inputs, memory.start(3, inputs), STARTS)
    assert state == memory.start(3, inputs) == {}
    torch.testing.assert_close(outputs, torch.tanh(inputs @ params["weight"] + params["bias"]))
    for t, x in enumerate(inputs):
        torch.testing.assert_close(memory.step(params, x, {}, STARTS[t])[0], outputs[t])


def test_layers_of_it_stand_on_each_other():
    memory = memory_of(MemoryConfig("none", 8, layers=2), 5)
    params, inputs = memory.init(Streams(0)), Streams(2).normal((4, 3, 5))
    outputs, _ = memory.sequence(params, inputs, memory.start(3, inputs), STARTS)
    lower, upper = (params[f"layer{i}.weight"] for i in (0, 1))
    torch.testing.assert_close(outputs, torch.tanh(torch.tanh(inputs @ lower) @ upper))
