"""Outputs of a network as distributions: by hand, for choices of as many options and of different numbers."""

import pytest
import torch

from drml.core.joint import FORBIDDEN, Joint
from drml.core.rng import Streams
from drml.core.types import ActionSpec
from drml.policies.outputs import Outputs


@pytest.mark.parametrize("counts", [(3, 3), (2, 4, 1), (5,)])
@pytest.mark.parametrize("num_numbers", [0, 2])
def test_each_choice_has_a_softmax_of_its_own_logits(counts, num_numbers):
    action = ActionSpec("joint", sum(counts) + num_numbers, counts=counts)
    outputs = Streams(0)["outputs"].normal((4, action.size))
    joint = Outputs(action).distribution(outputs, torch.full((num_numbers,), 0.5) if num_numbers else None)
    assert isinstance(joint, Joint)
    for i, (own, count) in enumerate(zip(outputs.split([*counts, num_numbers], -1), counts, strict=False)):
        torch.testing.assert_close(joint.choices.logits[:, i, :count], own.log_softmax(-1))
        assert bool((joint.choices.logits[:, i, count:] <= FORBIDDEN).all())
    if num_numbers:
        assert torch.equal(joint.numbers.mean, outputs[:, -2:])
    assert action.shape == (len(counts) + num_numbers,) and action.dtype == torch.float32
    assert Outputs(action).noise.shape == action.shape
    assert Outputs(action).noise.kind == ("normal" if num_numbers else "uniform")


def test_options_are_seen_one_hot_and_numbers_as_they_are():
    mixed = Outputs(ActionSpec("joint", 6, counts=(2, 3)))
    assert mixed.embedded(torch.tensor([[1.0, 2.0, 0.25]])).tolist() == [[0, 1, 0, 0, 1, 0.25]]
    alike = Outputs(ActionSpec("joint", 4, counts=(2, 2)))
    assert alike.embedded(torch.tensor([[0.0, 1.0]])).tolist() == [[1, 0, 0, 1]]
    assert Outputs(ActionSpec("discrete", 3)).embedded(torch.tensor([2])).tolist() == [[0, 0, 1]]
    assert Outputs(ActionSpec("continuous", 1)).embedded(torch.tensor([2.0])).tolist() == [2.0]
