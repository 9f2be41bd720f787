"""Causal transformer whose state is the keys and values of the steps that each sequence has taken.

    x ← x + W_o attention(norm x)
    x ← x + W₂ gelu(W₁ norm x)             in every layer; the outputs are norm x after the last

Queries and keys are turned by angles proportional to their position, so that attention sees distances in time.

Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3; norm before each part as in Xiong et al.
2020, https://arxiv.org/abs/2002.04745, and for agents in Parisotto et al. 2020, https://arxiv.org/abs/1910.06764,
section 3.1; root mean square norm: Zhang & Sennrich 2019; rotary positions: Su et al. 2021,
https://arxiv.org/abs/2104.09864, eq. 34; the last weights of every part start smaller by 1/√(2 layers): Radford et al.
2019, section 2.3.

Second derivatives need torch's plain attention: wrap the call in `sdpa_kernel(SDPBackend.MATH)`.
"""

import math
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor
from torch.nn import functional

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.policies.memory.gates import starts_of
from drml.policies.memory.weights import scaled_normal

EPS = 1e-6  # of the norms; keeps inputs of zero finite
WIDENING = 4  # hidden units of the feed-forward part per unit (Vaswani et al., section 3.3)
LONGEST_WAVE = 10_000.0  # of the rotary positions, in steps over 2π (Su et al., section 3.2.2)


@dataclass(frozen=True)
class _Times:
    """Times of the steps, counted from the first step of this call: earlier steps have negative times."""

    origins: Tensor
    """`[N, T]`, the time at which the sequence of each step started."""
    visible: Tensor
    """`[N, 1, T, S]` bool, which of the S held and new steps each step attends to."""
    turns: tuple[Tensor, Tensor]
    """Cosine and sine `[N, 1, T, D / heads / 2]` of each step's angles."""


