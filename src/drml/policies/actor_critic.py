"""A policy with a memory: one network that remembers a whole trial, with a head that acts and values.

    xₜ = [oₜ, aₜ₋₁, rₜ₋₁, eₜ₋₁, t/n]        hₜ = memory(xₜ, hₜ₋₁)        π(·|hₜ, oₜ), v(hₜ, oₜ)
    xₜ = [oₜ, oₜ₋₁, aₜ₋₁, rₜ₋₁, eₜ₋₁, t/n]  where the memory sees whole transitions

where o are the features that an encoder makes of the observations.

A trial is several episodes of one task in a row; e marks the end of an episode, n is the length of the trial. What
came before (action, reward, end) is part of the carry, so it crosses from one episode's rollout into the next, and is
cleared with the memory where a trial begins.

Source: Duan et al. 2016, "RL²: Fast reinforcement learning via slow reinforcement learning", section 2.2; the time in
the trial is added.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast, final

import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Bounds, Params, Tree, tree_map
from drml.core.types import ActionSpec, Noise, Rollout
from drml.policies.encoders.api import Encoder
from drml.policies.encoders.flat import Flat
from drml.policies.heads import Head
from drml.policies.memory.api import Memory
from drml.policies.mlp import log_std_bounds
from drml.policies.outputs import ActionDistribution, Outputs


@final
@dataclass(frozen=True)
class MemoryPolicy:
    """An actor and a critic on one memory; implements `Policy`. Its parameters are shared by all tasks."""

    memory: Memory
    head: Head
    action: ActionSpec
    trial_steps: int
    """n, steps of a trial; the time input is t/n."""
    recalled_size: int = 0
    """Length of oₜ₋₁ among the memory's inputs: 0, or D of the features where it sees whole transitions."""
    init_std: float = 1.0
    """Gaussian policies: standard deviation at the start."""
    min_std: float = 1e-6
    """Gaussian policies: standard deviation never falls below this."""
    encoder: Encoder = field(default_factory=Flat)
    """Encoder that sees the observations first."""

    @property
    def noise(self) -> Noise:
        """Return the noise of one action."""
        return self._outputs.noise

    @property
    def bounds(self) -> Bounds:
        """Return those of the log standard deviation where actions hold numbers; the memory's own have none."""
        return log_std_bounds(self.min_std) if self.action.num_numbers else {}

    def init(self, rng: Streams) -> Params:
        """Return initial parameters; the actor starts near zero, so that the first actions are nearly uniform."""
        params = {f"memory.{name}": value for name, value in self.memory.init(rng["memory"]).items()}
        params |= self.encoder.init(rng)
        params |= self.head.init(rng)
        if num_numbers := self.action.num_numbers:
            params["log_std"] = torch.full((num_numbers,), math.log(self.init_std))
        return params

    def initial_carry(self, num_tasks: int, copies: int) -> Tree:
        """Return the cleared memory, and nothing before the trial: leaves `[K, B, ...]`."""
        blank = torch.zeros(num_tasks, copies)
        memory = self.memory.start(num_tasks * copies, blank)
        before: Tree = {
            "obs": torch.zeros(num_tasks, copies, self.recalled_size),
            "action": torch.zeros(num_tasks, copies, self.action.size),
            "reward": blank,
            "ended": blank,
            "elapsed": blank,
        }
        return {"memory": _unfold(memory, num_tasks), "before": before}

    def step(self, params: Params, obs: Tensor, carry: Tree) -> tuple[ActionDistribution, Tree]:
        """Return the action distribution `[K, B]` and the carry with this observation in memory."""
        before = cast(Params, carry["before"])
        seen = self.encoder.encode(params, obs)
        inputs = self._inputs(seen, **before)
        memory = _fold(cast(Tree, carry["memory"]))
        outputs, memory = self.memory.step(_own(params), inputs.flatten(0, 1), memory, None)
        actor = self.head.act(params, outputs.unflatten(0, inputs.shape[:2]), seen)
        recalled: Tree = {**before, "obs": seen[..., : self.recalled_size]} if self.recalled_size else {**before}
        return self._distribution(params, actor), {"memory": _unfold(memory, obs.shape[0]), "before": recalled}

    def step_in_a_row(
        self, params: Params, obs: Tensor, before: Params, memory: Tree, starts: Tensor
    ) -> tuple[ActionDistribution, Tree, Tensor]:
        """Return what `step` does for N copies in a row: distribution `[N]`, memory, and what is recalled of `obs`.

        Nothing turns axes here, and the past is cleared in one piece, so that a graph of it has few operations.

        Args:
            params: shared parameters.
            obs: `[N, O]`.
            before: what came before, as in a carry: leaves `[N, ...]`.
            memory: leaves `[N, ...]`.
            starts: `[N]` bool, true where a trial begins: nothing is believed of what came before.
        """
        seen = self.encoder.encode(params, obs)
        *past, time = self._seen(**before)
        known = torch.cat(past, -1).masked_fill(starts.unsqueeze(-1), 0.0)
        outputs, memory = self.memory.step(_own(params), torch.cat([seen, known, time], -1), memory, starts)
        distribution = self._distribution(params, self.head.act(params, outputs, seen))
        return distribution, memory, seen[..., : self.recalled_size]

    def remember(self, carry: Tree, action: Tensor, reward: Tensor, ended: Tensor) -> Tree:
        """Return the carry with what came of an action."""
        before = cast(Params, carry["before"])
        after: Tree = {
            "obs": before["obs"],
            "action": self._outputs.embedded(action),
            "reward": reward,
            "ended": ended.to(reward.dtype),
            "elapsed": before["elapsed"] + 1.0,
        }
        return {"memory": carry["memory"], "before": after}

    def unroll(self, params: Params, rollout: Rollout) -> ActionDistribution:
        """Return the action distributions `[K, T, B]` of a rollout."""
        return self.evaluate(params, rollout)[0]

    def evaluate(self, params: Params, rollout: Rollout, bptt_steps: int = 0) -> tuple[ActionDistribution, Tensor]:
        """Return the action distributions and the values, `[K, T, B]`, in the memory's whole-sequence form.

        Args:
            params: shared parameters.
            rollout: whole trials, or parts of them that begin with the carry `first_carry`.
            bptt_steps: n > 0 lets no gradient flow through the memory between step n − 1 and n, 2n − 1 and 2n, … .

        Raises:
            InputError: if the parameters are stacked, one set per task: a memory adapts by its carry.
        """
        if params["actor.bias"].dim() > 1:
            raise InputError("a policy with a memory shares its parameters between tasks; it adapts by its carry")
        num_tasks, steps, copies = rollout.reward.shape
        first = cast(Params, rollout.first_carry["before"])
        ended = (rollout.terminated | rollout.truncated).to(rollout.reward.dtype)
        time = torch.arange(steps, device=ended.device, dtype=ended.dtype).view(1, -1, 1)
        seen = self.encoder.encode(params, rollout.obs)
        inputs = self._inputs(
            seen,
            obs=_shifted(first["obs"], seen[..., : self.recalled_size]),
            action=_shifted(first["action"], self._outputs.embedded(rollout.action)),
            reward=_shifted(first["reward"], rollout.reward),
            ended=_shifted(first["ended"], ended),
            elapsed=first["elapsed"].unsqueeze(1) + time,
        )
        memory = _fold(cast(Tree, rollout.first_carry["memory"]))
        starts = torch.zeros((steps, num_tasks * copies), dtype=torch.bool, device=inputs.device)
        in_a_row = inputs.transpose(0, 1).flatten(1, 2)  # [T, K·B, F]
        pieces: list[Tensor] = []
        for piece, starts_there in zip(
            in_a_row.split(length := min(bptt_steps, steps) or steps), starts.split(length), strict=True
        ):
            outputs, memory = self.memory.sequence(_own(params), piece, memory, starts_there)
            memory = tree_map(torch.detach, memory)
            pieces.append(outputs)
        outputs = pieces[0] if len(pieces) == 1 else torch.cat(pieces)  # [T, K·B, D]: only what is short is turned
        found = self.head.evaluate(params, outputs, seen.transpose(0, 1).flatten(1, 2))
        actor, value = (x.unflatten(1, (num_tasks, copies)).transpose(0, 1).contiguous() for x in found)
        return self._distribution(params, actor), value

    @cached_property
    def _outputs(self) -> Outputs:
        return Outputs(self.action)

    def _inputs(self, now: Tensor, **before: Tensor) -> Tensor:
        return torch.cat([now, *self._seen(**before)], -1)

    def _seen(self, obs: Tensor, action: Tensor, reward: Tensor, ended: Tensor, elapsed: Tensor) -> list[Tensor]:
        """Return what a memory sees of what came before, in order; the time in the trial last."""
        rest = [x.unsqueeze(-1) for x in (reward, ended, elapsed / self.trial_steps)]
        return [*([obs] if self.recalled_size else []), action, *rest]

    def _distribution(self, params: Params, actor: Tensor) -> ActionDistribution:
        log_std = None
        if num_numbers := self.action.num_numbers:
            log_std = params["log_std"].clamp(*self.bounds["log_std"]).expand(*actor.shape[:-1], num_numbers)
        return self._outputs.distribution(actor, log_std)


def input_size(features: int, action: ActionSpec, recalled_size: int = 0) -> int:
    """Return the length F of what a memory sees at a step: features of observations, action, reward, end, time."""
    return features + recalled_size + action.size + 3


def _own(params: Params) -> Params:
    return {name.removeprefix("memory."): value for name, value in params.items() if name.startswith("memory.")}


def _fold(carry: Tree) -> Tree:
    return {name: _fold(x) if isinstance(x, dict) else x.flatten(0, 1) for name, x in carry.items()}


def _unfold(carry: Tree, num_tasks: int) -> Tree:
    return {
        n: _unfold(x, num_tasks) if isinstance(x, dict) else x.unflatten(0, (num_tasks, -1)) for n, x in carry.items()
    }


def _shifted(first: Tensor, values: Tensor) -> Tensor:
    """Return what came before each step, `[K, T, B, ...]`, from what came before the first and at each step."""
    return torch.cat([first.unsqueeze(1), values[:, :-1]], 1)
