"""Transformer: attention written out, the cache against recomputation, distances in time, and the limit."""

import math

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.policies.memory.transformer import EPS, Transformer

F, D, L = 3, 8, 10


def make(layers=2, heads=2):
    memory = Transformer(F, D, layers, heads, L)
    params = {name: value.double() for name, value in memory.init(Streams(0)).items()}
    return memory, params


def drawn(*shape):
    return Streams(1)["x"].normal(shape).double()


def no_starts(*shape):
    return torch.zeros(shape, dtype=torch.bool)


def norm(x):
    return x / math.sqrt(sum(value * value for value in x.tolist()) / D + EPS)


def turned(x, position):
    """Each pair (i, i + 2) of a head of four turned by position * 10000^(-i/2), as a rotation matrix."""
    matrix = torch.zeros(4, 4).double()
    for i in range(2):
        angle = position * 10_000.0 ** (-i / 2)
        matrix[i, i] = matrix[i + 2, i + 2] = math.cos(angle)
        matrix[i, i + 2], matrix[i + 2, i] = -math.sin(angle), math.sin(angle)
    return matrix @ x


def test_one_layer_written_out():
    memory, params = make(layers=1)
    inputs = drawn(3, 1, F)
    embedded = [params["embed.weight"].t() @ x[0] for x in inputs]
    projected = [params["layer0.attention_in"].t() @ norm(x) for x in embedded]
    last, attended = projected[2], []
    for head in (0, 4):
        query = turned(last[head : head + 4], 2)
        keys = [turned(each[8 + head : 12 + head], s) for s, each in enumerate(projected)]
        weights = torch.stack([query @ key / 2.0 for key in keys]).softmax(0)  # √4 = 2
        attended.append(sum(w * each[16 + head : 20 + head] for w, each in zip(weights, projected, strict=True)))
    x = embedded[2] + params["layer0.attention_out"].t() @ torch.cat(attended)
    hidden = params["layer0.forward_in"].t() @ norm(x)
    x = x + params["layer0.forward_out"].t() @ (hidden * 0.5 * (1.0 + torch.erf(hidden / math.sqrt(2.0))))
    outputs, _ = memory.sequence(params, inputs, memory.start(1, inputs), no_starts(3, 1))
    torch.testing.assert_close(outputs[2, 0], norm(x), rtol=1e-12, atol=1e-12)


def test_cache_equals_recomputation_at_different_times():
    """Every output of sequences that start at 0, 2, 3 and 6 is that of its own steps alone, computed afresh."""
    memory, params = make()
    inputs, first = drawn(9, 4, F), [0, 2, 3, 6]
    state = memory.start(4, inputs)
    for t, x in enumerate(inputs):
        starts = torch.tensor([t == when for when in first])
        outputs, state = memory.step(params, x, state, starts)
        for n, when in enumerate(first):
            steps = inputs[when if t >= when else 0 : t + 1, n : n + 1]
            afresh, _ = memory.sequence(params, steps, memory.start(1, x), no_starts(len(steps), 1))
            torch.testing.assert_close(outputs[n], afresh[-1, 0], rtol=1e-11, atol=1e-11)
    assert state["position"].tolist() == [9, 7, 6, 3]
    for n, held in enumerate([9, 7, 6, 3]):
        assert bool(state["keys"][n, :, :held].any(2).all())
        assert not state["keys"][n, :, held:].any()


def test_outputs_depend_on_distances_in_time():
    """An echo of the first of two equal inputs differs by how long ago it was; without positions it would not."""
    memory, params = make(layers=1, heads=1)
    inputs = drawn(3, 1, F)
    swapped = inputs[[1, 0, 2]]
    outputs = [memory.sequence(params, x, memory.start(1, x), no_starts(3, 1))[0][2] for x in (inputs, swapped)]
    assert float((outputs[0] - outputs[1]).abs().max()) > 1e-3


def test_the_context_can_be_filled_and_not_passed():
    memory, params = make()
    inputs = drawn(L + 1, 2, F)
    words = "takes its step 11, but the transformer's context is 10"
    with pytest.raises(InputError, match=words):
        memory.sequence(params, inputs, memory.start(2, inputs), no_starts(L + 1, 2))
    full, state = memory.sequence(params, inputs[:L], memory.start(2, inputs), no_starts(L, 2))
    assert full.shape == (L, 2, D)
    with pytest.raises(InputError, match=words):
        memory.step(params, inputs[L], state, torch.tensor([False, True]))
    outputs, state = memory.step(params, inputs[L], state, torch.tensor([True, True]))
    assert outputs.shape == (2, D)
    assert state["position"].tolist() == [1, 1]


def test_weights_that_add_up_start_smaller_with_depth():
    """In a deep stack every part adds 1/√(2 layers): standard deviations over 8 x 8 and 32 x 8 draws."""
    params = Transformer(F, 64, 8, 2, L).init(Streams(0))
    # 64 * 64 draws know a standard deviation to 1/√(2 * 4096) = 1.1 %; five of those
    assert float(params["layer3.attention_in"].std()) == pytest.approx(1.0 / 8.0, rel=0.055)
    assert float(params["layer3.attention_out"].std()) == pytest.approx(1.0 / 8.0 / 4.0, rel=0.055)
    assert float(params["layer3.forward_out"].std()) == pytest.approx(1.0 / 16.0 / 4.0, rel=0.055)
