"""Random streams: randomness as a function of (seed, path), never a state that is passed along.

    streams = Streams(seed=1)
    noise = streams["collect", 3, 0].normal((T, B, A))     # the same numbers whenever and wherever it is asked for

A path names what the numbers are for; it is hashed into the key of a counter-based Philox generator (Salmon et al.,
2011, "Parallel random numbers: as easy as 1, 2, 3"). There is no generator state to save, no global generator is
touched, and the numbers of one task do not depend on how many tasks run beside it.
"""

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, SupportsIndex

import numpy as np
import torch
from torch import Tensor

Key = str | SupportsIndex  # integers of every kind: 3, np.int64(3) and torch.tensor(3) are one key
NoiseKind = Literal["normal", "uniform"]


@dataclass(frozen=True)
class Streams:
    """A tree of independent random streams, addressed by path."""

    seed: int
    path: tuple[Key, ...] = ()

    def __getitem__(self, key: Key | tuple[Key, ...]) -> "Streams":
        """Return the stream (or subtree) one or more path elements further down."""
        return Streams(self.seed, self.path + (key if isinstance(key, tuple) else (key,)))

    def generator(self) -> np.random.Generator:
        """Return a fresh generator at the start of this stream."""
        seed, path = operator.index(self.seed), tuple(_plain(key) for key in self.path)
        digest = hashlib.blake2b(repr((seed, path)).encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Return float32 standard normal numbers of the given shape."""
        return torch.from_numpy(self.generator().standard_normal(tuple(shape), dtype=np.float32))

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Return float32 numbers uniform on [0, 1) of the given shape."""
        return torch.from_numpy(self.generator().random(tuple(shape), dtype=np.float32))

    def noise(self, kind: NoiseKind, shape: Sequence[int]) -> Tensor:
        """Return `normal` or `uniform` numbers, as a policy or an environment declares them."""
        return self.normal(shape) if kind == "normal" else self.uniform(shape)


def _plain(key: Key) -> str | int:
    return str(key) if isinstance(key, str) else operator.index(key)


def task_noise(rng: Streams, task_ids: Tensor, kind: NoiseKind, shape: Sequence[int]) -> Tensor:
    """Return noise `[K, *shape]` whose row k is a function of (rng, task_ids[k]) alone.

    All rows share a key; a task's numbers begin at the counter id · 2¹²⁸, beyond what any other task could use up.
    Moving one generator there takes a tenth of the time of making another.

    Args:
        rng: the stream of this purpose.
        task_ids: `[K]` int64, the tasks' stream keys (`Tasks.ids`).
        kind: the distribution.
        shape: the shape per task, usually `[T, B, ...]`.
    """
    rows = torch.empty((len(task_ids), *shape), dtype=torch.float32)
    generator = rng["task"].generator()
    bits, start = generator.bit_generator, generator.bit_generator.state
    for row, task_id in zip(rows.numpy(), task_ids.tolist(), strict=True):
        start["state"]["counter"][2] = task_id % 2**64
        bits.state = start
        draw_into(row, generator, kind)
    return rows


def draw_into(row: np.ndarray, generator: np.random.Generator, kind: NoiseKind) -> None:
    """Fill an array of float32 with the next numbers of a generator."""
    if kind == "normal":
        generator.standard_normal(out=row, dtype=np.float32)
    else:
        generator.random(out=row, dtype=np.float32)


def task_generator(rng: Streams, task_id: int) -> np.random.Generator:
    """Return a generator at the start of a task's numbers in `task_noise`, to draw them bit by bit.

    A step's noise `[B, …]` at a time gives the numbers of `[T, B, …]` at once.
    """
    generator = rng["task"].generator()
    bits, start = generator.bit_generator, generator.bit_generator.state
    start["state"]["counter"][2] = task_id % 2**64
    bits.state = start
    return generator


class BlockNoise:
    """Noise `[K, B, *shape]` by row index, drawn in blocks so that any number of rows can be asked for.

    Row r of task k is a function of (rng, task_ids[k], r) alone: rows are drawn `block` at a time from the stream
    `rng["block", r // block]`, so a longer rollout extends a shorter one.
    """

    def __init__(
        self, rng: Streams, task_ids: Tensor, copies: int, kind: NoiseKind, shape: Sequence[int], block: int
    ) -> None:
        self._rng, self._task_ids, self._block = rng, task_ids, block
        self._kind: NoiseKind = kind
        self._shape = (block, copies, *shape)
        self._blocks: list[Tensor] = []  # each [K, block, B, *shape]

    def _covering(self, row: int) -> Tensor:
        while len(self._blocks) * self._block <= row:
            rng = self._rng["block", len(self._blocks)]
            self._blocks.append(task_noise(rng, self._task_ids, self._kind, self._shape))
        return self._blocks[row // self._block]

    def row(self, index: int) -> Tensor:
        """Return row `index`: `[K, B, *shape]`."""
        return self._covering(index)[:, index % self._block]

    def rows(self, index: Tensor) -> Tensor:
        """Return one row per copy, `index` `[K, B]` int64: `[K, B, *shape]`."""
        if index.numel():
            self._covering(int(index.max()))
        tasks = torch.arange(index.shape[0])[:, None]
        copies = torch.arange(index.shape[1])[None, :]
        return torch.cat(self._blocks, 1)[tasks, index, copies]
