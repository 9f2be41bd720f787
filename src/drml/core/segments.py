"""Growing state (replay, recorded histories) as a tuple of segments that never change, bounded in bytes.

A segment is written once: later checkpoints link its file instead of writing it again.
"""

from dataclasses import dataclass
from typing import TypeAlias

from drml.core.errors import InputError
from drml.core.tree import Tree, tree_leaves


@dataclass(frozen=True, eq=False)
class Segment:
    """Tensors that were added together, and change no more."""

    number: int
    """Count of those added before it."""
    tree: Tree

    @property
    def num_bytes(self) -> int:
        """Return the bytes of its tensors."""
        return sum(value.numel() * value.element_size() for _, value in tree_leaves(self.tree))


Grown: TypeAlias = tuple[Segment, ...]
"""Segments in the order in which they were added."""


def grown_by(grown: Grown, tree: Tree, max_bytes: int) -> Grown:
    """Return the segments with one more, without the oldest ones where they would exceed `max_bytes` together.

    Raises:
        InputError: if the new one alone exceeds them.
    """
    segment = Segment(grown[-1].number + 1 if grown else 0, tree)
    if segment.num_bytes > max_bytes:
        raise InputError(f"a segment of {segment.num_bytes} bytes exceeds the bound of {max_bytes} by itself; raise it")
    kept, size = [segment], segment.num_bytes
    for older in reversed(grown):
        size += older.num_bytes
        if size > max_bytes:
            break
        kept.append(older)
    return tuple(reversed(kept))
