"""Warnings about the numbers of a meta-iteration, for readers of the results: by name, as plain values.

nothing-to-learn    no action made a difference, so nothing was learned
unsound-trials      no trial was sound from its first episode to its last, so nothing was learned
reward-range        rewards are so large or small that sums and products of them leave the numbers there are
memory-input        rewards enter a memory as they are, and these are too large or too small for one to tell apart
"""

from collections.abc import Mapping, Sequence

import torch

from drml.core.types import Rollout

RANGE = (1e-9, 1e9)
"""Sizes of rewards for which learning is the same as for rewards of 1."""
MEMORY_RANGE = (1e-3, 1e3)
"""Sizes of rewards beyond which the gates of a memory are saturated by them, or see next to nothing."""


def caveats(history: Sequence[Rollout], metrics: Mapping[str, float]) -> list[dict[str, str]]:
    """Return the warnings about a meta-iteration, each with its name and one line.

    Args:
        history: the rollouts that were learned from, one per phase.
        metrics: what the learner says of its update.
    """
    if not history or not len(history[0].reward):  # every task was lost
        return []
    found: dict[str, str] = {}
    if metrics.get("sound_trials") == 0.0:
        found["unsound-trials"] = "no trial was sound in all its episodes, so nothing was learned"
    elif metrics.get("tasks_without_difference") == 1.0:
        found["nothing-to-learn"] = "in every task all actions earned the same, so nothing was learned"
    largest = float(torch.stack([rollout.reward.abs().max() for rollout in history]).max())
    if not _within(largest, RANGE):
        found["reward-range"] = (
            f"the largest reward is {largest:.1e} in size, outside of 1e-9 to 1e9, where learning does not depend on "
            "the unit; scale the rewards"
        )
    elif history[0].first_carry and not _within(largest, MEMORY_RANGE):
        found["memory-input"] = (
            f"the largest reward is {largest:.1e} in size, and the memory takes it in as it is; scale the rewards to "
            "about 1 (gymnasium.wrappers.TransformReward)"
        )
    return [{"name": name, "text": text} for name, text in found.items()]


def _within(largest: float, ends: tuple[float, float]) -> bool:
    return largest == 0.0 or ends[0] <= largest <= ends[1]
