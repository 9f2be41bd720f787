"""The heads that stand on a memory: numbers by hand, one row at a time, and exact derivatives."""

import math

import pytest
import torch

from drml.core.rng import Streams
from drml.core.tree import flatten
from drml.policies.heads import HypernetworkHead, LinearHead
from drml.policies.mlp import init_layers

D, OBS, H, A = 3, 4, 5, 2
HEADS = [LinearHead(D, A), HypernetworkHead(D, OBS, H, A), HypernetworkHead(D, OBS, 0, A)]
every_head = pytest.mark.parametrize("head", HEADS, ids=["linear", "hypernetwork", "generated-table"])


def moved(head):
    """Parameters in float64, none of them zero."""
    params = head.init(Streams(0))
    return {name: value.double() + 0.3 * Streams(1)[name].normal(value.shape) for name, value in params.items()}


def remembered(*lead):
    return Streams(2)["z"].normal((*lead, D)).double()


def observed(*lead):
    return Streams(2)["obs"].normal((*lead, OBS)).double()


def by_hand(params, z, o):
    """The actor's outputs and the value of one row, with matrices of its own."""

    def own(name):
        parts = zip(z, params[f"generator.{name}"], strict=True)
        return params[name] + sum(number * column.view(params[name].shape) for number, column in parts)

    hidden = torch.tanh(o @ own("hidden.weight") + own("hidden.bias"))
    return [hidden @ own(f"{part}.weight") + own(f"{part}.bias") for part in ("actor", "critic")]


def test_linear_by_hand():
    params = {
        "actor.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "actor.bias": torch.tensor([0.5, -0.5]),
        "critic.weight": torch.tensor([[2.0], [-1.0]]),
        "critic.bias": torch.tensor([10.0]),
    }
    actor, value = LinearHead(2, 2).evaluate(params, torch.tensor([[2.0, -1.0]]), torch.zeros(1, 7))
    assert actor.tolist() == [[-0.5, -0.5]]  # 2·1 − 3 + 0.5, 2·2 − 4 − 0.5
    assert value.tolist() == [15.0]  # 2·2 + 1 + 10


def test_hypernetwork_by_hand():
    start = {"hidden": (0.1, 0.2), "actor": (0.3, 0.4), "critic": (0.5, 0.6)}  # weight and bias of θ₀
    slope = {"hidden": (1.0, -2.0), "actor": (3.0, -4.0), "critic": (5.0, -6.0)}  # and of G
    params = {}
    for layer, numbers in start.items():
        for part, at, by in zip(("weight", "bias"), numbers, slope[layer], strict=True):
            params[f"{layer}.{part}"] = torch.full((1, 1) if part == "weight" else (1,), at, dtype=torch.float64)
            params[f"generator.{layer}.{part}"] = torch.full((1, 1), by, dtype=torch.float64)
    z, o = 0.5, 2.0
    h = math.tanh((0.1 + z * 1.0) * o + (0.2 - z * 2.0))
    z, o = torch.tensor([[z]]).double(), torch.tensor([[o]]).double()
    actor, value = HypernetworkHead(1, 1, 1, 1).evaluate(params, z, o)
    assert actor.item() == pytest.approx((0.3 + 0.5 * 3.0) * h + (0.4 - 0.5 * 4.0), abs=1e-14)
    assert value.item() == pytest.approx((0.5 + 0.5 * 5.0) * h + (0.6 - 0.5 * 6.0), abs=1e-14)


@pytest.mark.parametrize("lead", [(), (1,), (6,), (3, 2), (2, 3, 2)])
def test_each_row_meets_a_network_of_its_own(lead):
    head = HypernetworkHead(D, OBS, H, A)
    params, z, o = moved(head), remembered(*lead), observed(*lead)
    actor, value = head.evaluate(params, z, o)
    assert actor.shape == (*lead, A) and value.shape == lead
    rows = zip(z.view(-1, D), o.view(-1, OBS), actor.view(-1, A), value.view(-1), strict=True)
    for z_row, o_row, actor_row, value_row in rows:
        expected_actor, expected_value = by_hand(params, z_row, o_row)
        torch.testing.assert_close(actor_row, expected_actor, rtol=1e-12, atol=1e-12)  # float64, sums of five
        torch.testing.assert_close(value_row, expected_value[0], rtol=1e-12, atol=1e-12)


