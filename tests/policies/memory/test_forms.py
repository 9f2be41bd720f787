"""The two forms of every memory are one function: values, last states and gradients, at staggered starts."""

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import tree_leaves, tree_map
from drml.policies.memory.registry import MemoryConfig, memory_of

F, N, T, CONTEXT = 3, 5, 12, 32
CONFIGS = {
    "gru": MemoryConfig("gru", 8),
    "lstm": MemoryConfig("lstm", 8),
    "mingru": MemoryConfig("mingru", 8, context=CONTEXT),
    "transformer": MemoryConfig("transformer", 8, 2, heads=2, context=CONTEXT),
    "gru, two layers": MemoryConfig("gru", 8, 2),
    "lstm, two layers": MemoryConfig("lstm", 8, 2),
    "mingru, two layers": MemoryConfig("mingru", 8, 2, context=CONTEXT),
}
# Sums of a few dozen terms of size 1, some of them through twelve steps: below a hundred roundings of 6e-8 and 1e-16.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
every_memory = pytest.mark.parametrize("name", CONFIGS)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def make(name, dtype=torch.float64):
    memory = memory_of(CONFIGS[name], F)
    drawn = memory.init(Streams(1))
    params = {key: (value + 0.1 * Streams(2)[key].normal(value.shape)).to(dtype) for key, value in drawn.items()}
    return memory, params


def random_inputs(dtype=torch.float64, steps=T):
    return Streams(3)["inputs"].normal((steps, N, F)).to(dtype)


def staggered_starts():
    """Sequence 0 never starts; the others start at random times, one of them at the first step."""
    starts = Streams(4)["starts"].uniform((T, N)) < 0.2
    starts[:, 0] = False
    starts[0] = torch.tensor([False, True, False, False, False])
    assert len({tuple(column.tolist()) for column in starts.t()}) == N
    return starts


def used_state(memory, params, dtype=torch.float64):
    """The state of sequences that are at different times: 7, 4, 6, 7 and 2 steps long."""
    state, starts = memory.start(N, torch.zeros((), dtype=dtype)), torch.zeros(7, N, dtype=torch.bool)
    for n, first in enumerate([0, 3, 1, 0, 5]):
        starts[first, n] = True
    return memory.sequence(params, Streams(5)["before"].normal((7, N, F)).to(dtype), state, starts)[1]


def by_steps(memory, params, inputs, state, starts):
    outputs = []
    for x, starts_t in zip(inputs, starts, strict=True):
        y, state = memory.step(params, x, state, starts_t)
        outputs.append(y)
    return torch.stack(outputs), state


def at_once(memory, params, inputs, state, starts):
    return memory.sequence(params, inputs, state, starts)


def trees_close(actual, expected, tolerance):
    pairs = list(zip(tree_leaves(actual), tree_leaves(expected), strict=True))
    for (path, a), (other, b) in pairs:
        assert path == other
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    return bool(pairs)


def gradients(form, memory, params, inputs, state, starts):
    """Of a weighted sum of all outputs and of all numbers of the last state."""
    params = {key: value.clone().requires_grad_() for key, value in params.items()}
    inputs = inputs.clone().requires_grad_()
    state = tree_map(lambda leaf: leaf.clone().requires_grad_() if leaf.is_floating_point() else leaf, state)
    outputs, last = form(memory, params, inputs, state, starts)
    total = outputs.new_zeros(())
    for path, value in [("outputs", outputs), *tree_leaves(last)]:
        if value.is_floating_point():
            total = total + (value * Streams(6)[path].normal(value.shape).to(value)).sum()
    leaves = [*params.values(), inputs, *(leaf for _, leaf in tree_leaves(state) if leaf.requires_grad)]
    found = torch.autograd.grad(total, leaves, materialize_grads=True)
    return {str(i): grad for i, grad in enumerate(found)}


@every_memory
@every_dtype
@pytest.mark.parametrize("is_recording", [True, False])  # some memories act in another way where no gradient is asked
def test_sequence_equals_steps(name, dtype, is_recording):
    memory, params = make(name, dtype)
    case = (memory, params, random_inputs(dtype), used_state(memory, params, dtype), staggered_starts())
    with torch.set_grad_enabled(is_recording):
        (outputs, last), (expected, expected_last) = at_once(*case), by_steps(*case)
    assert outputs.dtype == dtype
    assert outputs.shape == (T, N, memory.output_size)
    torch.testing.assert_close(outputs, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert trees_close(last, expected_last, TOLERANCE[dtype])


@every_memory
@every_dtype
def test_gradients_of_both_forms_are_equal(name, dtype):
    memory, params = make(name, dtype)
    case = (memory, params, random_inputs(dtype), used_state(memory, params, dtype), staggered_starts())
    actual, expected = gradients(at_once, *case), gradients(by_steps, *case)
    largest = max(float(grad.abs().max()) for grad in expected.values())
    # a gradient sums over T * N = 60 steps: tolerance in units of the largest one
    assert trees_close(actual, expected, max(largest, 1.0) * TOLERANCE[dtype])
    assert all(bool(actual[str(i)].any()) for i in range(len(params) + 1))


@every_memory
def test_gradients_equal_finite_differences(name):
    memory, params = make(name)
    inputs, starts = random_inputs(steps=3)[:, :2].clone().requires_grad_(), staggered_starts()[:3, 1:3]
    state = memory.start(2, inputs)
    assert torch.autograd.gradcheck(lambda x: memory.sequence(params, x, state, starts)[0], (inputs,))


@pytest.mark.parametrize("name", ["gru", "lstm", "mingru", "transformer"])
def test_second_derivatives_equal_finite_differences(name):
    memory, params = make(name)
    key = next(iter(params))
    inputs, starts = random_inputs(steps=2)[:, :2], staggered_starts()[:2, 1:3]
    state = memory.start(2, inputs)

    def outputs(weight):
        return memory.sequence({**params, key: weight}, inputs, state, starts)[0][-1, 0, :2]

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert torch.autograd.gradgradcheck(outputs, (params[key].clone().requires_grad_(),))


@every_memory
@pytest.mark.parametrize("cut", [1, 5, T - 1])
def test_a_sequence_may_be_cut_anywhere(name, cut):
    memory, params = make(name)
    inputs, starts, state = random_inputs(), staggered_starts(), used_state(memory, params)
    whole, last = memory.sequence(params, inputs, state, starts)
    first, between = memory.sequence(params, inputs[:cut], state, starts[:cut])
    second, end = memory.sequence(params, inputs[cut:], between, starts[cut:])
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-10, atol=1e-10)
    assert trees_close(end, last, 1e-10)


