import pytest
import torch

from drml.core.tree import flatten, params_map, stack_shared, tree_leaves, tree_map, unflatten

A, B, C = torch.arange(6.0).view(2, 3), torch.tensor(7.0), torch.tensor([8.0, 9.0])
PARAMS = {"a": A, "b": B, "c": C}
TREE = {"a": A, "deep": {"b": B, "deeper": {"c": C}, "empty": {}}}


def test_tree_map_keeps_the_structure():
    mapped = tree_map(lambda x, y: x + 2 * y, TREE, TREE)
    assert list(mapped) == ["a", "deep"]
    assert mapped["deep"]["empty"] == {}
    assert torch.equal(mapped["a"], 3 * A)
    assert torch.equal(mapped["deep"]["deeper"]["c"], 3 * C)


@pytest.mark.parametrize(
    "other",
    [
        {"a": A},
        {"a": A, "deep": {"b": B, "deeper": {"c": C}, "empty": {}}, "more": A},
        {"a": A, "deep": {"b": B, "deeper": {}, "empty": {}}},
        {"a": A, "deep": B},
        {"a": {}, "deep": {"b": B, "deeper": {"c": C}, "empty": {}}},
    ],
)
def test_tree_map_refuses_trees_of_another_structure(other):
    with pytest.raises(KeyError):
        tree_map(torch.add, TREE, other)


def test_leaves_come_with_their_paths():
    leaves = list(tree_leaves(TREE))
    assert [path for path, _ in leaves] == ["a", "deep/b", "deep/deeper/c"]
    assert leaves[2][1] is C


def test_params_map_goes_by_name():
    doubled = params_map(lambda x, y: x - y, PARAMS, {"c": 2 * C, "b": 2 * B, "a": 2 * A})
    assert list(doubled) == ["a", "b", "c"]
    assert all(torch.equal(doubled[name], -PARAMS[name]) for name in PARAMS)
    with pytest.raises(KeyError):
        params_map(torch.add, PARAMS, {"a": A})


def test_stacking_shared_parameters_does_not_copy_them():
    stacked = stack_shared(PARAMS, 4)
    assert [tuple(value.shape) for value in stacked.values()] == [(4, 2, 3), (4,), (4, 2)]
    assert all(stacked[name].data_ptr() == PARAMS[name].data_ptr() for name in PARAMS)
    assert all(bool((stacked[name] == PARAMS[name]).all()) for name in PARAMS)


def test_the_gradient_of_stacked_parameters_sums_over_tasks():
    shared = {"a": A.clone().requires_grad_()}
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1)
    (grad,) = torch.autograd.grad((weight * stack_shared(shared, 4)["a"]).sum(), shared["a"])
    assert torch.equal(grad, torch.full((2, 3), 10.0))  # 1 + 2 + 3 + 4


def test_flatten_and_back():
    vector = flatten(PARAMS)
    assert vector.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 8.0, 9.0]
    again = unflatten(vector + 1.0, PARAMS)
    assert list(again) == ["a", "b", "c"]
    assert all(torch.equal(again[name], PARAMS[name] + 1.0) for name in PARAMS)
    with pytest.raises(RuntimeError):
        unflatten(vector[:-1], PARAMS)
