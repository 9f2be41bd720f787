"""Global random generators, which code that is not ours draws from: seeded for a while, then as they were."""

import random
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Seed Python's, NumPy's and torch's global generators; afterwards they are as before."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002 — where foreign code draws from
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002