def test_a_linear_base_network_is_a_table_that_the_memory_writes():
    head = HypernetworkHead(D, OBS, 0, A)
    params, z = moved(head), remembered()
    actor, value = head.evaluate(params, z.expand(OBS, D), torch.eye(OBS).double())
    for row, (logits, worth) in enumerate(zip(actor, value, strict=True)):
        written = {
            name: params[name] + (z @ params[f"generator.{name}"]).view_as(params[name])
            for name in params
            if not name.startswith("generator")
        }
        torch.testing.assert_close(logits, written["actor.weight"][row] + written["actor.bias"])
        torch.testing.assert_close(worth, (written["critic.weight"][row] + written["critic.bias"])[0])


@every_head
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_acts_is_what_is_evaluated(head, dtype):
    params = {name: value.to(dtype) for name, value in moved(head).items()}
    z, o = remembered(3, 4, 2).to(dtype).transpose(0, 1), observed(4, 3, 2).to(dtype)  # z turned, as in learning
    actor, value = head.evaluate(params, z, o)
    assert actor.dtype == value.dtype == dtype and value.shape == (4, 3, 2)
    torch.testing.assert_close(head.act(params, z, o), actor, rtol=0.0, atol=0.0)


def test_at_the_start_every_memory_gives_the_same_ordinary_network():
    head = HypernetworkHead(D, OBS, H, A)
    params, o = head.init(Streams(0)), observed(7).float()
    hidden = torch.tanh(o @ params["hidden.weight"] + params["hidden.bias"])
    linear = LinearHead(H, A)
    expected = linear.evaluate(linear.init(Streams(0)), hidden, o)  # a linear head on h starts with these weights
    for scale in (0.0, 1.0, 100.0):
        for mine, theirs in zip(head.evaluate(params, scale * remembered(7).float(), o), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)  # float32, sums of five of size 1


def test_while_the_generator_is_zero_it_gets_a_gradient_and_the_memory_none():
    head = HypernetworkHead(D, OBS, H, A)
    params, z = head.init(Streams(0)), remembered(1).float().requires_grad_()
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    actor, value = head.evaluate(leaves, z, observed(1).float())
    to_z, *grads = torch.autograd.grad(actor.sum() + value.sum(), [z, *leaves.values()])
    to = dict(zip(leaves, grads, strict=True))
    assert not to_z.any()
    for name in ("hidden", "actor", "critic"):
        for part in (f"{name}.weight", f"{name}.bias"):
            assert to[part].any()
            torch.testing.assert_close(to[f"generator.{part}"], z.detach().t() @ to[part].reshape(1, -1))


@pytest.mark.parametrize(("head", "size"), [(HEADS[0], D), (HEADS[1], H)], ids=["linear", "hypernetwork"])
def test_actor_and_critic_start_as_xavier_layers_the_actor_a_hundred_times_smaller(head, size):
    params = head.init(Streams(3))
    for layer, size_out, scale in (("actor", A, 0.01), ("critic", 1, 1.0)):
        expected = scale * init_layers((size, size_out), Streams(3)[layer])["layer0.weight"]
        assert torch.equal(params[f"{layer}.weight"], expected)
        assert torch.equal(params[f"{layer}.bias"], torch.zeros(size_out))


@every_head
def test_gradients_agree_with_finite_differences(head):
    params = {name: value.requires_grad_() for name, value in moved(head).items()}
    z, o = remembered(2, 3).requires_grad_(), observed(2, 3).requires_grad_()

    def outputs(z, o, *values):
        return head.evaluate(dict(zip(params, values, strict=True)), z, o)

    assert torch.autograd.gradcheck(outputs, (z, o, *params.values()))


@every_head
def test_weights_are_counted(head):
    assert head.num_weights == flatten(head.init(Streams(0))).numel()