@every_memory
def test_sequences_of_a_batch_do_not_meet(name):
    memory, params = make(name)
    inputs, starts, state = random_inputs(), staggered_starts(), used_state(memory, params)
    whole, _ = memory.sequence(params, inputs, state, starts)
    for n in range(N):
        own = tree_map(lambda leaf, n=n: leaf[n : n + 1], state)
        alone, _ = memory.sequence(params, inputs[:, n : n + 1], own, starts[:, n : n + 1])
        torch.testing.assert_close(alone[:, 0], whole[:, n], rtol=1e-10, atol=1e-10)


@every_memory
def test_a_start_forgets_and_nothing_else_does(name):
    memory, params = make(name)
    inputs, state = random_inputs(), used_state(memory, params)
    starts = torch.zeros(T, N, dtype=torch.bool)
    starts[4] = True
    outputs, _ = memory.sequence(params, inputs, state, starts)
    fresh, _ = memory.sequence(params, inputs[4:], memory.start(N, inputs), torch.zeros(T - 4, N, dtype=torch.bool))
    torch.testing.assert_close(outputs[4:], fresh, rtol=1e-10, atol=1e-10)
    changed = inputs.clone()
    changed[4] += 1.0
    moved = (memory.sequence(params, changed, state, starts)[0] - outputs).abs().amax(2)
    assert bool((moved[:4] == 0.0).all())  # the future does not reach the past
    assert bool((moved[4:] > 0.0).all())  # the past reaches all of the future


@every_memory
def test_given_tensors_are_not_changed(name):
    memory, params = make(name)
    inputs, starts, state = random_inputs(), staggered_starts(), used_state(memory, params)
    before = tree_map(torch.clone, {"inputs": inputs, "starts": starts, "state": state, "params": {**params}})
    at_once(memory, params, inputs, state, starts)
    by_steps(memory, params, inputs, state, starts)
    with torch.no_grad():
        by_steps(memory, params, inputs, state, starts)
    after = {"inputs": inputs, "starts": starts, "state": state, "params": {**params}}
    assert trees_close(after, before, 0.0)


@pytest.mark.parametrize("kind", ["gru", "lstm", "mingru", "transformer"])
def test_a_thousand_steps_stay_finite_and_equal_steps(kind):
    memory = memory_of(MemoryConfig(kind, 8, heads=2, context=1000), F)
    params, inputs = memory.init(Streams(1)), 3.0 * Streams(3)["inputs"].normal((1000, 2, F))
    starts = torch.zeros(1000, 2, dtype=torch.bool)
    starts[500, 1] = True
    leaves = {key: value.requires_grad_() for key, value in params.items()}
    outputs, _ = memory.sequence(leaves, inputs, memory.start(2, inputs), starts)
    grads = torch.autograd.grad(outputs.square().sum(), list(leaves.values()))
    assert all(bool(value.isfinite().all()) for value in (outputs, *grads))
    with torch.no_grad():
        expected, _ = by_steps(memory, params, inputs, memory.start(2, inputs), starts)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)  # a thousand roundings of 6e-8 each


@every_memory
def test_initial_parameters_are_a_function_of_the_stream(name):
    memory = memory_of(CONFIGS[name], F)
    first, again, other = (memory.init(Streams(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": 0}, "memory size is 0, must be 1 or more"),
        ({"layers": 0}, "memory layers is 0"),
        ({"heads": -1}, "memory heads is -1"),
        ({"context": 0}, "memory context is 0"),
        ({"head_hidden": -1}, "memory head_hidden is -1, must be 0 or more"),
        ({"kind": "transformer", "size": 12, "heads": 4}, "memory size is 12, must be a multiple of 8"),
    ],
)
def test_impossible_configurations_are_refused(fields, words):
    with pytest.raises(InputError, match=words):
        MemoryConfig(**fields)


def test_heads_matter_to_the_transformer_alone():
    assert memory_of(MemoryConfig("gru", 12, heads=4), F).output_size == 12
