"""Linear recurrences over whole sequences, in two equal ways.

    hₜ = aₜ ⊙ hₜ₋₁ + bₜ,   h₋₁ = 0

Step after step is fastest where one step's numbers fill the processor. Where they do not, pairs of steps are steps of
the same kind, hₜ₊₁ = (aₜ₊₁ aₜ) ⊙ hₜ₋₁ + (aₜ₊₁ ⊙ bₜ + bₜ₊₁): the sequence of pairs is half as long and is solved in the
same way, and the steps in between follow from their neighbours, with linear work and logarithmic depth. Nothing is
ever divided, so that decays of zero are as good as any.

Source: Blelloch 1990, "Prefix sums and their applications", section 1.4.
"""

from torch import Tensor

WIDE = 2048  # numbers in a step from which a processor core is quicker step by step


def linear_scan(decay: Tensor, drive: Tensor) -> Tensor:
    """Turn b into h, in place and without a derivative, and return it.

    Args:
        decay: a `[T, ...]`; the first one meets nothing to multiply.
        drive: b `[T, ...]`, overwritten.
    """
    if drive.device.type == "cpu" and drive[0].numel() >= WIDE:
        scan_by_steps(decay, drive)
    else:
        scan_by_pairs(decay, drive)
    return drive


def reverse_linear_scan(decay: Tensor, drive: Tensor) -> Tensor:
    """Turn b into g of gₜ = bₜ + aₜ₊₁ ⊙ gₜ₊₁, the adjoint of `linear_scan`, and return it; b may be overwritten.

    Args:
        decay: a `[T, ...]`; the first one meets nothing to multiply.
        drive: b `[T, ...]`.
    """
    if drive.device.type == "cpu" and drive[0].numel() >= WIDE:
        for factor, later, earlier in reversed(list(zip(decay[1:], drive[1:], drive[:-1], strict=True))):
            earlier.addcmul_(factor, later)
        return drive
    turned = drive.flip(0)
    scan_by_pairs(decay.roll(-1, 0).flip(0), turned)
    return turned.flip(0)


def scan_by_steps(decay: Tensor, drive: Tensor) -> None:
    """Turn b `[T, ...]` into h, one step after the other; arguments as those of `linear_scan`."""
    for factor, earlier, later in zip(decay[1:], drive[:-1], drive[1:], strict=True):
        later.addcmul_(factor, earlier)


def scan_by_pairs(decay: Tensor, drive: Tensor) -> None:
    """Turn b `[T, ...]` into h, pairs of steps first, then the steps between; arguments as those of `linear_scan`."""
    if len(drive) < 2:
        return
    second = drive[1::2].addcmul_(decay[1::2], drive[:-1:2])
    scan_by_pairs(decay[1::2] * decay[:-1:2], second)
    drive[2::2].addcmul_(decay[2::2], drive[1:-1:2])