@final
@dataclass(frozen=True)
class Transformer:
    """Pre-norm causal transformer with rotary positions and a key-value cache."""

    input_size: int
    size: int
    """D, width."""
    layers: int
    heads: int
    """Heads of attention; D / heads is even."""
    context: int
    """L, longest sequence in steps."""

    @property
    def output_size(self) -> int:
        """Return D."""
        return self.size

    def init(self, rng: Streams) -> Params:
        """Return normal weights of standard deviation 1/√in, those that add to x smaller by 1/√(2 layers)."""
        size, wide, last = self.size, WIDENING * self.size, 1.0 / math.sqrt(2 * self.layers)
        params = {"embed.weight": scaled_normal(self.input_size, size, 1.0, rng["embed"])}
        params["embed.bias"] = torch.zeros(size)
        for i in range(self.layers):
            draw = rng["layer", i]
            params[f"layer{i}.attention_norm"] = torch.ones(size)
            params[f"layer{i}.attention_in"] = scaled_normal(size, 3 * size, 1.0, draw["attention_in"])
            params[f"layer{i}.attention_out"] = scaled_normal(size, size, last, draw["attention_out"])
            params[f"layer{i}.forward_norm"] = torch.ones(size)
            params[f"layer{i}.forward_in"] = scaled_normal(size, wide, 1.0, draw["forward_in"])
            params[f"layer{i}.forward_out"] = scaled_normal(wide, size, last, draw["forward_out"])
        return params | {"norm": torch.ones(size)}

    def start(self, batch: int, like: Tensor) -> Tree:
        """Return an empty cache: keys and values `[N, layers, L, D]`, and `[N]` int64 counts of the steps held."""
        shape = (batch, self.layers, self.context, self.size)
        position = torch.zeros(batch, dtype=torch.int64, device=like.device)
        return {"keys": like.new_zeros(shape), "values": like.new_zeros(shape), "position": position}

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor | None) -> tuple[Tensor, Tree]:
        """Return the outputs `[N, D]` and the next state.

        Raises:
            InputError: if a sequence is longer than the context.
        """
        if not torch.is_grad_enabled():
            return self._acting_step(params, inputs, state, starts_of(starts, inputs))
        outputs, state = self.sequence(params, inputs.unsqueeze(0), state, starts_of(starts, inputs).unsqueeze(0))
        return outputs[0], state

    def _acting_step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return what `step` does: each key and value goes into its slot of a copied cache, and nothing else moves."""
        position = cast(Tensor, state["position"]).masked_fill(starts, 0)
        is_graph = torch.compiler.is_exporting()  # which cannot look at positions and starts: it takes all there is
        held = self.context if is_graph else self._check_room(position) + 1
        caches = [cast(Tensor, state[name]).clone() for name in ("keys", "values")]
        if is_graph or bool(starts.any()):
            caches = [cache.masked_fill_(starts.view(-1, 1, 1, 1), 0.0) for cache in caches]
        batch, slots = (
            torch.arange(position.shape[0], device=position.device),
            torch.arange(held, device=position.device),
        )
        visible = (slots <= position[:, None]).view(-1, 1, 1, held)
        turns = self._turns(position[:, None], inputs)
        x = inputs.unsqueeze(1) @ params["embed.weight"] + params["embed.bias"]  # [N, 1, D]
        for i in range(self.layers):
            query, *new = self._projected(params, i, x, turns)
            for cache, vector in zip(caches, new, strict=True):
                cache[batch, i, position] = vector.flatten(1)
            keys, values = (self._by_head(cache[:, i, :held]) for cache in caches)
            x = self._added(params, i, x, functional.scaled_dot_product_attention(query, keys, values, visible))
        outputs = functional.rms_norm(x, (self.size,), params["norm"], EPS)[:, 0]
        return outputs, {"keys": caches[0], "values": caches[1], "position": position + 1}

    def sequence(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return the outputs of every step `[T, N, D]` and the last state.

        Raises:
            InputError: if a sequence is longer than the context.
        """
        position = cast(Tensor, state["position"])
        held = int(position.max())  # slots beyond it are empty in every sequence
        times = self._times(position, held, starts.t(), inputs)
        caches = [cast(Tensor, state[name])[:, :, :held] for name in ("keys", "values")]
        x = inputs.transpose(0, 1) @ params["embed.weight"] + params["embed.bias"]  # [N, T, D]
        held_and_new: list[list[Tensor]] = [[], []]
        for i in range(self.layers):
            queries, *new = self._projected(params, i, x, times.turns)
            memories = [
                torch.cat([cache[:, i], vectors.transpose(1, 2).flatten(2)], 1)
                for cache, vectors in zip(caches, new, strict=True)
            ]
            keys, values = (self._by_head(memory) for memory in memories)
            attended = functional.scaled_dot_product_attention(queries, keys, values, times.visible)
            x = self._added(params, i, x, attended)
            for layers, memory in zip(held_and_new, memories, strict=True):
                layers.append(memory)
        outputs = functional.rms_norm(x, (self.size,), params["norm"], EPS).transpose(0, 1)
        keys, values = self._kept(held_and_new, position, held, times.origins[:, -1])
        return outputs, {"keys": keys, "values": values, "position": len(inputs) - times.origins[:, -1]}

    def _times(self, position: Tensor, held: int, starts: Tensor, like: Tensor) -> _Times:
        now = torch.arange(starts.shape[1], device=starts.device)  # [T]
        origins = torch.where(starts, now, -position[:, None]).cummax(1).values  # [N, T]
        positions = now - origins
        self._check_room(positions)
        slots = torch.arange(held, device=starts.device)
        empty = slots >= position[:, None]
        seen = torch.where(empty, len(now), slots - position[:, None])  # an empty slot lies in the future
        seen = torch.cat([seen, now.expand(len(position), -1)], 1).unsqueeze(1)  # [N, 1, S]
        visible = (seen >= origins.unsqueeze(2)) & (seen <= now.unsqueeze(1))
        return _Times(origins, visible.unsqueeze(1), self._turns(positions, like))

    def _projected(
        self, params: Params, layer: int, x: Tensor, turns: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values `[N, heads, T, C]` of x `[N, T, D]`, the first two turned."""
        normed = functional.rms_norm(x, (self.size,), params[f"layer{layer}.attention_norm"], EPS)
        parts = (normed @ params[f"layer{layer}.attention_in"]).chunk(3, 2)
        queries, keys, values = (self._by_head(part) for part in parts)
        return _turned(queries, turns), _turned(keys, turns), values

    def _added(self, params: Params, layer: int, x: Tensor, attended: Tensor) -> Tensor:
        """Return x with what attention `[N, heads, T, C]` and then the feed-forward part add, `[N, T, D]`."""
        x = x + attended.transpose(1, 2).flatten(2) @ params[f"layer{layer}.attention_out"]
        normed = functional.rms_norm(x, (self.size,), params[f"layer{layer}.forward_norm"], EPS)
        return x + functional.gelu(normed @ params[f"layer{layer}.forward_in"]) @ params[f"layer{layer}.forward_out"]

    def _by_head(self, x: Tensor) -> Tensor:
        """Return `[N, T, D]` vectors as `[N, heads, T, C]`."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _turns(self, positions: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine `[N, 1, T, C / 2]` of the angles at positions `[N, T]`."""
        half = self.size // self.heads // 2
        waves = LONGEST_WAVE ** -(torch.arange(half, dtype=like.dtype, device=like.device) / half)
        angles = (positions.unsqueeze(2) * waves).unsqueeze(1)
        return angles.cos(), angles.sin()

    def _check_room(self, positions: Tensor) -> int:
        """Return the latest of the positions, all of which must lie within the context."""
        latest = int(positions.max())
        if latest >= self.context:
            raise InputError(
                f"memory: a sequence takes its step {latest + 1}, but the transformer's context is {self.context}; "
                "make it with the longest sequence for context, on which no weight depends"
            )
        return latest

    def _kept(self, parts: list[list[Tensor]], position: Tensor, held: int, origins: Tensor) -> list[Tensor]:
        """Return keys and values `[N, layers, L, D]` of the steps since each sequence's start; zeros beyond."""
        batch, num_columns, _ = parts[0][0].shape
        num_new = num_columns - held
        times = origins[:, None] + torch.arange(self.context, device=origins.device)  # [N, L], of each slot
        columns = torch.where(times < 0, times + position[:, None], held + times).clamp_(max=num_columns - 1)
        flat = (columns + num_columns * torch.arange(batch, device=origins.device)[:, None]).flatten()
        beyond = (times >= num_new)[:, None, :, None]
        kept: list[Tensor] = []
        for layers in parts:
            picked = [layer.flatten(0, 1).index_select(0, flat).unflatten(0, times.shape) for layer in layers]
            kept.append(torch.stack(picked, 1).masked_fill_(beyond, 0.0))
        return kept


def _turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Return `[N, heads, T, C]` vectors with each pair (xᵢ, xᵢ₊C/2) turned by its angle."""
    (cos, sin), (a, b) = turns, x.chunk(2, 3)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], 3)
