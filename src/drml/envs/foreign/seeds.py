"""Seeds of the episodes of foreign environments."""

from typing import final

from drml.core.fault import NO_SEED
from drml.core.rng import Streams

EPISODES_PER_BLOCK = 8  # how many episodes' seeds are drawn at a time
NUM_SEEDS = 2**31  # below it a seed fits wherever somebody keeps it in an int32


@final
class EpisodeSeeds:
    """The seeds of one task's episodes, functions of (stream, copy, episode) and of nothing that happened in them."""

    def __init__(self, rng: Streams, copies: int) -> None:
        self._rng = rng
        self._episode = [-1] * copies  # by copy, the one that was begun last
        self._seeds: list[list[int]] = []  # by episode and copy

    def begun(self, copy: int) -> tuple[int, int]:
        """Return the episode that a copy began last, and its seed; where there is none, 0 and -1."""
        episode = self._episode[copy] if copy >= 0 else -1
        return (episode, self._seeds[episode][copy]) if episode >= 0 else (0, NO_SEED)

    def __call__(self, copy: int) -> int:
        """Return the seed of the next episode of a copy."""
        self._episode[copy] = episode = self._episode[copy] + 1
        while episode >= len(self._seeds):
            generator = self._rng[len(self._seeds) // EPISODES_PER_BLOCK].generator()
            self._seeds += generator.integers(NUM_SEEDS, size=(EPISODES_PER_BLOCK, len(self._episode))).tolist()
        return self._seeds[episode][copy]
