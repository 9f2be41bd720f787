"""Pieces side by side: the same answers as one after the other, and nothing of torch's settings changed."""

import threading

import pytest
import torch

from drml.core.parallel import one_torch_thread, parallel_map


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_answers_come_in_order_and_the_number_of_threads_is_kept(threads):
    assert parallel_map(lambda x: x * x, range(20)) == [x * x for x in range(20)]
    assert torch.get_num_threads() == threads


def test_pieces_run_on_as_many_threads_as_torch_may_use(threads):
    everyone_is_here = threading.Barrier(threads, timeout=30)  # breaks if fewer run at a time
    inside = parallel_map(lambda _: (everyone_is_here.wait(), torch.get_num_threads())[1], range(threads))
    assert inside == [1] * threads


def test_pieces_keep_their_threads_where_operations_have_one(threads):
    everyone_is_here = threading.Barrier(threads, timeout=30)
    with one_torch_thread(), one_torch_thread():
        inside = parallel_map(lambda _: (everyone_is_here.wait(), torch.get_num_threads())[1], range(threads))
        assert torch.get_num_threads() == 1
    assert inside == [1] * threads and torch.get_num_threads() == threads


def test_a_piece_within_a_piece_starts_no_threads(threads):
    def own_thread(_):
        return set(parallel_map(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}

    assert all(parallel_map(own_thread, range(4)))


def test_gradients_are_recorded_where_the_caller_records_them(threads):
    x = torch.ones((), requires_grad=True)
    assert all(y.requires_grad for y in parallel_map(lambda k: k * x, range(4)))
    with torch.no_grad():
        assert not any(y.requires_grad for y in parallel_map(lambda k: k * x, range(4)))


def test_an_error_in_a_piece_reaches_the_caller(threads):
    def fail(k):
        if k == 2:
            raise ValueError("piece 2")

    with pytest.raises(ValueError, match="piece 2"):
        parallel_map(fail, range(5))
    assert torch.get_num_threads() == threads


def test_one_torch_thread_restores_the_number_also_after_an_error(threads):
    with pytest.raises(ZeroDivisionError), one_torch_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == threads
