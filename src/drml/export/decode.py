"""A policy's actions in the units of an action space, as a torch module: the same numbers as `Actions.decode`."""

from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from drml.core.tree import Params
from drml.spaces.actions import Actions, ListedActions
from drml.spaces.box_actions import BoxActions, OneSided
from drml.spaces.joint_actions import Choices, JointActions, leaves_of

WITHOUT_ARITHMETIC = ("uint16", "uint32", "uint64")
"""Types in which neither torch nor most runtimes of graphs compute; their numbers are given as int64."""


def decoder(actions: Actions) -> nn.Module:
    """Return the module that maps actions `[N, A]` float32, or `[N]` int64, to those of the space, `[N, *shape]`."""
    decode = actions.decode
    if isinstance(decode, JointActions):
        return DecodeJoint(decode)
    return DecodeBox(decode) if isinstance(decode, BoxActions) else DecodeListed(decode)


def named_actions(decoded: "Tensor | Params") -> Params:
    """Return what a decoder gives by the names of outputs: `action`, or `action` and a path such as `['arm'][0]`."""
    return {"action": decoded} if isinstance(decoded, Tensor) else {f"action{at}": x for at, x in decoded.items()}


@final
class DecodeListed(nn.Module):
    """Listed actions by their indices."""

    def __init__(self, actions: ListedActions) -> None:
        super().__init__()
        self.register_buffer("table", _constant(actions.table))

    def forward(self, action: Tensor) -> Tensor:
        """Return actions `[N, *shape]` of indices `[N]`."""
        return self.get_buffer("table").index_select(0, action)


@final
class DecodeJoint(nn.Module):
    """Choices and numbers of each part, by its path in the space."""

    def __init__(self, actions: JointActions) -> None:
        super().__init__()
        self._num_choices = len(actions.spec.counts)
        leaves = dict(leaves_of(actions.root))
        self._at = {path: (leaf.at.start, leaf.at.stop) for path, leaf in leaves.items()}
        decode = [DecodeChoices(leaf) if isinstance(leaf, Choices) else DecodeBox(leaf.box) for leaf in leaves.values()]
        self.parts = nn.ModuleList(decode)

    def forward(self, action: Tensor) -> Tensor | Params:
        """Return actions `[N, *shape]` of rows `[N, n + m]`, by path where the space has several parts."""
        options, numbers = action[..., : self._num_choices], action[..., self._num_choices :]
        found: Params = {}
        for (path, (start, stop)), decode in zip(self._at.items(), self.parts, strict=True):
            found[path] = decode((options if isinstance(decode, DecodeChoices) else numbers)[..., start:stop])
        return found.get("", found)


@final
class DecodeChoices(nn.Module):
    """Options counted from 0 as the values of a space."""

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self._dtype, self._shape = torch_type(choices.dtype), choices.shape
        self.register_buffer("start", _constant(choices.start))

    def forward(self, options: Tensor) -> Tensor:
        """Return actions `[N, *shape]` of options `[N, n]`."""
        chosen = (options.to(torch.int64) + self.get_buffer("start")).to(self._dtype)
        return chosen.reshape(options.shape[0], *self._shape)


@final
class DecodeBox(nn.Module):
    """Numbers scaled, shifted, bent off single bounds, clipped, and rounded where the space holds whole numbers."""

    def __init__(self, actions: BoxActions) -> None:
        super().__init__()
        self._rounds, self._shape = actions.rounds, actions.shape
        self._dtype = torch_type(actions.dtype)
        self._shifts, self._clips = bool(actions.mid.any()), _has_bounds(actions)
        for name in ("mid", "gain", "low", "high"):
            self.register_buffer(name, _constant(getattr(actions, name)))
        self.bend = None if actions.one_sided is None else Bend(actions.one_sided, len(actions.mid))

    def forward(self, action: Tensor) -> Tensor:
        """Return actions `[N, *shape]` of vectors `[N, A]`."""
        mid, gain, low, high = (self.get_buffer(name) for name in ("mid", "gain", "low", "high"))
        scaled = action * gain
        scaled = scaled + mid if self._shifts else scaled
        if self.bend is not None:
            scaled = cast(Tensor, self.bend(scaled))
        scaled = torch.minimum(torch.maximum(scaled, low), high) if self._clips else scaled
        scaled = (scaled.round() if self._rounds else scaled).to(self._dtype)
        return scaled if len(self._shape) == 1 else scaled.reshape(action.shape[0], *self._shape)


@final
class Bend(nn.Module):
    """Entries with one bound bent away from it, as `OneSided.bend` does; the others as they are."""

    def __init__(self, bounds: OneSided, size: int) -> None:
        super().__init__()
        everywhere = {"bent": np.zeros(size, bool), "sign": np.ones(size), "bound": np.zeros(size)}
        for whole, part in zip(everywhere.values(), (np.bool_(True), bounds.sign, bounds.bound), strict=True):
            whole[bounds.columns] = part
        for name, values in everywhere.items():
            self.register_buffer(name, _constant(values))

    def forward(self, scaled: Tensor) -> Tensor:
        """Return numbers `[N, A]`."""
        bent, sign, bound = (self.get_buffer(name) for name in ("bent", "sign", "bound"))
        base, away = bound.clamp(max=0.0), sign * scaled
        difference = (away - base).abs()
        softened = torch.maximum(away, base) + torch.log1p((-difference).exp())  # log(exp(base) + exp(away))
        return torch.where(bent, sign * (bound - base + bound.clamp(min=1.0) * softened), scaled).to(scaled.dtype)


def torch_type(dtype: np.dtype[Any]) -> torch.dtype:
    """Return the torch type that holds the numbers of a NumPy type."""
    return torch.int64 if dtype.name in WITHOUT_ARITHMETIC else torch.from_numpy(np.zeros(0, dtype)).dtype


def _has_bounds(actions: BoxActions) -> bool:
    """Return whether a number may lie beyond the bounds; a policy's are float32."""
    widest = np.finfo(np.float32)
    return bool((actions.low > widest.min).any() or (actions.high < widest.max).any())


def _constant(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values)).to(torch_type(values.dtype))
