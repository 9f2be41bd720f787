import torch

from drml.report.filming import _label, first_length


def test_task_parameters_of_any_shape_have_a_label():
    assert _label(torch.tensor(-1.0)) == "-1"
    assert _label(torch.tensor([0.5, -2.0])) == "(+0.5, -2)"
    assert _label(torch.ones(5, 3)) == "15 numbers"


def test_a_film_ends_with_the_episode_whose_return_it_tells():
    assert first_length(torch.tensor([False, False, True, False, True])) == 3
    assert first_length(torch.tensor([False, False, False, True])) == 4
