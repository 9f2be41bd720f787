"""Independent pieces of arithmetic side by side: one Python thread per piece, one torch thread inside each.

Splitting each operation over the cores, as torch does by itself, waits for the slowest core at every operation, and for
operations of a tenth of a millisecond that costs more than it gives; beside other work it costs tens of times more.
Whole pieces (a few tasks each) wait once. A piece is computed by one thread whatever the number of cores, so the
results do not depend on that number.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

_cores: ContextVar[int] = ContextVar("cores", default=0)  # what pieces may use where operations are kept on one thread


def parallel_map(fn: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return `fn` of each item, in order, on `torch.get_num_threads()` threads, as counted outside `one_torch_thread`.

    Whether gradients are recorded is taken over from the calling thread.
    """
    workers = min(_cores.get() or torch.get_num_threads(), len(items))
    is_recording = torch.is_grad_enabled()

    def run(item: T) -> R:
        torch.set_num_threads(1)  # OpenMP keeps this number for each thread that calls it
        with torch.set_grad_enabled(is_recording):
            return fn(item)

    with one_torch_thread():
        return [run(item) for item in items] if workers <= 1 else list(_pool(workers).map(run, items))


@contextmanager
def one_torch_thread() -> Generator[None]:
    """Keep torch from splitting operations over the cores; `parallel_map` within still uses as many as before.

    For many small operations, beside other threads at work, and where results must not depend on the number of cores:
    a sum that is split over them is rounded differently.
    """
    num_threads = torch.get_num_threads()
    token = _cores.set(_cores.get() or num_threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
        _cores.reset(token)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="drml")
